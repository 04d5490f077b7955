import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { isIPv6 } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { SetupError } from "../../clients/setup-error";
import { policyText } from "../../sandbox/policy-text";
import {
  interpolate,
  parseConfiguration,
  type Json,
  type JsonObject,
  type Scope,
} from "../../sandbox/terraform-json";
import { variableFor, type Input, type InputPurpose } from "../../manifest/inputs";
import { TRUST_TOKENS, type TrustToken } from "../../manifest/names";
import { parseAccessManifest, type AccessManifest, type ManifestDatabase } from "../../manifest/schema";
import { VaultClient } from "../../clients/vault-client";
import { withoutBrackets } from "../../clients/text";
import { Home } from "./home";
import { CDKTF_OUT, publish, ROOT, synthesize } from "./synthesize";
import { backupOf, isCutOff, isWhole, mend } from "../terraform/state-file";
import { backendText, Terraform, TerraformError, type TerraformBlock } from "../terraform/terraform";
import { checkVaultAddress } from "../vault/address";

const STACKS = ["platform", "postgres", "vault"] as const;
export type StackName = (typeof STACKS)[number];

export type Attributes = Readonly<Record<string, unknown>>;

/** A stack's JSON, as far as commands read it. */
export interface StackJson {
  readonly terraform: TerraformBlock;
  readonly variable?: Readonly<
    Record<string, { readonly type?: string; readonly default?: unknown; readonly description: string }>
  >;
  /** By type and name. */
  readonly resource: Readonly<Record<string, Readonly<Record<string, Attributes>>>>;
  /** What Terraform forgets where it is in the state. */
  readonly removed?: readonly { readonly from: string }[];
}

export interface Stack {
  readonly name: StackName;
  /** Where Terraform runs. */
  readonly folder: string;
  /** As it was synthesized. */
  readonly text: string;
  readonly json: StackJson;
}

/** Addresses of what Terraform forgets, and leaves where it is. */
export function forgottenBy({ json }: Stack): string[] {
  return (json.removed ?? []).map(({ from }) => from);
}

/** A resource of a state. */
export interface StateResource {
  readonly address: string;
  readonly type: string;
  readonly attributes: Attributes;
}

/** Where a PostgreSQL server is, and how its superuser logs in. */
export interface SuperuserLogin {
  readonly server: string;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** Path of the CA certificate, where the server is reached with TLS. */
  readonly ca?: string;
  /** What sets a value of this login, such as `TF_VAR_postgres_host`. */
  readonly variableFor: (purpose: InputPurpose) => string;
}

/** Variables that have a well-known name outside Terraform too. */
const WELL_KNOWN: Readonly<Partial<Record<InputPurpose, string>>> = {
  "vault-address": "VAULT_ADDR",
  "vault-namespace": "VAULT_NAMESPACE",
  "vault-ca-file": "VAULT_CACERT",
};
/** A plan sends none of them. */
const SECRETS: readonly InputPurpose[] = [
  "superuser-password",
  "superuser-password-file",
  "manager-password",
  "vault-dev-token-file",
];

/** Of Terraform 0.12 and later. */
const STATE_VERSION = 4;

/** In place of a password that is not used. */
export const PLACEHOLDER = "not-needed";

/** An environment as it was synthesized, with what this machine knows of it: addresses, passwords, tokens. */
export class Deployment {
  /** Synthesizes once, to where plain cdktf runs Terraform as well. */
  static open(environment: string | undefined, signal: AbortSignal): Promise<Deployment> {
    return synthesizeAside(environment, (folder) => {
      publish(folder);
      makePrivate();
      for (const plan of planFiles()) rmSync(plan, { force: true });
      return new Deployment(CDKTF_OUT, signal);
    });
  }

  /** Synthesizes aside, so that a command at work is not disturbed. Terraform can't be run with it. */
  static openAside(environment: string | undefined, signal: AbortSignal): Promise<Deployment> {
    return synthesizeAside(environment, (folder) => new Deployment(folder, signal));
  }

