import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, parseEnvironment, type Environment } from "./schema/schema";

const NOT_ENVIRONMENTS = ["load"];

/** The environments that have a file in config/. */
export function environmentNames(): string[] {
  return readdirSync(__dirname)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => file.slice(0, -3))
    .filter((name) => !NOT_ENVIRONMENTS.includes(name))
    .sort();
}

/**
 * Reads and validates `config/<name>.ts`, by default the one that LEASEHOLD_ENV names, else local.
 * @throws ConfigError when there is no such file, when it can't be loaded, or for each value that is not allowed.
 */
export async function loadEnvironment(name = process.env["LEASEHOLD_ENV"] || "local"): Promise<Environment> {
  const file = join(__dirname, `${name}.ts`);
  if (!environmentNames().includes(name)) {
    throw new ConfigError([
      `environment: received ${JSON.stringify(name)}, allowed: one of ${environmentNames().join(", ")}`,
    ]);
  }
  const shortName = `config/${name}.ts`;
  let exported: { default?: unknown };
  try {
    exported = (await import(file)) as typeof exported;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ConfigError([`${shortName}: can't be loaded: ${message.split("\n")[0] ?? ""}`]);
  }
  const environment = parseEnvironment(shortName, exported.default);
  // State, policies and containers are called after it: a copy that kept its model's name would take them over.
  if (environment.name !== name) {
    throw new ConfigError([
      `${shortName}: name: received ${JSON.stringify(environment.name)}, allowed: the file's, "${name}"`,
    ]);
  }
  return environment;
}
