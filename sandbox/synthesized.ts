import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Input } from "../manifest/inputs";
import { accessManifestSchema, type ManifestDatabase } from "../manifest/schema";
import type { PolicyTexts } from "./vault-setup";
import { SetupError } from "../clients/setup-error";
import { readConfiguration, templateParts, VARIABLE, type Configuration, type Json } from "./terraform-json";

/** The stacks that the sandbox applies, in the order in which they need each other. */
export const STACKS = ["postgres", "vault"] as const;
export type StackName = (typeof STACKS)[number];

const { shape } = accessManifestSchema;
/** What of `access.json` says which servers to start. A configuration written by hand may have no more. */
const accessSchema = z.object({
  policies: shape.policies.unwrap(),
  servers: z
    .array(
      shape.servers
        .unwrap()
        .element.partial({ superuser: true })
        .extend({
          // Part of the names of files.
          name: z.string().regex(/^[A-Za-z_][A-Za-z0-9_-]*$/),
        }),
    )
    .min(1)
    .default([{ name: "postgres", tls: false, otherDatabases: "keep" }]),
  vault: shape.vault.unwrap().partial().default({}),
  databases: z.array(z.object({ name: z.string(), server: z.string().optional() })),
  inputs: shape.inputs,
});

/** A PostgreSQL server that a provider block of the stack `postgres` connects to. */
export interface DeclaredServer {
  readonly name: string;
  readonly superuser: string;
  /** The provider's own; the others come beside it. Those that the stack creates itself are not among them. */
  readonly database: string;
  readonly databases: readonly string[];
  readonly tls: boolean;
}

/** A folder as synth writes it: `stacks/<name>/cdk.tf.json`, `access.json`, `operator.hcl` and other policies. */
export interface Synthesized {
  /** The names of the trust model's. */
  readonly policies: z.output<typeof accessSchema>["policies"];
  /** With variables in them. */
  readonly policyTexts: PolicyTexts;
  readonly vault: { readonly tls: boolean; readonly shares: number; readonly threshold: number };
  /** What the variables of the stacks are for. */
  readonly inputs: readonly Input[];
  /** The first is the one of the provider block without an alias. */
  readonly servers: readonly DeclaredServer[];
  /** Whose personas may have MAINTAIN. One written by hand may not say it. */
  readonly databases: readonly ManifestDatabase[];
  readonly stacks: Readonly<Record<StackName, Configuration>>;
}

/** @throws SetupError, ApplyError where the folder asks for what the sandbox can't give */
export function readSynthesized(folder: string): Synthesized {
  const read = (file: string) => readFileSync(join(folder, file), "utf8");
  const json: unknown = JSON.parse(read("access.json"));
  const access = accessSchema.safeParse(json);
  if (!access.success) {
    const [issue] = access.error.issues;
    throw new SetupError(`access.json: ${issue!.path.join(".")}: ${issue!.message}`);
  }
  const policyTexts = Object.fromEntries(
    Object.keys(access.data.policies)
      .filter((who) => existsSync(join(folder, `${who}.hcl`)))
      .map((who) => [who, read(`${who}.hcl`)]),
  );
  const stack = (name: StackName) => readConfiguration(join(folder, "stacks", name, "cdk.tf.json"));
  const stacks = { postgres: stack("postgres"), vault: stack("vault") };
  return {
    policies: access.data.policies,
    policyTexts,
    vault: { tls: false, shares: 1, threshold: 1, ...access.data.vault },
    inputs: access.data.inputs,
    servers: declaredServers(stacks.postgres, access.data),
    databases: accessManifestSchema.safeParse(json).data?.databases ?? [],
    stacks,
  };
}

function declaredServers(
  { providers, resources }: Configuration,
  { servers, databases }: z.output<typeof accessSchema>,
): DeclaredServer[] {
  const first = servers[0]!.name;
  const declared = [...providers].filter(([name]) => name.split(".")[0] === "postgresql");
  if (declared.length === 0) throw new SetupError("the stack postgres has no provider postgresql");
  declared.sort(([a], [b]) => Number(a.includes(".")) - Number(b.includes(".")));
  return declared.map(([provider, settings]): DeclaredServer => {
    const alias = provider.split(".")[1];
    const entry =
      alias === undefined ? servers[0]! : servers.find(({ name }) => asAlias(name) === asAlias(alias));
    const name = entry?.name ?? alias!;
    const superuser = entry?.superuser ?? literal(settings["username"]);
    if (superuser === undefined)
      throw new SetupError(`access.json names no superuser for the server ${name}`);
    const { database = "postgres" } = settings;
    if (literal(database) === undefined)
      throw new SetupError(`provider.${provider}: database must be a name: the sandbox creates it`);

    const fixed = ["host", "port", "password"].find((setting) => !isVariable(settings[setting]));
    if (fixed !== undefined)
      throw new SetupError(
        `provider.${provider}: ${fixed} must be a variable: the sandbox chooses where its servers are`,
      );

    const own = resources.filter((resource) => resource.provider === provider);
    const literals = (type: RegExp, attribute: string) =>
      own
        .filter((resource) => type.test(resource.type))
        .map(({ attributes }) => literal(attributes[attribute]))
        .filter((value) => value !== undefined);
    const created = literals(/^postgresql_database$/, "name");
    const wanted = new Set([
      ...literals(/./, "database"),
      ...databases.filter(({ server = first }) => server === name).map((each) => each.name),
    ]);
    return {
      name,
      superuser,
      database: literal(database)!,
      databases: [...wanted].filter((each) => !created.includes(each)),
      tls: entry?.tls ?? false,
    };
  });
}

/** A value that is one text, as Terraform reads it. */
function literal(value: Json | undefined): string | undefined {
  const part = onlyPart(value);
  return typeof part === "string" ? part : undefined;
}

/** Whether a value is `${var.name}` and no more. */
function isVariable(value: Json | undefined): boolean {
  const part = onlyPart(value);
  return typeof part === "object" && VARIABLE.test(part.expression);
}

function onlyPart(value: Json | undefined) {
  const parts = typeof value === "string" ? templateParts(value, value) : [];
  return parts.length === 1 ? parts[0] : undefined;
}

/** Synth takes a server's name for the alias of its provider; one written by hand may have to stand in an HCL identifier. */
function asAlias(server: string): string {
  return server.replaceAll("-", "_");
}
