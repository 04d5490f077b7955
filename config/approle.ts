import { Privileges } from "../constructs/postgres/privileges";
import type { EnvironmentInput } from "./schema/schema";

/**
 * Dynamic credentials with AppRole
 * (https://www.devclubhouse.com/a/dynamic-database-credentials-with-hashicorp-vault-approle-auth-and-short-lived): an
 * application that reads, with a secret id that serves ten times, and a Vault in dev mode.
 * Safer here: Vault's own login is no superuser (docs/sources.md).
 */
const approle: EnvironmentInput = {
  name: "approle",
  servers: [
    {
      name: "postgres",
      superuser: "vaultadmin",
      database: "appdb",
      container: { image: "postgres:18.4", hostPort: 5432 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8200, mode: "dev" },
    authMount: "approle",
  },
  databases: [
    {
      name: "appdb",
      schemas: [{ name: "public", owner: { name: "vaultadmin", exists: true } }],
      manager: { name: "vault", passwordVersion: 1 },
      vault: { mount: "database", connection: "appdb" },
      personas: [
        {
          name: "myapp",
          groupRole: "app-role",
          appRole: "myapp",
          policy: "app-policy",
          privileges: { ...Privileges.CONNECT, schema: ["USAGE"], tables: ["SELECT"] },
          lease: { defaultTtl: "1h", maxTtl: "24h" },
          token: { ttl: "1h", maxTtl: "4h" },
          // The source's own choice: after four hours the application logs in and leases anew.
          leaseEndsWithToken: true,
          secretId: { ttl: "24h", uses: 10 },
        },
      ],
      workload: { kind: "approle", reader: "myapp" },
    },
  ],
  verification: true,
};

export default approle;
