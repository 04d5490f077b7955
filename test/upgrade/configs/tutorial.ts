import { Privileges } from "../../../constructs/postgres/privileges";
import type { EnvironmentInput } from "../../../config/schema/schema";

/** HashiCorp's tutorial (https://developer.hashicorp.com/vault/tutorials/db-credentials/database-secrets): an admin, and apps that read. */
const tutorial: EnvironmentInput = {
  name: "tutorial",
  servers: [
    {
      name: "postgres",
      superuser: "root",
      database: "hashicups",
      container: { image: "postgres:18.4", hostPort: 35434 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8220 },
    authMount: "approle",
    namePrefix: "apps-",
    operatorPolicy: "admin",
  },
  databases: [
    {
      name: "hashicups",
      schema: "shop",
      owner: "shop_owner",
      manager: { name: "vault", passwordVersion: 1 },
      vault: { mount: "database", connection: "postgresql" },
      personas: [
        {
          name: "readonly",
          groupRole: "readonly",
          appRole: "apps-readonly",
          privileges: Privileges.READ,
          lease: { defaultTtl: "1h", maxTtl: "24h" },
          token: { ttl: "1h", maxTtl: "24h" },
          secretId: { ttl: "24h", uses: 100 },
        },
      ],
      workload: { kind: "leases", reader: "readonly" },
    },
  ],
  verification: true,
};

export default tutorial;
