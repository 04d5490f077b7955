import type { VaultClient } from "../clients/vault-client";
import { initialiseVault, unsealVault } from "../clients/vault-seal";
import { createTrustToken } from "../clients/vault-token";

/** Names of the trust model's policies, as in the access manifest. */
export interface PolicyNames {
  readonly operator: string;
  readonly planner: string;
  readonly deliverer: string;
  readonly verifier: string;
}

/** Their texts. One that is missing is for a stack to write. */
export type PolicyTexts = Readonly<Partial<Record<keyof PolicyNames, string>>>;

export interface VaultSecrets {
  /** As many as unseal. They stay in this program's memory. */
  readonly unsealKeys: readonly string[];
  readonly rootToken: string;
  /** A token for each policy. */
  readonly tokens: Readonly<Record<keyof PolicyNames, string>>;
}

/**
 * Initialises an empty Vault, unseals it, writes the trust model's policies and makes its tokens. The root token is still
 * valid; the caller revokes it.
 */
export async function setUpVault(
  vault: VaultClient,
  names: PolicyNames,
  texts: PolicyTexts,
  { shares, threshold }: { shares: number; threshold: number } = { shares: 1, threshold: 1 },
): Promise<VaultSecrets> {
  const { keys, rootToken } = (await initialiseVault(vault, { shares, threshold }))!;
  const unsealKeys = keys.slice(0, threshold);
  await unsealVault(vault, unsealKeys);
  const root = vault.withToken(rootToken);
  const tokens: Record<string, string> = {};
  for (const who of ["operator", "planner", "deliverer", "verifier"] as const) {
    const policy = texts[who];
    if (policy !== undefined) await root.call("PUT", `sys/policies/acl/${names[who]}`, { policy });
    tokens[who] = await createTrustToken(root, who, names[who]);
  }
  return { unsealKeys, rootToken, tokens: tokens as VaultSecrets["tokens"] };
}
