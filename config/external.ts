import { Privileges } from "../constructs/postgres/privileges";
import type { EnvironmentInput } from "./schema/schema";

const lifetimes = {
  lease: { defaultTtl: "1h", maxTtl: "24h" },
  token: { ttl: "1h", maxTtl: "24h" },
  secretId: { ttl: "24h", uses: 100 },
} as const;

/** Servers that exist already, reached with TLS: addresses, CA certificates and Vault's namespace come from variables. */
const external: EnvironmentInput = {
  name: "external",
  servers: [{ name: "postgres", superuser: "postgres", database: "app", tls: true }],
  vault: { tls: true, authMount: "approle", namePrefix: "app-" },
  databases: [
    {
      name: "app",
      schema: "app",
      owner: "app_owner",
      manager: { name: "vault", passwordVersion: 1 },
      vault: { mount: "database", connection: "app" },
      personas: [
        {
          name: "admin",
          groupRole: "app_admin",
          appRole: "app-admin",
          actsAsOwner: true,
          privileges: Privileges.OWNER,
          ...lifetimes,
        },
        {
          name: "service",
          groupRole: "app_service",
          appRole: "app-service",
          privileges: Privileges.READ_WRITE,
          ...lifetimes,
        },
        {
          name: "report",
          groupRole: "app_report",
          appRole: "app-report",
          privileges: Privileges.READ,
          ...lifetimes,
        },
      ],
      workload: { kind: "users", admin: "admin", writer: "service", reader: "report" },
    },
  ],
  verification: true,
};

export default external;
