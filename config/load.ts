import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { printable } from "../clients/text";
import { ConfigError, parseEnvironment, type Environment } from "./schema/schema";

/** The environments that have a file in config/. */
export function environmentNames(): string[] {
  return readdirSync(__dirname)
    .filter((file) => file.endsWith(".ts") && join(__dirname, file) !== __filename)
    .map((file) => file.slice(0, -3))
    .sort();
}

/**
 * Reads and validates `config/<name>.ts`, by default the one that LEASEHOLD_ENV names, else local.
 * @throws ConfigError when there is no such file, when it can't be loaded, or for each value that is not allowed.
 */
export async function loadEnvironment(name = process.env["LEASEHOLD_ENV"] || "local"): Promise<Environment> {
  const names = environmentNames();
  if (!names.includes(name)) {
    throw new ConfigError([
      `environment: received ${JSON.stringify(name)}, allowed: one of ${names.join(", ")}`,
    ]);
  }
  const file = `config/${name}.ts`;
  let exported: { default?: unknown };
  try {
    exported = (await import(join(__dirname, `${name}.ts`))) as typeof exported;
  } catch (error) {
    throw new ConfigError(failures(file, error).map(printable));
  }
  const environment = parseEnvironment(file, exported.default);
  // State, policies and containers are called after it: a copy that kept its model's name would take them over.
  if (environment.name !== name) {
    throw new ConfigError([
      `${file}: name: received ${JSON.stringify(environment.name)}, allowed: the file's, "${name}"`,
    ]);
  }
  return environment;
}

/** Each syntax error, or the one error of a file that runs, with line and column, counted from 1, where they are known. */
function failures(file: string, error: unknown): string[] {
  const { message = String(error), stack = "" } = (error ?? {}) as Partial<Error>;
  const at = (path: string, line: string, column: number) =>
    `${relative(join(__dirname, ".."), path)}:${line}:${String(column)}`;
  // esbuild, which compiles for tsx, counts columns from 0.
  const syntaxErrors = [...message.matchAll(/^(.+):(\d+):(\d+): ERROR: (.+)$/gm)];
  if (syntaxErrors.length > 0)
    return syntaxErrors.map(
      ([, path, line, column, text]) => `${at(path!, line!, Number(column) + 1)}: ${text!}`,
    );
  const [, path, line, column] =
    [...stack.matchAll(/(\/[^():]+):(\d+):(\d+)\)?$/gm)].find(
      ([, path]) => path!.startsWith(`${__dirname}/`) && path !== __filename,
    ) ?? [];
  const where = path === undefined ? file : at(path, line!, Number(column));
  return [`${where}: can't be loaded: ${message.split("\n", 1)[0]!}`];
}
