import { SetupError } from "./setup-error";
import { VaultError, VaultUnreachable, type VaultClient } from "./vault-client";
import { activeNode } from "./vault-cluster";
import { until } from "./within";

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

const ACTIVE_TIMEOUT_MILLISECONDS = 20_000;

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

/**
 * https://developer.hashicorp.com/vault/api-docs/system/init
 * @returns undefined where somebody else was faster
 */
export async function initialiseVault(
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
 * Sends keys, one after the other, until Vault is unsealed, and waits until it is active.
 * @param keys at least as many as unseal
 * @returns false when they are not this Vault's
 */
export async function unsealVault(vault: VaultClient, keys: readonly string[]): Promise<boolean> {
  // A wrong key that somebody sent before makes the first attempt fail, and is gone after it.
  const attempts = (await sealStatus(vault)).progress > 0 ? 2 : 1;
  for (let i = 0; i < attempts; i += 1) {
    if (!(await sendKeys(vault, keys))) continue;
    await untilActive(vault);
    return true;
  }
  return false;
}

async function sendKeys(vault: VaultClient, keys: readonly string[]): Promise<boolean> {
  for (const key of keys) {
    const { status, body } = await vault.request("PUT", "sys/unseal", { key });
    if (status >= 400) return false;
    if (!(body as unknown as SealStatus).sealed) return true;
  }
  return false;
}

/** @throws SetupError when an unsealed Vault does not become active in time */
export async function untilActive(vault: VaultClient): Promise<void> {
  const isActive = async () => {
    const { status } = await vault.request("GET", "sys/health");
    // 429 and 473: a standby of a cluster, whose active node serves (https://developer.hashicorp.com/vault/api-docs/system/health).
    const isStandby = [429, 473].includes(status);
    if (isStandby) return (await activeNode(vault.address, vault.ca).catch(() => undefined)) && true;
    return status === 200 || undefined;
  };
  if (!(await until(ACTIVE_TIMEOUT_MILLISECONDS, isActive)))
    throw new SetupError("Vault was unsealed and did not become active within 20 s: try again");
}
