import { existsSync } from "node:fs";
import { join } from "node:path";
import type { EnvironmentInput } from "../../config/schema/schema";

/**
 * The folder with what 0.1.0 (commit b32b2e3) synthesized for an environment: its stacks, access.json and operator.hcl. What
 * is deployed from it has to come to today's state with its leases alive.
 */
export function release(environment: string): string {
  return join(__dirname, "0.1.0", environment);
}

/**
 * The config with which such a deployment is brought to today's state, where the project's own of that name has become another
 * environment: another database, superuser and schema on the same server are no upgrade (CHANGELOG.md).
 */
export async function configOf(environment: string): Promise<EnvironmentInput | undefined> {
  const file = join(__dirname, "configs", `${environment}.ts`);
  if (!existsSync(file)) return undefined;
  return ((await import(file)) as { default: EnvironmentInput }).default;
}
