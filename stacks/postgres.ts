import { PostgresqlProvider } from "@cdktf/provider-postgresql/lib/provider";
import { TerraformVariable, type TerraformProvider } from "cdktf";
import type { Construct } from "constructs";
import { serverOf, type DatabaseConfig, type Environment, type ServerConfig } from "../config/schema/schema";
import { AccessRole } from "../constructs/postgres/access-role";
import { Database } from "../constructs/postgres/database";
import { ManagerLogin } from "../constructs/postgres/manager-login";
import { Privileges } from "../constructs/postgres/privileges";
import { StaticLogin } from "../constructs/postgres/static-login";
import { Secret } from "../constructs/secret";
import { managerPasswordVariable, probeRoleNames } from "../manifest/names";
import { LeaseholdStack } from "./stack";

/** A database's group roles, by what they are for. */
export interface DatabaseAccess {
  readonly personas: ReadonlyMap<string, AccessRole>;
  /** @default - without verification there are none */
  readonly probes?: { readonly owner: AccessRole; readonly short: AccessRole };
}

/** What Vault needs to find in PostgreSQL: owners, schemas, group roles with their privileges, Vault's own logins. */
export class PostgresStack extends LeaseholdStack {
  /** By database name. */
  readonly access = new Map<string, DatabaseAccess>();

  constructor(scope: Construct, environment: Environment) {
    super(scope, "postgres", environment);
    const providers = new Map(
      environment.servers.map((server, i) => [server.name, this.connect(server, i === 0)]),
    );
    for (const config of environment.databases) {
      const server = serverOf(environment, config);
      const isFirst = server === environment.servers[0];
      this.access.set(
        config.name,
        this.declare(environment, config, server, isFirst ? undefined : providers.get(server.name)),
      );
    }
  }

  /** The provider of a server; the first one's has no alias. */
  private connect(server: ServerConfig, isFirst: boolean): TerraformProvider {
    const { name, container, tls } = server;
    const variable = (
      suffix: string,
      type: string,
      value: string | number | undefined,
      description: string,
    ) => new TerraformVariable(this, `${name}_${suffix}`, { type, default: value, description });
    const host = variable(
      "host",
      "string",
      container && "127.0.0.1",
      `the host of the PostgreSQL server ${name}, as Terraform reaches it`,
    );
    const port = variable(
      "port",
      "number",
      container ? container.hostPort : 5432,
      `the port of the PostgreSQL server ${name}, as Terraform reaches it`,
    );
    const password = Secret.fromVariable(
      this,
      `${name}_superuser_password`,
      `the bootstrap superuser's password on the PostgreSQL server ${name}`,
    );
    const authority = tls
      ? variable(
          "sslrootcert",
          "string",
          undefined,
          `absolute path of the CA certificate of the PostgreSQL server ${name}`,
        )
      : undefined;
    return new PostgresqlProvider(this, isFirst ? "postgresql" : `postgresql-${name}`, {
      alias: isFirst ? undefined : name,
      host: host.stringValue,
      port: port.numberValue,
      database: server.database,
      username: server.superuser,
      password: password.reference,
      sslmode: tls ? "verify-full" : "disable",
      sslrootcert: authority?.stringValue,
    });
  }

  private declare(
    environment: Environment,
    config: DatabaseConfig,
    server: ServerConfig,
    provider: TerraformProvider | undefined,
  ): DatabaseAccess {
    const owners = config.personas.filter((persona) => persona.actsAsOwner);
    const database = new Database(this, `Database-${config.name}`, {
      name: config.name,
      create: config.name !== server.database,
      provider,
      schema: config.schema,
      owner: config.owner,
      ownerMayCreateTemporaryTables: owners.some(({ privileges }) =>
        privileges.database.includes("TEMPORARY"),
      ),
    });
    const manager = new ManagerLogin(database, "Manager", {
      name: config.manager.name,
      password: managerPassword(this, environment, config),
    });
    const add = (id: string, name: string, privileges: Privileges, actsAsOwner: boolean) => {
      const role = new AccessRole(database, id, { name, privileges, actsAsOwner });
      manager.manage(role);
      return role;
    };
    const personas = new Map(
      config.personas.map(({ name, groupRole, privileges, actsAsOwner }) => [
        name,
        add(name, groupRole, privileges, actsAsOwner),
      ]),
    );
    for (const { name, login, persona } of config.staticRoles) {
      manager.manage(new StaticLogin(`Static-${name}`, { name: login, member: personas.get(persona)! }));
    }
    const names = probeRoleNames(config);
    const probes = environment.verification
      ? {
          owner: add("VerifyOwner", names.owner, Privileges.CONNECT, true),
          short: add("VerifyShort", names.short, Privileges.CONNECT, false),
        }
      : undefined;
    return { personas, probes };
  }
}

/** The password of a database's manager, an ephemeral variable in both stacks that need it. */
export function managerPassword(
  scope: Construct,
  environment: Environment,
  database: DatabaseConfig,
): Secret {
  const name = managerPasswordVariable(environment, database);
  return Secret.fromVariable(scope, name, `Vault's own password for the database ${database.name}`);
}
