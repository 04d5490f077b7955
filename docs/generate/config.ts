import { inspect } from "node:util";
import { z } from "zod";
import { environmentSchema } from "../../config/schema/schema";
import { table } from "./table";

type Schema = z.core.JSONSchema.BaseSchema;

const INTRODUCTION = `# A config file

An environment is one file in [config/](../config/), which exports it as its default. For one of your own copy
[config/local.ts](../config/local.ts), servers in containers on your machine, or [config/external.ts](../config/external.ts),
servers that exist already, to \`config/shop.ts\`, and set \`name: "shop"\`. \`npm start -- --env shop\` then runs it on
embedded servers, and \`npx jest test/unit/environments.test.ts\` loads and synthesizes every file in config/.

Each error is one line: the path, the value received, what is allowed; a syntax error has file, line and column. No secret is
ever written in a config file: passwords come from variables.
`;

/** What a file in config/ may say: a table for each object, from the schema that reads it. */
export function configDocument(): string {
  const schema = z.toJSONSchema(environmentSchema, { io: "input" });
  return [INTRODUCTION, ...sections(schema, "")].join("\n");
}

/** The section of an object, or of the kinds of one, and those of what is in it. */
function* sections(schema: Schema, path: string): Generator<string> {
  if (path !== "") yield `## \`${path}\`\n`;
  if (path !== "" && schema.description) yield `${schema.description}\n`;
  if (schema.oneOf) {
    yield table(["kind", "with", "what it is"], schema.oneOf.map(kindRow));
    return;
  }
  const fields = Object.entries((schema.properties ?? {}) as Record<string, Schema>);
  yield table(
    ["field", "allowed", "without it", "what it is"],
    fields.map(([name, field]) => [
      `\`${name}\``,
      allowed(field, below(path, name)),
      schema.required?.includes(name) ? "required" : withoutIt(field),
      field.description ?? "",
    ]),
  );
  for (const [name, field] of fields) {
    const inner = field.items as Schema | undefined;
    if (isObject(field)) yield* sections(field, below(path, name));
    if (inner && isObject(inner)) yield* sections(inner, `${below(path, name)}[]`);
  }
}

/** A kind of workload: what it is called, which of the personas it wants, what it does. */
function kindRow({ properties = {}, description = "" }: Schema): string[] {
  const { kind, ...others } = properties as Record<string, Schema>;
  const fields = Object.entries(others).map(
    ([name, field]) => `\`${name}\`: ${(field.description ?? "").replace(/^A /, "a ").replace(/\.$/, "")}`,
  );
  return [`\`"${String(kind!.const)}"\``, fields.join("; "), description];
}

function isObject(schema: Schema): boolean {
  return schema.properties !== undefined || schema.oneOf !== undefined;
}

function below(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function allowed(field: Schema, path: string): string {
  if (field["allowed"] !== undefined) return field["allowed"] as string;
  if (field.enum) return field.enum.map((value) => `\`"${String(value)}"\``).join(" or ");
  if (field.type === "boolean") return "`true` or `false`";
  if (field.type === "array") return `[a list](${anchor(`${path}[]`)})${field.minItems ? ", not empty" : ""}`;
  return `[${field.oneOf ? "one of its kinds" : "an object"}](${anchor(path)})`;
}

/** Of a heading, as GitHub makes it. */
function anchor(path: string): string {
  return `#${path.toLowerCase().replace(/[^a-z0-9_-]/g, "")}`;
}

function withoutIt(field: Schema): string {
  const { default: value, otherwise } = field as { default?: unknown; otherwise?: string };
  return otherwise ?? `\`${inspect(value).replaceAll("'", '"')}\``;
}