  /** What was synthesized before, with all its stacks; undefined where a folder holds less. */
  static read(folder: string): Deployment | undefined {
    const isWhole = ["manifest.json", "stacks/postgres/cdk.tf.json", "stacks/vault/cdk.tf.json"].every(
      (file) => existsSync(join(folder, file)),
    );
    return isWhole ? new Deployment(folder, new AbortController().signal) : undefined;
  }

  readonly manifest: AccessManifest;
  /** The manifest's text. */
  readonly access: string;
  readonly stacks: readonly Stack[];
  readonly home: Home;
  /** As they were read last, until Terraform writes them. */
  private readonly states = new Map<StackName, Promise<StateResource[]>>();

  private constructor(
    readonly folder: string,
    private readonly signal: AbortSignal,
  ) {
    const read = (...path: string[]) => readFileSync(join(folder, ...path), "utf8");
    this.access = read("access.json");
    this.manifest = parseAccessManifest(this.access);
    // A folder of another environment's stack may lie beside those of this one.
    const declared = (JSON.parse(read("manifest.json")) as { stacks: Record<string, unknown> }).stacks;
    this.stacks = STACKS.filter((name) => name in declared).map((name) => {
      const text = read("stacks", name, "cdk.tf.json");
      return { name, folder: join(folder, "stacks", name), text, json: JSON.parse(text) as StackJson };
    });
    this.home = Home.open(this.manifest.environment);
  }

  stack(name: StackName): Stack | undefined {
    return this.stacks.find((stack) => stack.name === name);
  }

  /**
   * A value for each variable of a stack that has no default or is set from outside.
   * @param forPlan makes no password: a placeholder stands for one that is missing, since a plan sends none
   * @throws SetupError that names each that is missing
   */
  variables({ json }: Stack, { forPlan = false } = {}): Record<string, string> {
    const values: Record<string, string> = {};
    const missing: string[] = [];
    for (const [name, { default: value, description }] of Object.entries(json.variable ?? {})) {
      const input = this.manifest.inputs.find(({ variable }) => variable === name);
      const { for: purpose } = input ?? {};
      const set = process.env[`TF_VAR_${name}`];
      const given =
        set || (value === undefined && input && (forPlan ? this.home.existing(input) : this.keep(input)));
      if (given) values[name] = purpose === "host" || purpose === "host-from-vault" ? inUrl(given) : given;
      // The address of a container is known, and VAULT_ADDR may be another Vault's.
      else if (value) continue;
      else if (wellKnown(purpose)) values[name] = wellKnown(purpose)!;
      else if (value !== undefined) continue;
      else if (forPlan && purpose && SECRETS.includes(purpose)) values[name] = PLACEHOLDER;
      else missing.push(`${(purpose && WELL_KNOWN[purpose]) ?? `TF_VAR_${name}`} is not set: ${description}`);
      if (purpose === "vault-address" && values[name] !== undefined)
        checkVaultAddress(set ? `TF_VAR_${name}` : "VAULT_ADDR", values[name]);
    }
    if (missing.length > 0) throw new SetupError(missing.join("\n"));
    return values;
  }

  /** What the home folder keeps for a variable, made where it is missing. */
  private keep({ variable, for: purpose, server }: Input): string | undefined {
    switch (purpose) {
      case "superuser-password":
        // A server that exists already has one.
        return this.variableFor("superuser-password-file", server) && this.home.password(variable);
      case "manager-password":
        return this.home.password(variable);
      case "superuser-password-file":
        return this.home.passwordFile(server!, this.variableFor("superuser-password", server)!);
      case "vault-dev-token-file":
        return this.home.devTokenFile();
      default:
        return undefined;
    }
  }

  /** The Terraform variable for a purpose; undefined where the stacks have none. */
  variableFor(purpose: InputPurpose, server?: string): string | undefined {
    return variableFor(this.manifest, purpose, server);
  }

