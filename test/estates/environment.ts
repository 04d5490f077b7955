import type { EnvironmentInput } from "../../config/schema/schema";
import { personasOf, workload } from "../environments/two-databases";
import type { Estate } from "./estate";

/** A database for each that the estates name, with a schema an estate; one deployment for all of them. */
export function environmentOf(estates: readonly Estate[]): EnvironmentInput {
  const names = [...new Set(estates.map(({ database }) => database))];
  return {
    name: "estates",
    servers: [
      {
        name: "postgres",
        superuser: "postgres",
        database: names[0]!,
        container: { image: "postgres:18.4", hostPort: 35449 },
      },
    ],
    vault: {
      container: { image: "hashicorp/vault:1.21.4", hostPort: 8290 },
      authMount: "approle",
      namePrefix: "app-",
    },
    databases: names.map((name) => ({
      name,
      schemas: estates
        .filter(({ database }) => database === name)
        .map(({ schema }) => ({ name: schema, owner: `${name}_owner` })),
      manager: { name: `vault_${name}`, passwordVersion: 1 },
      vault: { mount: "database", connection: name },
      personas: personasOf(name),
      ...(name === "estates" && { workload }),
    })),
    verification: true,
  };
}
