import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnvironment, type Environment } from "../../config/schema/schema";

const NOT_ENVIRONMENTS = ["load", "main"];

/** Environments that only tests have: no user can name them. */
export function testEnvironmentNames(): string[] {
  return readdirSync(__dirname)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => file.replace(/\.ts$/, ""))
    .filter((name) => !NOT_ENVIRONMENTS.includes(name))
    .sort();
}

/** SQL of what is on the first server before anything is deployed. */
export function beforeOf(name: string): string | undefined {
  const file = join(__dirname, `${name}.sql`);
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}

/** @throws ConfigError */
export async function loadTestEnvironment(name: string): Promise<Environment> {
  const exported = (await import(join(__dirname, `${name}.ts`))) as { default: unknown };
  return parseEnvironment(`test/environments/${name}.ts`, exported.default);
}