  /** Terraform in a stack's folder, with its variables and a token. */
  terraform(stack: Stack, token: string | undefined, options?: { forPlan?: boolean }): Terraform {
    const variables = Object.entries(this.variables(stack, options));
    const env: NodeJS.ProcessEnv = Object.fromEntries(
      variables.map(([name, value]) => [`TF_VAR_${name}`, value]),
    );
    if (token) env["VAULT_TOKEN"] = token;
    return new Terraform(stack.folder, env, this.signal, stateFile(stack), () => {
      this.forgetState(stack.name);
    });
  }

  /** The resources that a stack's state holds. */
  state(stack: Stack): Promise<StateResource[]> {
    const known = this.states.get(stack.name);
    if (known) return known;
    const read = this.readState(stack);
    this.states.set(stack.name, read);
    // What can't be read yet may be later.
    read.catch(() => {
      this.forgetState(stack.name);
    });
    return read;
  }

  /** It was written: whoever asks next reads it anew. */
  forgetState(name: StackName): void {
    this.states.delete(name);
  }

  private async readState(stack: Stack): Promise<StateResource[]> {
    const file = stateFile(stack);
    let text = "";
    if (file === undefined) text = await this.pullState(stack);
    else if (isCutOff(file)) throw new SetupError(cutOffText(stack, file));
    else if (existsSync(file)) text = readFileSync(file, "utf8");
    if (!text) return [];
    return parseState(stack, text)
      .filter(({ mode, instances }) => mode === "managed" && instances.length > 0)
      .map(({ type, name, instances }) => ({
        address: `${type}.${name}`,
        type,
        attributes: instances[0]!.attributes,
      }));
  }

  /**
   * Terraform writes a state over the one before: killed in the middle, it leaves a part of it or nothing, with which the next one
   * fails or makes everything once more. Puts those before in their places, which are kept beside them.
   * @returns what was done, a line each
   */
  async mendStates(): Promise<string[]> {
    const did: string[] = [];
    for (const stack of this.stacks) {
      const file = stateFile(stack);
      if (file === undefined || !(await mend(file))) continue;
      this.forgetState(stack.name);
      did.push(
        `the state of the stack ${stack.name} was cut off, as a killed command leaves it: went back to the one before`,
      );
    }
    return did;
  }

  private async pullState({ folder, json }: Stack): Promise<string> {
    try {
      return await new Terraform(folder, {}, this.signal).pullState();
    } catch (error) {
      if (!(error instanceof TerraformError)) throw error;
      throw new SetupError(backendText(json.terraform, error.message), { cause: error });
    }
  }

  /** Resources of a type that are there and no longer in the config, but for those that Terraform is to forget. */
  async undeclared(name: StackName, type: string): Promise<StateResource[]> {
    const stack = this.stack(name)!;
    const declared = Object.keys(stack.json.resource[type] ?? {}).map((id) => `${type}.${id}`);
    const forgotten = forgottenBy(stack);
    return (await this.state(stack)).filter(
      ({ address, ...resource }) =>
        resource.type === type && !declared.includes(address) && !forgotten.includes(address),
    );
  }

  /**
   * Resources of a type that are in a stack's state under another name than the declared one.
   * @param key the attribute that has it
   */
  async renamed(name: StackName, type: string, key = "name"): Promise<StateResource[]> {
    const stack = this.stack(name)!;
    const declared = stack.json.resource[type] ?? {};
    return (await this.state(stack)).filter(({ address, attributes }) => {
      const wanted = declared[address.slice(type.length + 1)]?.[key];
      return address.startsWith(`${type}.`) && wanted !== undefined && wanted !== attributes[key];
    });
  }

  /** Vault, without a token. */
  vault(): VaultClient {
    const stack = this.stack("vault")!;
    const value = this.valueOf(stack, { forPlan: true });
    const text = (purpose: InputPurpose) => asText(value(this.variableFor(purpose) ?? "")) || undefined;
    const ca = text("vault-ca-file");
    return new VaultClient(
      text("vault-address")!.replace(/\/+$/, ""),
      undefined,
      text("vault-namespace"),
      ca && readFileSync(ca, "utf8"),
    );
  }

