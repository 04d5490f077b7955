import { join } from "node:path";

/**
 * The folder with what 0.1.0 (commit b32b2e3) synthesized for an environment: its stacks, access.json and operator.hcl. What
 * is deployed from it has to come to today's state with its leases alive.
 */
export function release(environment: string): string {
  return join(__dirname, "0.1.0", environment);
}
