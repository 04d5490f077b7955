import { Privileges } from "../../constructs/postgres/privileges";
import type { EnvironmentInput } from "../../config/schema/schema";
import { personasOf, workload } from "./two-databases";

const [admin, ...others] = personasOf("app");
const owner = { name: "app_owner", exists: true } as const;

/**
 * A database that was there before (existing.sql): public and another schema belong to an owner who logs in, PUBLIC keeps what it
 * has, and a login of somebody's gets its password from Vault.
 */
const existing: EnvironmentInput = {
  name: "existing",
  servers: [
    {
      name: "postgres",
      superuser: "postgres",
      database: "app",
      container: { image: "postgres:18.4", hostPort: 35442 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8280 },
    authMount: "approle",
    namePrefix: "app-",
  },
  databases: [
    {
      name: "app",
      exists: true,
      public: { database: ["CONNECT", "TEMPORARY"], schema: ["USAGE"], functions: ["EXECUTE"] },
      schemas: [
        { name: "public", owner, exists: true },
        { name: "billing", owner, exists: true },
      ],
      manager: { name: "vault", passwordVersion: 1 },
      vault: { mount: "database", connection: "app" },
      // The owner may not CREATE on the database.
      personas: [{ ...admin!, privileges: { ...Privileges.OWNER, database: ["CONNECT"] } }, ...others],
      staticRoles: [
        {
          name: "batch",
          login: { name: "batch", exists: true },
          persona: "report",
          rotationPeriod: "24h",
        },
      ],
      workload,
    },
  ],
  verification: true,
};

export default existing;
