import { SetupError } from "../../clients/setup-error";
import { policyMark, TRUST_TOKENS, type TrustToken } from "../../manifest/names";
import type { AccessManifest } from "../../manifest/schema";
import { VaultError, type VaultClient } from "../../clients/vault-client";
import { initialiseVault, sealStatus, unsealVault } from "../../clients/vault-seal";
import { createTrustToken } from "../../clients/vault-token";
import type { Deployment, StateResource } from "../deployment/deployment";
import type { Home } from "../deployment/home";
import { droppedPaths, isDeclared, missingPaths, uncovered, withDropped, type Dropped } from "./dropped";
import { deployedPolicies, foreignOwner, markOf, type DeployedPolicies } from "./marked-policies";
import { generateRootToken } from "./root-token";

/** A Vault, and what it is to become. */
export interface VaultTarget {
  /** Without a token. */
  readonly vault: VaultClient;
  readonly home: Home;
  readonly manifest: AccessManifest;
  /** The trust model's policies, as they are to be. */
  readonly policies: Readonly<Record<TrustToken, string>>;
  /** The personas', by name, as Terraform is to write them. */
  readonly personaPolicies: Readonly<Record<string, string>>;
  /** What Terraform's state knows: the config may have lost what a mark names. */
  readonly deployed: () => Promise<DeployedPolicies & { readonly dropped: readonly Dropped[] }>;
  /** Whether it is a container of this environment; another one is initialised by `leasehold init` alone. */
  readonly isContainer: boolean;
}

/** What `leasehold init` may beyond a deploy: initialise any Vault, make a root token from unseal keys, ask for these. */
export interface Explicit {
  /**
   * Writes its policies, the personas' too, over others of the same names.
   * @default - they are refused
   */
  readonly takeOver?: boolean;
  /** @default - the keys are kept in the home folder */
  readonly onKeys?: (keys: readonly string[], threshold: number) => void;
  /** @default - there is no terminal to ask on */
  readonly ask?: (question: string) => Promise<string>;
}

export interface Prepared {
  /** The operator's view, its token just renewed. */
  readonly operator: VaultClient;
  /** What was done, a line each. */
  readonly did: readonly string[];
}

/** Whether the operator's token works, or whose policy differs from the declared one. */
type OperatorState = "current" | "refused" | "missing" | Outdated;

interface Outdated {
  readonly outdated: TrustToken;
  /** Paths that a deploy needs, and that the operator's policy does not cover. */
  readonly without: readonly string[];
}

const RUN_INIT = "run npx leasehold init";

/** The Vault of an environment. */
export function vaultTarget(deployment: Deployment): VaultTarget {
  return {
    vault: deployment.vault(),
    home: deployment.home,
    manifest: deployment.manifest,
    policies: deployment.policies(),
    personaPolicies: deployment.personaPolicies(),
    deployed: async () => {
      const state = await readState(deployment);
      const stack = deployment.stack("vault")!;
      return {
        ...deployedPolicies(deployment.manifest.environment, state),
        dropped: droppedPaths(stack, state, (value) => deployment.resolve(stack, value)),
      };
    },
    isContainer: deployment.stack("platform") !== undefined,
  };
}

/** Of the stack vault; nothing where it can't be read, as on a machine without Terraform. */
async function readState(deployment: Deployment): Promise<readonly StateResource[]> {
  const stack = deployment.stack("vault")!;
  try {
    return await deployment.state(stack);
  } catch {
    // Of a backend that is to be initialised first.
  }
  try {
    await deployment.terraform(stack, undefined, { forPlan: true }).init(stack.json.terraform);
    return await deployment.state(stack);
  } catch {
    return [];
  }
}

/**
 * Brings a Vault to where Terraform can run as the operator: initialised, unsealed, with the trust model's policies as the
 * config wants them and a valid token of each holder's. Does what is missing, and nothing where nothing is.
 * @param explicit left out by a deploy
 * @throws SetupError with one line that says what is missing and what helps
 */
