import { Privileges } from "../constructs/postgres/privileges";
import type { EnvironmentInput } from "./schema/schema";

/**
 * HashiCorp's tutorial (https://developer.hashicorp.com/vault/tutorials/db-credentials/database-secrets): an admin, and apps that read.
 * Safer here: Vault's own login is no superuser, and the apps log in with an AppRole (docs/sources.md).
 */
const tutorial: EnvironmentInput = {
  name: "tutorial",
  servers: [
    {
      name: "postgres",
      superuser: "root",
      database: "postgres",
      container: { image: "postgres:18.4", hostPort: 5432 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8200 },
    authMount: "approle",
    operatorPolicy: "admin",
  },
  databases: [
    {
      name: "postgres",
      schemas: [{ name: "public", owner: { name: "root", exists: true } }],
      manager: { name: "vault", passwordVersion: 1 },
      vault: { mount: "database", connection: "postgresql" },
      personas: [
        {
          name: "apps",
          groupRole: "readonly",
          appRole: "apps",
          privileges: { ...Privileges.CONNECT, schema: ["USAGE"], tables: ["SELECT"] },
          lease: { defaultTtl: "1h", maxTtl: "24h" },
          token: { ttl: "1h", maxTtl: "24h" },
          secretId: { ttl: "24h", uses: 100 },
        },
      ],
      workload: { kind: "leases", reader: "apps" },
    },
  ],
  verification: true,
};

export default tutorial;
