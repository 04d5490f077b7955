import { Privileges } from "../../constructs/postgres/privileges";
import type { EnvironmentInput } from "../../config/schema/schema";

const lifetimes = {
  lease: { defaultTtl: "1h", maxTtl: "24h" },
  token: { ttl: "1h", maxTtl: "24h" },
  secretId: { ttl: "24h", uses: 100 },
} as const;

type Database = EnvironmentInput["databases"][number];

/**
 * Admin, service and report of a database.
 * @param groups what their group roles' names start with: once on a server
 */
export function personasOf(name: string, groups = name): Database["personas"] {
  return [
    {
      name: "admin",
      groupRole: `${groups}_admin`,
      appRole: `app-${name}-admin`,
      actsAsOwner: true,
      privileges: Privileges.OWNER,
      ...lifetimes,
    },
    {
      name: "service",
      groupRole: `${groups}_service`,
      appRole: `app-${name}-service`,
      vault: {
        policies: ["kv-common"],
        paths: [
          { path: `secret/data/${name}/*`, capabilities: ["read"] },
          { path: `secret/metadata/+/${name}/`, capabilities: ["read", "list"] },
        ],
      },
      privileges: Privileges.READ_WRITE,
      ...lifetimes,
    },
    {
      name: "report",
      groupRole: `${groups}_report`,
      appRole: `app-${name}-report`,
      privileges: Privileges.READ,
      ...lifetimes,
    },
  ];
}

export const workload = { kind: "users", admin: "admin", writer: "service", reader: "report" } as const;

/** Two databases on one server and one mount: the server has the first, the stack makes the second. */
const twoDatabases: EnvironmentInput = {
  name: "two-databases",
  servers: [
    {
      name: "postgres",
      superuser: "postgres",
      database: "orders",
      container: { image: "postgres:18.4", hostPort: 35436 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8240 },
    authMount: "approle",
    namePrefix: "app-",
  },
  databases: [
    {
      name: "orders",
      schema: "shop",
      owner: "orders_owner",
      manager: { name: "vault_orders", passwordVersion: 1 },
      vault: { mount: "database", connection: "orders" },
      personas: personasOf("orders"),
      workload,
    },
    {
      name: "billing",
      // The same name as the other database's: schemas are a database's own.
      schema: "shop",
      owner: "billing_owner",
      manager: { name: "vault_billing", passwordVersion: 1 },
      vault: { mount: "database", connection: "billing" },
      personas: personasOf("billing"),
      workload,
    },
  ],
  verification: true,
};

export default twoDatabases;
