import { Privileges } from "../constructs/postgres/privileges";
import type { EnvironmentInput } from "./schema/schema";

const lifetimes = {
  lease: { defaultTtl: "1h", maxTtl: "24h" },
  token: { ttl: "20m", maxTtl: "30m" },
  // The example's own choice: a consumer that outlives its token logs in and leases anew.
  leaseEndsWithToken: true,
  secretId: { ttl: "24h", uses: 100 },
} as const;

/**
 * One database with a schema admin, a writer and a reader: the nanvc example.
 * Safer here: revoking a lease closes the login before anything else, and PUBLIC keeps nothing (docs/sources.md).
 */
const local: EnvironmentInput = {
  name: "local",
  servers: [
    {
      name: "postgres",
      superuser: "nanvc",
      database: "nanvc",
      container: { image: "postgres:18.4", hostPort: 35432 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8200 },
    authMount: "approle",
    namePrefix: "db-",
  },
  // As the source has it, which is without functions.
  leases: "createrole",
  databases: [
    {
      name: "nanvc",
      schema: "example",
      owner: "example_owner",
      manager: { name: "vault", passwordVersion: 1 },
      vault: { mount: "database", connection: "postgres-example" },
      personas: [
        {
          name: "schema-admin",
          groupRole: "schema_admin_role",
          appRole: "db-admin-schema-role",
          actsAsOwner: true,
          privileges: Privileges.OWNER,
          ...lifetimes,
        },
        {
          name: "readwrite",
          groupRole: "readwrite_role",
          appRole: "db-readwrite-role",
          privileges: Privileges.READ_WRITE,
          ...lifetimes,
        },
        {
          name: "readonly",
          groupRole: "readonly_role",
          appRole: "db-readonly-role",
          privileges: Privileges.READ,
          ...lifetimes,
        },
      ],
      workload: {
        ...{ kind: "users", admin: "schema-admin", writer: "readwrite", reader: "readonly" },
        table: "users",
      },
    },
  ],
  verification: true,
};

export default local;
