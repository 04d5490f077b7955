import { Privileges } from "../../constructs/postgres/privileges";
import type { EnvironmentInput } from "../../config/schema/schema";
import { personasOf, workload } from "./two-databases";

const [, service, report] = personasOf("stats");

/**
 * Two databases with several schemas: one has public and an owner of all of them, the other an owner a schema and a creator
 * beside one of them.
 */
const severalSchemas: EnvironmentInput = {
  name: "several-schemas",
  servers: [
    {
      name: "postgres",
      superuser: "postgres",
      database: "shop",
      container: { image: "postgres:18.4", hostPort: 35441 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8270 },
    authMount: "approle",
    namePrefix: "app-",
  },
  databases: [
    {
      name: "shop",
      schemas: [
        { name: "public", owner: "shop_owner" },
        { name: "billing", owner: "shop_owner" },
        // Quoted in a search path.
        { name: "Order-items", owner: "shop_owner" },
      ],
      manager: { name: "vault_shop", passwordVersion: 1 },
      vault: { mount: "database", connection: "shop" },
      personas: personasOf("shop"),
      workload,
    },
    {
      name: "stats",
      schemas: [
        { name: "daily", owner: "daily_owner", creators: ["postgres", "monthly_owner"] },
        { name: "monthly", owner: "monthly_owner" },
      ],
      manager: { name: "vault_stats", passwordVersion: 1 },
      vault: { mount: "database", connection: "stats" },
      personas: [
        { ...service!, privileges: { ...Privileges.READ_WRITE, schema: ["USAGE", "CREATE"] } },
        report!,
      ],
      staticRoles: [
        { name: "stats-nightly", login: "stats_nightly", persona: "service", rotationPeriod: "24h" },
      ],
      workload: { kind: "leases", reader: "report" },
    },
  ],
  verification: true,
};

export default severalSchemas;