  /** The token on file; for a Vault that is no container of this environment, else the one in VAULT_TOKEN. */
  token(who: TrustToken): string | undefined {
    const given = this.stack("platform") ? undefined : process.env["VAULT_TOKEN"];
    return this.home.token(who) ?? (given || undefined);
  }

  /** How the bootstrap logs in, a server each. */
  superusers(options: { forPlan?: boolean } = {}): SuperuserLogin[] {
    const stack = this.stack("postgres")!;
    const value = this.valueOf(stack, options);
    const { providers } = parseConfiguration(stack.json as unknown as JsonObject);
    return [...providers].map(([name, settings], i) => {
      const scope = { variable: value, attribute: () => null };
      const resolved = interpolate(settings, scope, name) as Record<string, Json>;
      const server = this.manifest.servers[i]!.name;
      return {
        server,
        host: withoutBrackets(asText(resolved["host"])),
        port: Number(resolved["port"]),
        database: asText(resolved["database"]),
        user: asText(resolved["username"]),
        password: asText(resolved["password"]),
        ca: typeof resolved["sslrootcert"] === "string" ? resolved["sslrootcert"] : undefined,
        variableFor: (purpose) => `TF_VAR_${this.variableFor(purpose, server) ?? ""}`,
      };
    });
  }

  /** The server that a resource of the stack postgres is on, by its `provider`; the first has none. */
  serverOf(provider: unknown): string {
    const { providers } = parseConfiguration(this.stack("postgres")!.json as unknown as JsonObject);
    return this.manifest.servers[[...providers.keys()].indexOf((provider ?? "postgresql") as string)]!.name;
  }

  /** How the bootstrap logs in on a database's server. */
  superuserOf(database: ManifestDatabase): SuperuserLogin {
    return this.superusers().find(({ server }) => server === database.server)!;
  }

  /** What `leasehold verify` looks for in the environment, where it is known: addresses, certificates, the verifier's token. */
  verifierEnvironment(): Record<string, string> {
    const { address, namespace } = this.vault();
    const found: Record<string, string | undefined> = {
      VAULT_ADDR: address,
      VAULT_NAMESPACE: namespace,
      VAULT_CACERT: this.variables(this.stack("vault")!, { forPlan: true })[
        this.variableFor("vault-ca-file") ?? ""
      ],
      VAULT_TOKEN: this.home.token("verifier"),
    };
    this.superusers({ forPlan: true }).forEach(({ server, host, port, ca }, i) => {
      const suffix = i === 0 ? "" : `_${server.toUpperCase()}`;
      found[`PGHOST${suffix}`] = host;
      found[`PGPORT${suffix}`] = String(port);
      found[`PGSSLROOTCERT${suffix}`] = ca;
    });
    return Object.fromEntries(Object.entries(found).filter((entry): entry is [string, string] => !!entry[1]));
  }

  /** What a text of a stack's JSON is once its variables have their values, and attributes of its resources what they declare. */
  resolve(stack: Stack, text: unknown): string {
    return asText(this.valueIn(stack, text));
  }

  /** The same for any value. */
  valueIn(stack: Stack, value: unknown): Json {
    const scope: Scope = {
      variable: this.valueOf(stack, { forPlan: true }),
      attribute: (address, name) => {
        const [type, id] = address.split(".") as [string, string];
        return resolved(stack.json.resource[type]?.[id]?.[name] ?? null);
      },
    };
    const resolved = (part: unknown) => interpolate(part as Json, scope, `the stack ${stack.name}`);
    return resolved(value);
  }

  /** The trust model's policies as Vault takes them, with the addresses that Terraform is about to send. */
  policies(): Record<TrustToken, string> {
    const texts = TRUST_TOKENS.map((who) => [
      who,
      this.policyText(readFileSync(join(this.folder, `${who}.hcl`), "utf8")),
    ]);
    return Object.fromEntries(texts) as Record<TrustToken, string>;
  }

