import type { VaultClient } from "../clients/vault-client";
import { SetupError } from "../clients/setup-error";

/** Names of the trust model's policies, as in the access manifest. */
export interface PolicyNames {
  readonly operator: string;
  readonly planner: string;
  readonly deliverer: string;
  readonly verifier: string;
}

/** Their texts. One that is missing is for a stack to write. */
export type PolicyTexts = Readonly<Partial<Record<keyof PolicyNames, string>>>;

export interface Initialised {
  /** As many as it takes. They stay in this program's memory. */
  readonly unsealKeys: readonly string[];
  readonly rootToken: string;
  /** A token for each policy. */
  readonly tokens: Readonly<Record<keyof PolicyNames, string>>;
}

/** Longer than any sandbox is kept. */
const TOKEN_PERIOD = "768h";
const UNSEAL_TIMEOUT_MILLISECONDS = 20_000;

/**
 * Initialises an empty Vault, unseals it, writes the trust model's policies and makes its tokens: periodic, orphans,
 * each with its one policy. The root token is still valid; who called revokes it.
 */
export async function initialise(
  vault: VaultClient,
  names: PolicyNames,
  texts: PolicyTexts,
  { shares, threshold }: { shares: number; threshold: number } = { shares: 1, threshold: 1 },
): Promise<Initialised> {
  const init = (await vault.call("PUT", "sys/init", {
    secret_shares: shares,
    secret_threshold: threshold,
  })) as { keys: string[]; root_token: string };
  const unsealKeys = init.keys.slice(0, threshold);
  await unseal(vault, unsealKeys);
  const root = vault.withToken(init.root_token);
  const tokens: Record<string, string> = {};
  for (const who of ["operator", "planner", "deliverer", "verifier"] as const) {
    const policy = texts[who];
    if (policy !== undefined) await root.call("PUT", `sys/policies/acl/${names[who]}`, { policy });
    tokens[who] = await createToken(root, who, names[who]);
  }
  return { unsealKeys, rootToken: init.root_token, tokens: tokens as Initialised["tokens"] };
}

/** A token of the trust model's: it lives as long as it is renewed, whatever becomes of the one that made it. */
export async function createToken(root: VaultClient, who: string, policy: string): Promise<string> {
  const { auth } = await root.call("POST", "auth/token/create-orphan", {
    policies: [policy],
    no_default_policy: true,
    period: TOKEN_PERIOD,
    display_name: who,
  });
  return auth!.client_token;
}

/** Unseals Vault and waits until it is active. */
export async function unseal(vault: VaultClient, keys: readonly string[]): Promise<void> {
  for (const key of keys) await vault.call("PUT", "sys/unseal", { key });
  await untilActive(vault);
}

/** Waits until an unsealed Vault answers for itself. */
export async function untilActive(vault: VaultClient): Promise<void> {
  const end = performance.now() + UNSEAL_TIMEOUT_MILLISECONDS;
  while (performance.now() < end) {
    const { status } = await vault.request("GET", "sys/health");
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new SetupError("Vault was unsealed and did not become active within 20 s: try again");
}
