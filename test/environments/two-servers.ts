import type { EnvironmentInput } from "../../config/schema/schema";
import { personasOf, workload } from "./two-databases";

/** Two servers and one Vault. What is global to a server may have the same name on both: owner, Vault's login, group roles. */
const twoServers: EnvironmentInput = {
  name: "two-servers",
  servers: [
    {
      name: "postgres",
      superuser: "postgres",
      database: "orders",
      container: { image: "postgres:18.4", hostPort: 35437 },
    },
    {
      name: "archive",
      superuser: "keeper",
      database: "history",
      container: { image: "postgres:18.4", hostPort: 35438 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8250 },
    authMount: "approle",
    namePrefix: "app-",
  },
  databases: [
    {
      name: "orders",
      schema: "shop",
      owner: "shop_owner",
      manager: { name: "vault", passwordVersion: 1, rotateRoot: true },
      vault: { mount: "database", connection: "orders" },
      personas: personasOf("orders", "shop"),
      workload,
    },
    {
      name: "history",
      server: "archive",
      schema: "shop",
      owner: "shop_owner",
      manager: { name: "vault", passwordVersion: 1 },
      // Of a mount of its own, since Vault's database roles are called as the group roles.
      vault: {
        mount: "archive",
        connection: "history",
        maxOpenConnections: 4,
        maxIdleConnections: 1,
        maxConnectionLifetime: "5m",
        connectTimeout: "5s",
        targetSessionAttrs: "read-write",
        passwordAuthentication: "password",
      },
      personas: personasOf("history", "shop"),
      workload,
    },
  ],
  verification: true,
};

export default twoServers;
