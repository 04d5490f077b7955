import { inspect } from "node:util";
import type { z } from "zod";
import { printable } from "../../clients/text";
import { holdsCredentials, isSecretName } from "./secrets";

/** Thrown for a config that can't be used: one line an error, never more. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  constructor(readonly lines: readonly string[]) {
    super(lines.join("\n"));
  }
}

type Path = readonly PropertyKey[];

/** What is at a path; undefined where there is nothing. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (at, part) => (at as Record<PropertyKey, unknown> | null | undefined)?.[part],
    value,
  );
}

/** `databases[0] (shop).personas[1] (readonly).token`: a list's entry with its name, where the path does not lead there. */
export function pathText(path: Path, whole: unknown): string {
  return path
    .map((part, i) => {
      if (typeof part !== "number") return `${i ? "." : ""}${String(part)}`;
      const name = path[i + 1] === "name" ? undefined : valueAt(whole, [...path.slice(0, i + 1), "name"]);
      return `[${String(part)}]${typeof name === "string" && /^[\w-]{1,128}$/.test(name) ? ` (${name})` : ""}`;
    })
    .join("");
}

/** A line for each thing that is wrong: the field's path, the value received, what is allowed. */
export function messages(file: string, input: unknown, issues: readonly z.core.$ZodIssue[]): string[] {
  const line = (path: Path, text: string) =>
    printable(`${file}: ${pathText(path, input) || "(whole file)"}: ${text}`);
  return issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys")
      return issue.keys.map((key) =>
        line([...issue.path, key], PASSWORD.test(key) ? NO_SECRET : "no such field"),
      );
    const value = issue.code === "invalid_key" ? issue.path.at(-1) : valueAt(input, issue.path);
    const received = value === undefined ? "nothing" : shown(value, issue.path);
    return line(issue.path, `received ${received}, allowed: ${issue.message}`);
  });
}

const PASSWORD = /passw|secret$/i;
const NO_SECRET =
  "a secret is never written in a config file; set TF_VAR_<server>_superuser_password or TF_VAR_<manager>_manager_password";
const DEPTH = 4;

/** On one line, cut where it gets long, without what could be a secret. */
function shown(value: unknown, path: Path): string {
  // Of fields that are called like a secret, those of numbers are the schema's own.
  const told = typeof value === "number" ? value : disclosed(value, isSecretName(String(path.at(-1))));
  const text = inspect(told, { depth: DEPTH, breakLength: Infinity, compact: true });
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Lists and plain objects with what is in them; of other objects, and of functions, their kind. */
function disclosed(value: unknown, isSecret: boolean, depth = DEPTH): unknown {
  if (typeof value !== "function" && (typeof value !== "object" || value === null))
    return isSecret || holdsCredentials(String(value)) ? "(not shown)" : value;
  if (depth < 0) return value;
  if (Array.isArray(value)) return value.map((item) => disclosed(item, isSecret, depth - 1));
  if (Object.getPrototypeOf(value) !== Object.prototype)
    return { [inspect.custom]: () => Object.prototype.toString.call(value) };
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      disclosed(item, isSecret || isSecretName(key), depth - 1),
    ]),
  );
}
