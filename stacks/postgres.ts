import type { Construct } from "constructs";
import { schemasOf, serverOf, type Environment } from "../config/schema/schema";
import { Database, Owner, Schema, type SchemaProps } from "../constructs/postgres/database";
import { ManagerLogin } from "../constructs/postgres/manager-login";
import { PostgresServer } from "../constructs/postgres/server";
import { Secret } from "../constructs/secret";
import { managerPasswordVariable } from "../manifest/names";
import { LeaseholdStack } from "./stack";

type SchemaConfig = ReturnType<typeof schemasOf>[number];

function toProps(
  { name, exists, owner, ownerExists, creators }: SchemaConfig,
  superuser: string,
): SchemaProps {
  const existing = owner === superuser ? Owner.superuser : Owner.fromName;
  return {
    schema: exists ? Schema.fromName(name) : name,
    owner: ownerExists ? existing(owner) : owner,
    creators,
  };
}

/** What Vault needs to find in PostgreSQL: owners, schemas, Vault's own logins, and the personas' roles, added with Vault's. */
export class PostgresStack extends LeaseholdStack {
  /** Vault's own logins, by the name of their database. */
  readonly managers = new Map<string, ManagerLogin>();

  constructor(scope: Construct, environment: Environment) {
    super(scope, "postgres", environment);
    const servers = new Map(
      environment.servers.map(({ container, ...server }, i) => [
        server.name,
        new PostgresServer(this, `Server-${server.name}`, {
          ...server,
          ...(container && { host: "127.0.0.1", port: container.hostPort }),
          alias: i === 0 ? undefined : server.name,
        }),
      ]),
    );
    for (const config of environment.databases) {
      const server = serverOf(environment, config);
      const [schema, ...further] = schemasOf(config);
      const database = new Database(this, `Database-${config.name}`, {
        name: config.name,
        create: !config.exists && config.name !== server.database,
        exists: config.exists,
        public: config.public ?? (config.exists ? "keep" : "take"),
        server: servers.get(server.name),
        ...toProps(schema!, server.superuser),
        furtherSchemas: further.map((each) => toProps(each, server.superuser)),
      });
      const manager = new ManagerLogin(database, "Manager", {
        database,
        name: config.manager.name,
        environment: environment.name,
        functionsOwner: environment.leases === "functions" ? server.superuser : undefined,
        password: Secret.fromVariable(managerPasswordVariable(environment, config), {
          for: "manager-password",
          server: server.name,
          description: `Vault's own password for the database ${config.name}`,
        }),
      });
      this.managers.set(config.name, manager);
    }
  }
}
