import { Privileges } from "../constructs/postgres/privileges";
import type { EnvironmentInput } from "./schema/schema";

/**
 * Barrat's article (https://marmelab.com/blog/2023/01/05/securely-manage-database-secrets-with-vault.html): a Vault that
 * keeps what it stores, a database admin of least privilege, and one application that reads.
 * Safer here: Vault's own login is no superuser, and the application logs in with an AppRole (docs/sources.md).
 */
const marmelab: EnvironmentInput = {
  name: "marmelab",
  servers: [
    {
      name: "postgres",
      superuser: "postgres",
      database: "postgres",
      container: { image: "postgres:18.4", hostPort: 5432 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8200, storage: "file", lockMemory: true },
    unsealKeys: { shares: 5, threshold: 3 },
    authMount: "approle",
    operatorPolicy: "db-admin",
  },
  databases: [
    {
      name: "postgres",
      schemas: [{ name: "public", owner: { name: "postgres", exists: true } }],
      manager: { name: "vault", passwordVersion: 1, rotateRoot: true },
      vault: { mount: "database", connection: "my-postgres-database" },
      personas: [
        {
          name: "app",
          groupRole: "db-app",
          appRole: "app",
          privileges: { ...Privileges.CONNECT, schema: ["USAGE"], tables: ["SELECT"] },
          lease: { defaultTtl: "1h", maxTtl: "24h" },
          token: { ttl: "1h", maxTtl: "7d" },
          // Delivered at each start of the application, and of no use once it has logged in.
          secretId: { ttl: "1h", uses: 1 },
        },
      ],
      workload: { kind: "pool", reader: "app" },
    },
  ],
  verification: true,
};

export default marmelab;