export async function prepareVault(target: VaultTarget, explicit?: Explicit): Promise<Prepared> {
  const { vault, home, isContainer } = target;
  const did: string[] = [];
  let made: readonly string[] | undefined;
  let status = await sealStatus(vault);
  if (!status.initialized) {
    if (!isContainer && !explicit) {
      throw new SetupError(
        `the Vault at ${vault.address} is not initialised, and is not a container of this environment: ${RUN_INIT}, if it is yours`,
      );
    }
    made = await initialiseAndKeep(target, explicit, did);
    status = await sealStatus(vault);
  }
  const keys = unsealKeys(target, explicit, made, status.t);
  if (status.sealed) {
    if (!(await unsealVault(vault, await keys("is sealed")))) {
      const source =
        (home.unsealKeys() ?? []).length >= status.t ? `in ${home.unsealKeysFile}` : "that were given";
      throw new SetupError(
        `the unseal keys ${source} are not those of the Vault at ${vault.address}, which stays sealed: put its own there, one per line (an earlier Vault's are in unseal-keys.previous)`,
      );
    }
    did.push(`unsealed with ${String(status.t)} of ${String(status.n)} keys`);
  }

  const operator = operatorOf(target, explicit);
  const state = operator ? await operatorState(target, operator) : "missing";
  const nothing = "renewed the tokens; there was nothing else to do";
  const isCurrent = operator && state === "current" && !explicit?.takeOver;
  if (isCurrent && (!explicit || (await renewOthers(target)))) {
    if (home.rootToken() !== undefined) await revokeRoot(target, vault.withToken(home.rootToken()), did);
    else if (explicit && did.length === 0) did.push(nothing);
    return { operator, did };
  }
  const valid = state === "refused" || state === "missing" ? undefined : operator;
  const root = (await rootAtHand(target)) ?? (explicit ? await rootFromKeys(target, valid, keys) : undefined);
  if (!root) throw new SetupError(remedy(target, state));
  const foreign = await foreignPolicies(target, root.client, { isKnown: valid !== undefined, ...explicit });
  if (foreign.length > 0 && !explicit?.takeOver) {
    if (root.isOurs) await revokeRoot(target, root.client, did);
    throw new SetupError(foreign.map((policy) => foreignText(target, policy)).join("\n"));
  }
  for (const { name, text, owner } of foreign) {
    await root.client.call("PUT", `sys/policies/acl/${name}`, { policy: text });
    did.push(`took over the policy ${name}, which was ${owner}`);
  }
  // Where this fails, the root token stays on file for the next run.
  await grant(target, root.client, did);
  if (root.isOurs) await revokeRoot(target, root.client, did);
  else if (explicit && did.length === 0) did.push(nothing);
  return { operator: vault.withToken(home.token("operator")), did };
}

/** Where it is refused, a command that was killed has revoked it and not said so. */
async function revokeRoot({ home }: VaultTarget, root: VaultClient, did: string[]): Promise<void> {
  const answer = await root.request("POST", "auth/token/revoke-self");
  if (answer.status >= 400 && answer.status !== 403) throw new VaultError(answer);
  home.removeRootToken();
  did.push("the root token is revoked");
}

/** The keys are on file, or shown, before the root token is used: they exist nowhere else. */
async function initialiseAndKeep(
  { vault, home, manifest }: VaultTarget,
  explicit: Explicit | undefined,
  did: string[],
): Promise<readonly string[] | undefined> {
  const { shares, threshold } = manifest.vault!;
  home.checkWritable();
  const made = await initialiseVault(vault, { shares, threshold });
  if (!made) return undefined;
  const { keys, rootToken } = made;
  try {
    if (explicit?.onKeys) explicit.onKeys(keys, threshold);
    else home.setUnsealKeys(keys);
    home.setRootToken(rootToken);
  } catch (error) {
    console.error(`${keysText(keys, threshold)}\nRoot token: ${rootToken}`);
    throw error;
  }
  const where = explicit?.onKeys ? "shown above and stored nowhere" : `in ${home.unsealKeysFile}`;
  did.push(
    `initialised the Vault at ${vault.address}: ${count(shares, "unseal key")}, of which it needs ${String(threshold)}, ${where}`,
  );
  return keys;
}

/** Looks for enough keys once, when they are first wanted. */
function unsealKeys(
  { vault, home }: VaultTarget,
  explicit: Explicit | undefined,
  made: readonly string[] | undefined,
  threshold: number,
): (why: string) => Promise<readonly string[]> {
  let found = made;
  return async (why) => {
    if (found) return found;
    const keys = home.unsealKeys() ?? [];
    const { ask } = explicit ?? {};
    if (keys.length < threshold && !ask) {
      throw new SetupError(
        `the Vault at ${vault.address} ${why}, and ${home.unsealKeysFile} holds ${String(keys.length)} of the ${count(threshold, "unseal key")} that it needs: put them there, one per line, or ${RUN_INIT} on a terminal, which asks for them`,
      );
    }
    while (keys.length < threshold)
      keys.push(await ask!(`Unseal key ${String(keys.length + 1)} of ${String(threshold)}: `));
    return (found = keys);
  };
}

/** The token on file, or the one in VAULT_TOKEN, which another machine's init may have made. */
function operatorOf({ vault, home }: VaultTarget, explicit: Explicit | undefined): VaultClient | undefined {
  const given = explicit ? undefined : process.env["VAULT_TOKEN"];
  const token = home.token("operator") ?? (given || undefined);
  return token === undefined ? undefined : vault.withToken(token);
}

