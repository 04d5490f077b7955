import { untilActive } from "../../sandbox/initialise";
import { SetupError } from "../../clients/setup-error";
import { VaultError, VaultUnreachable, type VaultClient } from "../../clients/vault-client";

/** https://developer.hashicorp.com/vault/api-docs/system/seal-status */
export interface SealStatus {
  readonly initialized: boolean;
  readonly sealed: boolean;
  /** How many keys unseal. */
  readonly t: number;
  /** How many keys there are. */
  readonly n: number;
  /** How many of them were sent already. */
  readonly progress: number;
}

/** @throws SetupError when Vault does not answer */
export async function sealStatus(vault: VaultClient): Promise<SealStatus> {
  try {
    return (await vault.call("GET", "sys/seal-status")) as unknown as SealStatus;
  } catch (error) {
    if (!(error instanceof VaultUnreachable)) throw error;
    const remedy = error.message.includes("certificate")
      ? "set VAULT_CACERT to the file with the certificate of its CA"
      : "start it, or set VAULT_ADDR";
    throw new SetupError(`${error.message}: ${remedy}`, { cause: error });
  }
}

/** Returns nothing where somebody else was faster. */
export async function initialise(
  vault: VaultClient,
  { shares, threshold }: { readonly shares: number; readonly threshold: number },
): Promise<{ keys: readonly string[]; rootToken: string } | undefined> {
  try {
    const answer = (await vault.call("PUT", "sys/init", {
      secret_shares: shares,
      secret_threshold: threshold,
    })) as unknown as { keys_base64: string[]; root_token: string };
    return { keys: answer.keys_base64, rootToken: answer.root_token };
  } catch (error) {
    if (error instanceof VaultError && (await sealStatus(vault)).initialized) return undefined;
    throw error;
  }
}

/**
 * Sends keys, one after the other, until Vault is unsealed.
 * @param keys at least as many as unseal
 * @param whence says where the keys are from, for the message
 * @throws SetupError when they are not this Vault's
 */
export async function unseal(vault: VaultClient, keys: readonly string[], whence: string): Promise<void> {
  // What somebody sent before, and was not right, spoils the first attempt and is gone after it.
  const attempts = (await sealStatus(vault)).progress > 0 ? 2 : 1;
  for (let i = 0; i < attempts; i += 1) {
    if (await sendKeys(vault, keys)) {
      await untilActive(vault);
      return;
    }
  }
  throw new SetupError(
    `the unseal keys ${whence} are not those of the Vault at ${vault.address}, which stays sealed: put its own there, a line each (those of a Vault before it are in unseal-keys.previous)`,
  );
}

async function sendKeys(vault: VaultClient, keys: readonly string[]): Promise<boolean> {
  for (const key of keys) {
    const { status, body } = await vault.request("PUT", "sys/unseal", { key });
    if (status >= 400) return false;
    if (!(body as unknown as SealStatus).sealed) return true;
  }
  return false;
}
