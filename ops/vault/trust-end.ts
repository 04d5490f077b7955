import { policyMark, TRUST_TOKENS, type TrustToken } from "../../manifest/names";
import { VaultError, type VaultClient } from "../../clients/vault-client";
import { foreignOwner } from "./marked-policies";
import type { VaultTarget } from "./prepare";

/** What a destroy did about what init made, and what it could not, for people, a line each. */
export interface TrustEnd {
  readonly did: readonly string[];
  readonly left: readonly string[];
}

const LOOKUPS_AT_A_TIME = 8;

/**
 * Whether there is something of init's for {@link endTrust}: a token on file, or a policy of this environment's that the token in
 * VAULT_TOKEN may delete. Not in a container, whose Vault goes.
 */
export async function hasTrust(target: VaultTarget): Promise<boolean> {
  if (target.isContainer) return false;
  if (TRUST_TOKENS.some((who) => target.home.token(who) !== undefined)) return true;
  try {
    const owner = await ownerOf(target);
    return owner !== undefined && (await ownPolicies(target, owner)).length > 0;
  } catch {
    // Then nothing is known of it, and nothing else of the environment is there.
    return false;
  }
}

/**
 * Ends the tokens of the trust model and deletes its policies, as the token in VAULT_TOKEN may, or a root token that a killed init
 * has left. Without one the verifier's token ends those on file, and last itself.
 */
export async function endTrust(target: VaultTarget): Promise<TrustEnd> {
  const owner = await ownerOf(target);
  if (!owner) return endTokensOnFile(target);
  const { vault, home } = target;
  const did: string[] = [];
  const names = await ownPolicies(target, owner);
  const accessors = new Set([...(await tokensWith(owner, names)), ...(await onFile(target, owner)).values()]);
  for (const accessor of accessors) await owner.call("POST", "auth/token/revoke-accessor", { accessor });
  const ended = accessors.size;
  if (ended > 0) did.push(`ended ${String(ended)} ${ended === 1 ? "token" : "tokens"} that init had made`);
  for (const name of names) await owner.call("DELETE", `sys/policies/acl/${name}`);
  if (names.length > 0)
    did.push(`deleted the ${names.length === 1 ? "policy" : "policies"} ${names.join(", ")}`);
  for (const who of TRUST_TOKENS) home.removeToken(who);
  if (home.rootToken() !== undefined) {
    await vault.withToken(home.rootToken()).request("POST", "auth/token/revoke-self");
    home.removeRootToken();
  }
  return { did, left: [] };
}

/** The accessors of the tokens in the home folder, but for those that have ended. */
async function onFile(
  { vault, home }: VaultTarget,
  owner?: VaultClient,
): Promise<ReadonlyMap<TrustToken, string>> {
  const found = new Map<TrustToken, string>();
  for (const who of TRUST_TOKENS) {
    const token = home.token(who);
    if (token === undefined) continue;
    const answer = await (owner
      ? owner.request("POST", "auth/token/lookup", { token })
      : vault.withToken(token).request("GET", "auth/token/lookup-self"));
    if (answer.status >= 500) throw new VaultError(answer);
    if (answer.status === 200) found.set(who, String(answer.body.data!["accessor"]));
  }
  return found;
}

/** Who may look every token up, end it, and delete the policies. */
async function ownerOf({ vault, home, manifest }: VaultTarget): Promise<VaultClient | undefined> {
  const wanted: Record<string, readonly string[]> = {
    "auth/token/accessors": ["list", "sudo"],
    "auth/token/lookup": ["update"],
    "auth/token/lookup-accessor": ["update"],
    "auth/token/revoke-accessor": ["update"],
  };
  for (const name of Object.values(manifest.policies!))
    wanted[`sys/policies/acl/${name}`] = ["read", "delete"];
  for (const token of [home.rootToken(), process.env["VAULT_TOKEN"]]) {
    if (!token) continue;
    const client = vault.withToken(token);
    const answer = await client.request("POST", "sys/capabilities-self", { paths: Object.keys(wanted) });
    if (answer.status >= 400) continue;
    const may = ([path, needed]: [string, readonly string[]]) => {
      const held = (answer.body.data?.[path] ?? []) as string[];
      return held.includes("root") || needed.every((capability) => held.includes(capability));
    };
    if (Object.entries(wanted).every(may)) return client;
  }
  return undefined;
}

/** The names of the trust model's policies that are there and this environment's. */
async function ownPolicies({ manifest, policies }: VaultTarget, vault: VaultClient): Promise<string[]> {
  const marks = manifest.databases.map((database) => policyMark(manifest.environment, database));
  const own: string[] = [];
  for (const who of TRUST_TOKENS) {
    const name = manifest.policies![who];
    const { status, body } = await vault.request("GET", `sys/policies/acl/${name}`);
    const text = body.data?.["policy"];
    if (status === 200 && typeof text === "string" && foreignOwner(text, policies[who], marks) === undefined)
      own.push(name);
  }
  return own;
}

/** The accessors of tokens as init makes them: with one of the policies and no other. */
async function tokensWith(owner: VaultClient, policies: readonly string[]): Promise<string[]> {
  if (policies.length === 0) return [];
  const accessors = (await owner.call("LIST", "auth/token/accessors")).data!["keys"] as string[];
  const found: string[] = [];
  const work = async () => {
    for (let accessor = accessors.pop(); accessor; accessor = accessors.pop()) {
      const { status, body } = await owner.request("POST", "auth/token/lookup-accessor", { accessor });
      // It has ended meanwhile.
      if (status >= 400) continue;
      const held = body.data!["policies"] as string[];
      if (held.length === 1 && policies.includes(held[0]!)) found.push(accessor);
    }
  };
  await Promise.all(Array.from({ length: LOOKUPS_AT_A_TIME }, work));
  return found;
}

async function endTokensOnFile(target: VaultTarget): Promise<TrustEnd> {
  const { vault, home, manifest } = target;
  const verifier = vault.withToken(home.token("verifier"));
  const valid = await onFile(target);
  const left: string[] = [];
  const ended: string[] = [];
  // By the verifier's, which goes last.
  for (const who of [...TRUST_TOKENS.filter((each) => each !== "verifier"), "verifier"] as const) {
    const accessor = valid.get(who);
    if (accessor !== undefined) {
      const answer = await verifier.request("POST", "auth/token/revoke", { token: home.token(who) });
      if (answer.status >= 400) {
        left.push(`the ${who}'s token in Vault: vault token revoke -accessor ${accessor}`);
        continue;
      }
      ended.push(who);
    }
    home.removeToken(who);
  }
  const names = Object.values(manifest.policies!);
  left.push(
    `the policies ${names.join(", ")} in Vault, and tokens of init's that are not in ${home.folder}, which none of these may remove: VAULT_TOKEN=… npx leasehold destroy --env ${manifest.environment}, or vault policy delete for each`,
  );
  return {
    did: ended.length > 0 ? [`ended the tokens of init: ${ended.join(", ")}`] : [],
    left,
  };
}