/** Renews the operator's token and compares the trust model's policies with the declared ones. */
async function operatorState(target: VaultTarget, operator: VaultClient): Promise<OperatorState> {
  const { home, manifest, policies } = target;
  const { status, body } = await operator.request("GET", "auth/token/lookup-self");
  if (status >= 400) return "refused";
  const held = body.data!["policies"] as string[];
  const names = manifest.policies!;
  if (!held.includes(names.operator)) {
    if (home.token("operator") !== undefined) return "refused";
    // A root token makes the operator's. Of another one, Terraform will say whether its rights are enough.
    if (held.includes("root")) return "missing";
  }
  await operator.request("POST", "auth/token/renew-self", {});
  if (!held.includes(names.operator)) return "current";
  let operatorText = "";
  for (const who of TRUST_TOKENS) {
    const found = await policyAt(operator, names[who]);
    if (who === "operator") operatorText = found ?? "";
    if (!isDeclared(found, policies[who]))
      return { outdated: who, without: who === "operator" ? missingPaths(found ?? "", policies[who]) : [] };
  }
  const without = uncovered(operatorText, (await target.deployed()).dropped).map(({ path }) => path);
  return without.length > 0 ? { outdated: "operator", without } : "current";
}

/**
 * For before a deploy changes anything: whether its token may do what the config wants.
 * @throws SetupError with one line that says what is missing and what helps
 */
export async function checkOperator(target: VaultTarget): Promise<void> {
  const operator = operatorOf(target, undefined);
  const { initialized, sealed } = await sealStatus(target.vault);
  if (!operator || !initialized || sealed) return;
  const state = await operatorState(target, operator);
  if (typeof state === "object" && !(await rootAtHand(target))) throw new SetupError(remedy(target, state));
}

/** A policy's text; undefined where there is none, or it may not be read. */
async function policyAt(vault: VaultClient, name: string): Promise<string | undefined> {
  const { body } = await vault.request("GET", `sys/policies/acl/${name}`);
  const text = body.data?.["policy"];
  return typeof text === "string" ? text.trim() : undefined;
}

/** Renews the tokens of the others. False where one is missing or refused. */
async function renewOthers({ vault, home }: VaultTarget): Promise<boolean> {
  for (const who of TRUST_TOKENS) {
    if (who === "operator") continue;
    const token = home.token(who);
    if (token === undefined) return false;
    const { status } = await vault.withToken(token).request("POST", "auth/token/renew-self", {});
    if (status >= 400) return false;
  }
  return true;
}

interface Root {
  readonly client: VaultClient;
  /** Made by init, which ends it. */
  readonly isOurs: boolean;
}

/** A token that may write policies and make tokens: left by a command that was killed, given, or a dev server's. */
async function rootAtHand(target: VaultTarget): Promise<Root | undefined> {
  const { vault, home } = target;
  const left = home.rootToken();
  for (const token of [left, process.env["VAULT_TOKEN"], home.devToken()]) {
    if (!token) continue;
    const client = vault.withToken(token);
    if (await maySetUp(target, client)) return { client, isOurs: token === left };
  }
  return undefined;
}

async function maySetUp({ manifest }: VaultTarget, client: VaultClient): Promise<boolean> {
  const policies = Object.values(manifest.policies!).map((name) => `sys/policies/acl/${name}`);
  const orphan = "auth/token/create-orphan";
  const paths = [...policies, orphan];
  const { status, body } = await client.request("POST", "sys/capabilities-self", { paths });
  if (status >= 400) return false;
  const may = (path: string, ...wanted: string[]) => {
    const held = (body.data?.[path] ?? []) as string[];
    return held.includes("root") || wanted.every((capability) => held.includes(capability));
  };
  return policies.every((path) => may(path, "read", "create", "update")) && may(orphan, "update", "sudo");
}

async function rootFromKeys(
  { vault, home }: VaultTarget,
  operator: VaultClient | undefined,
  keys: (why: string) => Promise<readonly string[]>,
): Promise<Root> {
  const token = await generateRootToken(
    vault,
    operator,
    await keys("has to make a root token for this, unless VAULT_TOKEN is one"),
  );
  home.setRootToken(token);
  return { client: vault.withToken(token), isOurs: true };
}

interface ForeignPolicy {
  readonly name: string;
  /** As it is to be. */
  readonly text: string;
  /** What stands after "it is". */
  readonly owner: string;
}

/**
 * Policies that have the name of one that is to be written, and that this environment has not written.
 * @param isKnown the operator's token is an earlier init's: a policy without a mark is one of 0.1.0's
 * @param takeOver looks at the personas' policies as well
 */
