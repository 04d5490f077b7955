import { readFileSync } from "node:fs";

/** What the engine cannot apply; the message names the resource, attribute or expression. */
export class ApplyError extends Error {
  override readonly name = "ApplyError";
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = Readonly<Record<string, Json>>;

export interface Resource {
  readonly type: string;
  /** `type.name`, as Terraform writes it. */
  readonly address: string;
  /** The provider's name, with its alias behind a dot where the resource names one. */
  readonly provider: string;
  readonly attributes: JsonObject;
  /** Addresses that it needs first: `depends_on` and what its attributes refer to. */
  readonly needs: readonly string[];
}

export interface Configuration {
  readonly resources: readonly Resource[];
  /** By name, or name and alias: `postgresql`, `postgresql.second`. */
  readonly providers: ReadonlyMap<string, JsonObject>;
  readonly variables: ReadonlyMap<string, { readonly default?: Json }>;
}

const KNOWN_BLOCKS = ["//", "terraform", "provider", "resource", "variable", "output", "removed"];
// What says nothing to one apply from nothing: where state is, which versions are wanted, how a later apply goes about it.
const KNOWN_SETTINGS = ["//", "backend", "cloud", "required_providers", "required_version"];
const KNOWN_LIFECYCLE = [
  "//",
  "create_before_destroy",
  "ignore_changes",
  "prevent_destroy",
  "replace_triggered_by",
];
// The values are the caller's to choose: of what type, how they are shown and kept has no meaning here.
const KNOWN_VARIABLE = ["//", "default", "description", "ephemeral", "nullable", "sensitive", "type"];
const KNOWN_OUTPUT = ["//", "depends_on", "description", "ephemeral", "sensitive", "value"];
const KNOWN_REMOVED = ["//", "from", "lifecycle"];
const KNOWN_REQUIREMENT = ["//", "configuration_aliases", "source", "version"];
const REFERENCE = /^([a-z][a-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_-]*)\.([a-z][a-z0-9_]*)$/;
/** An expression that is one variable. */
export const VARIABLE = /^var\.([A-Za-z_][A-Za-z0-9_-]*)$/;

/**
 * Reads Terraform's JSON configuration syntax
 * (https://developer.hashicorp.com/terraform/language/syntax/json), as far as one apply from nothing needs it.
 * @throws ApplyError for a block, meta-argument or expression that it does not know
 */
export function readConfiguration(file: string): Configuration {
  return parseConfiguration(JSON.parse(readFileSync(file, "utf8")) as JsonObject);
}

export function parseConfiguration(json: JsonObject): Configuration {
  for (const block of Object.keys(json)) {
    if (!KNOWN_BLOCKS.includes(block)) throw new ApplyError(`block "${block}" is not known to the sandbox`);
  }
  const settings = onlyKnown(only(json["terraform"] ?? {}, "terraform"), KNOWN_SETTINGS, "terraform");
  for (const [name, wanted] of Object.entries(
    only(settings["required_providers"] ?? {}, "terraform.required_providers"),
  )) {
    const where = `terraform.required_providers.${name}`;
    // An older spelling is the version alone.
    if (typeof wanted !== "string") onlyKnown(asObject(wanted, where), KNOWN_REQUIREMENT, where);
  }
  const providers = new Map<string, JsonObject>();
  for (const [name, value] of Object.entries(asObject(json["provider"], "provider"))) {
    for (const block of Array.isArray(value) ? (value as Json[]) : [value]) {
      const { "//": _comment, alias, ...settings } = asObject(block, `provider.${name}`);
      providers.set(typeof alias === "string" ? `${name}.${alias}` : name, settings);
    }
  }
  const variables = new Map(
    Object.entries(asObject(json["variable"], "variable")).map(([name, value]) => [
      name,
      onlyKnown(only(value, `variable.${name}`), KNOWN_VARIABLE, `variable.${name}`),
    ]),
  );
  const resources = Object.entries(asObject(json["resource"], "resource")).flatMap(([type, byName]) =>
    Object.entries(asObject(byName, `resource.${type}`)).map(([name, body]) =>
      parseResource(type, `${type}.${name}`, only(body, `${type}.${name}`)),
    ),
  );
  checkOutputs(asObject(json["output"], "output"), resources);
  checkRemoved(json["removed"] ?? [], resources);
  return { resources, providers, variables };
}

/** What is to be seen after an apply, which has no state to keep it in. */
function checkOutputs(outputs: JsonObject, resources: readonly Resource[]): void {
  for (const [name, value] of Object.entries(outputs)) {
    const where = `output.${name}`;
    const output = onlyKnown(only(value, where), KNOWN_OUTPUT, where);
    forEachExpression(output["value"] ?? null, where, (expression) => {
      const address = REFERENCE.exec(expression)?.slice(1, 3).join(".");
      if (address !== undefined && !resources.some((resource) => resource.address === address))
        throw new ApplyError(`${where} needs ${address}, which is not declared`);
    });
  }
}

/** Resources that Terraform is to forget: an empty server has none of them. */
function checkRemoved(blocks: Json, resources: readonly Resource[]): void {
  for (const block of Array.isArray(blocks) ? (blocks as Json[]) : [blocks]) {
    const { from, lifecycle } = onlyKnown(asObject(block, "removed"), KNOWN_REMOVED, "removed");
    if (typeof from !== "string")
      throw new ApplyError(
        `removed.from: must be an address, received ${JSON.stringify(from ?? null).slice(0, 40)}`,
      );
    const where = `removed.${from}`;
    onlyKnown(only(lifecycle ?? {}, `${where}.lifecycle`), ["//", "destroy"], `${where}.lifecycle`);
    if (resources.some(({ address }) => address === from)) throw new ApplyError(`${where}: it is declared`);
  }
}

function parseResource(type: string, address: string, body: JsonObject): Resource {
  const { "//": _comment, depends_on: dependsOn, lifecycle, provider, ...rest } = body;
  onlyKnown(only(lifecycle ?? {}, `${address}.lifecycle`), KNOWN_LIFECYCLE, `${address}.lifecycle`);
  for (const key of ["count", "for_each", "provisioner", "connection"]) {
    if (key in rest) throw new ApplyError(`${address}: meta-argument "${key}" is not known to the sandbox`);
  }
  // In Terraform's JSON null means that the attribute is not there.
  const attributes = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null));
  const needs = new Set(addresses(dependsOn ?? [], `${address}.depends_on`));
  forEachExpression(attributes, address, (expression) => {
    const reference = REFERENCE.exec(expression);
    if (reference) needs.add(`${reference[1]!}.${reference[2]!}`);
  });
  return {
    type,
    address,
    provider: providerName(provider ?? type.slice(0, type.indexOf("_")), address),
    attributes,
    needs: [...needs],
  };
}

