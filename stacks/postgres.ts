import { PostgresqlProvider } from "@cdktf/provider-postgresql/lib/provider";
import { TerraformVariable } from "cdktf";
import type { Construct } from "constructs";
import { probeRoleNames, type Environment } from "../config/schema";
import { AccessRole } from "../constructs/postgres/access-role";
import { Database } from "../constructs/postgres/database";
import { ManagerLogin } from "../constructs/postgres/manager-login";
import { Privileges } from "../constructs/postgres/privileges";
import { Secret } from "../constructs/secret";
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
    super(scope, "postgres");
    const host = new TerraformVariable(this, "postgres_host", {
      type: "string",
      default: "127.0.0.1",
      description: "PostgreSQL's host, as Terraform reaches it",
    });
    const port = new TerraformVariable(this, "postgres_port", {
      type: "number",
      default: environment.platform.postgres.hostPort,
      description: "PostgreSQL's port, as Terraform reaches it",
    });
    const password = Secret.fromVariable(
      this,
      "postgres_superuser_password",
      "the bootstrap superuser's password",
    );
    new PostgresqlProvider(this, "postgresql", {
      host: host.stringValue,
      port: port.numberValue,
      database: environment.databases[0]!.name,
      username: environment.superuser,
      password: password.reference,
      sslmode: "disable",
    });

    for (const config of environment.databases) {
      const owners = config.personas.filter((persona) => persona.actsAsOwner);
      const database = new Database(this, config.name, {
        name: config.name,
        schema: config.schema,
        owner: config.owner,
        ownerMayCreateTemporaryTables: owners.some(({ privileges }) =>
          privileges.database.includes("TEMPORARY"),
        ),
      });
      const manager = new ManagerLogin(database, "Manager", {
        name: config.manager.name,
        password: Secret.fromVariable(
          this,
          managerPasswordVariable(config.manager.name),
          "Vault's own password",
        ),
        passwordVersion: config.manager.passwordVersion,
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
      const names = probeRoleNames(config);
      const probes = environment.verification
        ? {
            owner: add("VerifyOwner", names.owner, Privileges.CONNECT, true),
            short: add("VerifyShort", names.short, Privileges.CONNECT, false),
          }
        : undefined;
      this.access.set(config.name, { personas, probes });
    }
  }
}

/** The variable that holds a manager's password, in both stacks that need it. */
export function managerPasswordVariable(manager: string): string {
  return `${manager.replaceAll("-", "_")}_manager_password`;
}
