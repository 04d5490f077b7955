import { Privileges } from "../../../constructs/postgres/privileges";
import type { EnvironmentInput } from "../../../config/schema/schema";

/**
 * Barrat's article (https://marmelab.com/blog/2023/01/05/securely-manage-database-secrets-with-vault.html): a Vault that
 * keeps what it stores, a database admin of least privilege, and one application that reads.
 */
const marmelab: EnvironmentInput = {
  name: "marmelab",
  servers: [
    {
      name: "postgres",
      superuser: "postgres",
      database: "marmelab",
      container: { image: "postgres:18.4", hostPort: 35433 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8210, storage: "file", lockMemory: true },
    unsealKeys: { shares: 5, threshold: 3 },
    authMount: "approle",
    namePrefix: "app-",
    operatorPolicy: "db-admin",
  },
  databases: [
    {
      name: "marmelab",
      schema: "app",
      owner: "app_owner",
      manager: { name: "vault", passwordVersion: 1, rotateRoot: true },
      vault: { mount: "database", connection: "marmelab" },
      personas: [
        {
          name: "web",
          groupRole: "app_reader",
          appRole: "app-web",
          privileges: { ...Privileges.CONNECT, schema: ["USAGE"], tables: ["SELECT"] },
          lease: { defaultTtl: "1h", maxTtl: "24h" },
          token: { ttl: "1h", maxTtl: "7d" },
          // Delivered at each start of the application, and of no use once it has logged in.
          secretId: { ttl: "1h", uses: 1 },
        },
      ],
      workload: { kind: "pool", reader: "web" },
    },
  ],
  verification: true,
};

export default marmelab;