async function foreignPolicies(
  { manifest, policies, personaPolicies, deployed }: VaultTarget,
  root: VaultClient,
  { isKnown, takeOver = false }: { isKnown: boolean; takeOver?: boolean },
): Promise<ForeignPolicy[]> {
  const trust = TRUST_TOKENS.map((who): [string, string] => [manifest.policies![who], policies[who]]);
  const declared = manifest.databases.map((database) => policyMark(manifest.environment, database));
  const isTrust = (name: string) => trust.some(([of]) => of === name);
  const asked = [...trust, ...(takeOver ? Object.entries(personaPolicies) : [])];
  const foreign: ForeignPolicy[] = [];
  for (const [name, text] of asked) {
    const found = await policyAt(root, name);
    const owner = found === undefined ? undefined : foreignOwner(found, text, declared);
    if (owner === undefined || (isKnown && isTrust(name) && markOf(found!) === undefined)) continue;
    const { marks, names } = await deployed();
    if (!names.includes(name) && !marks.includes(markOf(found!) ?? "")) foreign.push({ name, text, owner });
  }
  return foreign;
}

function foreignText({ vault, manifest }: VaultTarget, { name, owner }: ForeignPolicy): string {
  return `the policy ${name} at ${vault.address} is ${owner}: give this environment another name than ${manifest.environment}, or run npx leasehold init --take-over where it is to be replaced`;
}

function isReadable({ capabilities }: Dropped): boolean {
  return capabilities.includes("read");
}

function readable({ path }: Dropped): Dropped {
  return { path, capabilities: ["read"] };
}

/** Writes the declared policies, and creates each token that is missing or no longer valid. */
async function grant(
  { home, manifest, policies, deployed }: VaultTarget,
  root: VaultClient,
  did: string[],
): Promise<void> {
  const names = manifest.policies!;
  const written: string[] = [];
  const { dropped } = await deployed();
  const wanted: typeof policies = {
    ...policies,
    operator: withDropped(policies.operator, dropped),
    planner: withDropped(policies.planner, dropped.filter(isReadable).map(readable)),
  };
  for (const who of TRUST_TOKENS) {
    if ((await policyAt(root, names[who])) === wanted[who].trim()) continue;
    await root.call("PUT", `sys/policies/acl/${names[who]}`, { policy: wanted[who] });
    written.push(names[who]);
  }
  if (written.length > 0)
    did.push(`wrote ${written.length === 1 ? "the policy" : "the policies"} ${written.join(", ")}`);
  const made: string[] = [];
  for (const who of TRUST_TOKENS) {
    if (await renew(root, home.token(who), names[who])) continue;
    home.setToken(who, await createTrustToken(root, who, names[who]));
    made.push(who);
  }
  if (made.length > 0) did.push(`made ${made.join(", ")}: a token each, in ${home.folder}`);
}

/** Whether a token is valid and has the one policy; then it is renewed. */
async function renew(root: VaultClient, token: string | undefined, policy: string): Promise<boolean> {
  if (token === undefined) return false;
  const found = await root.request("POST", "auth/token/lookup", { token });
  if (found.status >= 400 || !(found.body.data!["policies"] as string[]).includes(policy)) return false;
  return (await root.request("POST", "auth/token/renew", { token })).status < 400;
}

/** For a deploy, which makes no root token from unseal keys. */
function remedy({ vault, home, isContainer }: VaultTarget, state: OperatorState): string {
  const otherwise = isContainer ? "" : ", with VAULT_TOKEN a root token";
  if (typeof state === "object") {
    const [first, ...more] = state.without;
    const others = more.length > 0 ? ` and ${count(more.length, "other path")}` : "";
    const why = first === undefined ? "" : `; it does not cover ${first}${others}`;
    return `the ${state.outdated}'s policy at ${vault.address} is no longer what the config declares: ${RUN_INIT}${otherwise}, then deploy again${why}`;
  }
  switch (state) {
    case "refused":
      return `the Vault at ${vault.address} rejects the operator's token, which has expired or is another Vault's: ${RUN_INIT}${otherwise}`;
    default:
      return `there is no operator's token in ${home.folder}: ${RUN_INIT}${otherwise}`;
  }
}

/** As `vault operator init` shows them. */
export function keysText(keys: readonly string[], threshold: number): string {
  const lines = keys.map((key, i) => `Unseal Key ${String(i + 1)}: ${key}`);
  return [...lines, `Vault needs ${String(threshold)} of them after each start. Store them separately.`].join(
    "\n",
  );
}

function count(number: number, noun: string): string {
  return `${String(number)} ${noun}${number === 1 ? "" : "s"}`;
}
