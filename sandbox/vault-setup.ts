import type { VaultClient } from "../clients/vault-client";
import { initialiseVault, unsealVault } from "../clients/vault-seal";
import { createTrustToken } from "../clients/vault-token";
import { TRUST_TOKENS, type TrustToken } from "../manifest/names";

/** The texts of the trust model's policies. One that is missing is for a stack to write. */
export type PolicyTexts = Readonly<Partial<Record<TrustToken, string>>>;

export interface VaultSecrets {
  /** As many as unseal. They stay in this program's memory. */
  readonly unsealKeys: readonly string[];
  readonly rootToken: string;
  /** A token for each policy. */
  readonly tokens: Readonly<Record<TrustToken, string>>;
}

/**
 * Initialises an empty Vault, unseals it, writes the trust model's policies and makes its tokens. The root token is still
 * valid; the caller revokes it.
 */
export async function setUpVault(
  vault: VaultClient,
  names: Readonly<Record<TrustToken, string>>,
  texts: PolicyTexts,
  { shares, threshold }: { shares: number; threshold: number } = { shares: 1, threshold: 1 },
): Promise<VaultSecrets> {
  const { keys, rootToken } = (await initialiseVault(vault, { shares, threshold }))!;
  const unsealKeys = keys.slice(0, threshold);
  await unsealVault(vault, unsealKeys);
  const root = vault.withToken(rootToken);
  const tokens: Record<string, string> = {};
  for (const who of TRUST_TOKENS) {
    const policy = texts[who];
    if (policy !== undefined) await root.call("PUT", `sys/policies/acl/${names[who]}`, { policy });
    tokens[who] = await createTrustToken(root, who, names[who]);
  }
  return { unsealKeys, rootToken, tokens: tokens as VaultSecrets["tokens"] };
}
