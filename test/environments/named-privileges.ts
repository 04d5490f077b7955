import { SchemaPrivileges } from "../../constructs/postgres/privileges";
import type { EnvironmentInput } from "../../config/schema/schema";
import { personasOf } from "./two-databases";

const [admin, service, report] = personasOf("shop");
const owner = { name: "shop_owner", exists: true } as const;

/** Two schemas of a database that was there before (named-privileges.sql): privileges by schema, by table and by column. */
const namedPrivileges: EnvironmentInput = {
  name: "named-privileges",
  servers: [
    {
      name: "postgres",
      superuser: "postgres",
      database: "shop",
      container: { image: "postgres:18.4", hostPort: 35443 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8290 },
    authMount: "approle",
    namePrefix: "app-",
  },
  databases: [
    {
      name: "shop",
      schemas: [
        { name: "sales", owner, exists: true },
        { name: "billing", owner, exists: true },
      ],
      manager: { name: "vault", passwordVersion: 1 },
      vault: { mount: "database", connection: "shop" },
      personas: [
        { ...admin!, privileges: { database: ["CONNECT"], ...SchemaPrivileges.OWNER } },
        {
          ...service!,
          privileges: {
            database: ["CONNECT"],
            schemas: {
              sales: {
                schema: ["USAGE"],
                tables: {
                  "Order-items": ["SELECT", "INSERT"],
                  customers: { SELECT: ["id", "email"], INSERT: ["email", "id"], UPDATE: ["email"] },
                  open_orders: { SELECT: true },
                },
                sequences: ["USAGE"],
              },
            },
          },
        },
        {
          ...report!,
          privileges: {
            database: ["CONNECT"],
            schemas: {
              billing: SchemaPrivileges.READ,
              sales: {
                schema: ["USAGE"],
                tables: { customers: { SELECT: ["id"] }, "Order-items": { SELECT: true, UPDATE: ["paid"] } },
              },
            },
          },
        },
      ],
      workload: { kind: "leases", reader: "report" },
    },
  ],
  verification: true,
};

export default namedPrivileges;