function addresses(value: Json, where: string): readonly string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw new ApplyError(
    `${where}: must be a list of addresses, received ${JSON.stringify(value).slice(0, 40)}`,
  );
}

function providerName(value: Json, address: string): string {
  if (typeof value === "string") return value;
  throw new ApplyError(`${address}.provider: must be a name, received ${JSON.stringify(value).slice(0, 40)}`);
}

/** What comes before comes first; among those that need nothing of each other, the file's order. */
export function inDependencyOrder(resources: readonly Resource[]): Resource[] {
  const byAddress = new Map(resources.map((resource) => [resource.address, resource]));
  const ordered = new Set<Resource>();
  const visit = (resource: Resource, path: readonly string[]): void => {
    if (ordered.has(resource)) return;
    const here = [...path, resource.address];
    if (path.includes(resource.address))
      throw new ApplyError(`resources need each other: ${here.join(" → ")}`);
    for (const address of resource.needs) {
      const needed = byAddress.get(address);
      if (!needed) throw new ApplyError(`${resource.address} needs ${address}, which is not declared`);
      visit(needed, here);
    }
    ordered.add(resource);
  };
  for (const resource of resources) visit(resource, []);
  return [...ordered];
}

export interface Scope {
  variable(name: string): Json;
  attribute(address: string, attribute: string): Json;
}

/** Replaces each `${…}`; a text that is one expression takes the value's type. `$${` and `%%{` stand for themselves. */
export function interpolate(value: Json, scope: Scope, where: string): Json {
  if (Array.isArray(value)) return (value as Json[]).map((item) => interpolate(item, scope, where));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, interpolate(item, scope, where)]),
    );
  }
  if (typeof value !== "string") return value;
  const parts = templateParts(value, where).map((part) =>
    typeof part === "string" ? part : evaluate(part.expression, scope, where),
  );
  if (parts.length === 1) return parts[0]!;
  return parts.map((part) => (typeof part === "object" ? fail(part) : String(part))).join("");

  function fail(part: Json): never {
    throw new ApplyError(`${where}: ${JSON.stringify(part)} can't stand inside a text`);
  }
}

function evaluate(expression: string, scope: Scope, where: string): Json {
  const variable = VARIABLE.exec(expression);
  if (variable) return scope.variable(variable[1]!);
  const reference = REFERENCE.exec(expression);
  if (reference) return scope.attribute(`${reference[1]!}.${reference[2]!}`, reference[3]!);
  throw new ApplyError(`${where}: expression "${expression}" is not known to the sandbox`);
}

/** The texts of a template, as they come out, and the expressions between them. */
export function templateParts(text: string, where: string): (string | { expression: string })[] {
  const parts: (string | { expression: string })[] = [];
  let [literal, end] = ["", 0];
  for (const { 0: token, 1: expression, index } of text.matchAll(/\$\$\{|%%\{|\$\{([^{}"]*)\}|[$%]\{/g)) {
    literal += text.slice(end, index);
    end = index + token.length;
    if (expression !== undefined) {
      if (literal) parts.push(literal);
      literal = "";
      parts.push({ expression: expression.trim() });
    } else if (token === "$${" || token === "%%{") literal += token.slice(1);
    else
      throw new ApplyError(
        `${where}: template "${text.slice(index, index + 40)}" is not known to the sandbox`,
      );
  }
  literal += text.slice(end);
  if (literal || parts.length === 0) parts.push(literal);
  return parts;
}

function forEachExpression(value: Json, where: string, visit: (expression: string) => void): void {
  if (typeof value === "string") {
    for (const part of templateParts(value, where)) if (typeof part !== "string") visit(part.expression);
  } else if (typeof value === "object" && value !== null) {
    for (const item of Object.values(value)) forEachExpression(item, where, visit);
  }
}

function asObject(value: Json | undefined, where: string): JsonObject {
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ApplyError(`${where}: must be an object, received ${JSON.stringify(value).slice(0, 40)}`);
  }
  return value as JsonObject;
}

function onlyKnown(block: JsonObject, known: readonly string[], where: string): JsonObject {
  const other = Object.keys(block).find((key) => !known.includes(key));
  if (other !== undefined) throw new ApplyError(`${where}: "${other}" is not known to the sandbox`);
  return block;
}

/** A block as an object, or as a list of one. */
function only(value: Json, where: string): JsonObject {
  return asObject(Array.isArray(value) && value.length === 1 ? (value[0] as Json) : value, where);
}