  /** The personas' own policies, by name, as Terraform is about to write them. */
  personaPolicies(): Record<string, string> {
    const personas = this.manifest.databases.flatMap((database) => database.personas);
    const own = personas.flatMap(({ policies }) =>
      policies.flatMap(({ name, text }) => (text === undefined ? [] : [[name, this.policyText(text)]])),
    );
    return Object.fromEntries(own) as Record<string, string>;
  }

  private policyText(template: string): string {
    const stack = this.stack("vault")!;
    const value = this.valueOf(stack, { forPlan: true });
    return policyText(template, (name) => {
      const text = asText(value(name));
      // As Terraform writes a number into a text.
      return text && stack.json.variable?.[name]?.type === "number" ? String(Number(text)) : text;
    });
  }

  private valueOf(stack: Stack, options: { forPlan?: boolean }): (name: string) => Json {
    const variables = this.variables(stack, options);
    return (name) => variables[name] ?? (stack.json.variable?.[name]?.default as Json | undefined) ?? null;
  }

  /** Removes prevent_destroy until the next synth. */
  allowDestroy({ folder, json }: Stack): void {
    const unlocked = JSON.stringify(json, (key, value: unknown) =>
      key === "prevent_destroy" ? undefined : value,
    );
    writeFileSync(join(folder, "cdk.tf.json"), unlocked);
  }

  /** Another command may have put another environment's JSON there since. */
  restore({ folder, text }: Stack): void {
    const file = join(folder, "cdk.tf.json");
    if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
  }
}

/** The provider and Vault's connection put it into a URL. */
function inUrl(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}

function wellKnown(purpose: InputPurpose | undefined): string | undefined {
  const name = purpose && WELL_KNOWN[purpose];
  const value = name && process.env[name];
  // Terraform runs in another folder.
  return value && name === "VAULT_CACERT" ? resolve(value) : value;
}

/** @returns undefined where the state is not on this machine */
function stateFile({ folder, json }: Stack): string | undefined {
  const path = json.terraform.backend["local"]?.["path"];
  return typeof path === "string" ? resolve(folder, path) : undefined;
}

/** What helps with one that is a part of a state, or nothing of it. */
function cutOffText({ name }: Stack, file: string): string {
  const remedy = isWhole(backupOf(file))
    ? "npx leasehold deploy goes back to the one before"
    : `put a copy of your own in the place of ${file}, or remove it and have the next deploy say what to import`;
  return `the state of the stack ${name} is cut off, as a killed command leaves it: ${remedy}`;
}

interface RecordedResource {
  readonly mode: string;
  readonly type: string;
  readonly name: string;
  readonly instances: readonly { readonly attributes: Attributes }[];
}

/** Read as it is, since `terraform show -json` starts the provider each time, and a deploy asks a dozen times. */
function parseState({ name }: Stack, text: string): readonly RecordedResource[] {
  const state = JSON.parse(text) as { version?: number; resources?: RecordedResource[] };
  if (state.version !== STATE_VERSION)
    throw new SetupError(
      `the state of the stack ${name} has the format ${String(state.version)}, known is ${String(STATE_VERSION)}: use a Terraform that writes it`,
    );
  return state.resources ?? [];
}

function asText(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

async function synthesizeAside(
  environment: string | undefined,
  read: (folder: string) => Deployment,
): Promise<Deployment> {
  const folder = mkdtempSync(join(tmpdir(), "leasehold-synth-"));
  try {
    await synthesize(environment, folder);
    return read(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** State and plan files that plain cdktf and Terraform left readable for everybody hold what only their owner should know. */
export function makePrivate(): void {
  const states = readdirSync(ROOT).filter((name) => /\.tfstate(\.[\w.]+)?$/.test(name));
  for (const file of [...states.map((name) => join(ROOT, name)), ...planFiles()])
    if (existsSync(file) && (statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600);
}

/** Where plain cdktf leaves its plans; nothing reads them again. */
function planFiles(): string[] {
  const stacks = join(CDKTF_OUT, "stacks");
  return existsSync(stacks) ? readdirSync(stacks).map((name) => join(stacks, name, "plan")) : [];
}
