import { SetupError } from "../../clients/setup-error";
import { errorText, VaultError, type VaultAnswer, type VaultClient } from "../../clients/vault-client";

/** A lease of the database secrets engine, as far as Vault shows one: its login's name is in no answer. */
export interface IssuedLease {
  readonly id: string;
  /** Vault's database role. */
  readonly role: string;
  /** Seconds of the epoch, by Vault's clock. */
  readonly issued: number;
  /** Negative where its time is over and no revocation has succeeded yet. */
  readonly secondsLeft: number;
  /** Why Vault has given up revoking it: an irrevocable lease. */
  readonly error?: string;
}

const REQUESTS_AT_A_TIME = 8;

/**
 * The leases of database roles of a mount (https://developer.hashicorp.com/vault/api-docs/system/leases).
 * @param vault with the operator's token
 * @param roles whose; undefined stands for all, which the operator can't list on a mount of others'
 * @throws SetupError where the token may not list, VaultError, VaultUnreachable
 */
export async function issuedLeases(
  vault: VaultClient,
  mount: string,
  roles: readonly string[] | undefined,
  signal: AbortSignal,
  onProgress: (text: string) => void = () => undefined,
): Promise<IssuedLease[]> {
  const paths: { role: string; id: string }[] = [];
  const all = roles ?? (await list(vault, `${mount}/creds/`)).map((folder) => folder.replace(/\/$/, ""));
  for (const role of all) for (const id of await leaseIds(vault, mount, role)) paths.push({ role, id });
  const found: IssuedLease[] = [];
  let next = 0;
  const work = async () => {
    for (let path = paths[next]; path; path = paths[next]) {
      signal.throwIfAborted();
      next += 1;
      if (next % 100 === 0)
        onProgress(`read ${String(next)} of the ${String(paths.length)} leases of ${mount}`);
      const lease = await lookUp(vault, path.id);
      if (lease) found.push({ ...path, ...lease });
    }
  };
  await Promise.all(Array.from({ length: REQUESTS_AT_A_TIME }, work));
  return found;
}

/** Ids of a database role's leases. */
export async function leaseIds(vault: VaultClient, mount: string, role: string): Promise<string[]> {
  const prefix = `${mount}/creds/${role}/`;
  return (await list(vault, prefix)).map((key) => prefix + key);
}

async function list(vault: VaultClient, prefix: string): Promise<string[]> {
  const answer = await vault.request("LIST", `sys/leases/lookup/${prefix}`);
  // There are none.
  if (answer.status === 404) return [];
  return (succeeded(answer).body.data?.["keys"] ?? []) as string[];
}

/** @returns undefined where it has ended in the meantime */
async function lookUp(
  vault: VaultClient,
  lease_id: string,
): Promise<Pick<IssuedLease, "issued" | "secondsLeft" | "error"> | undefined> {
  const answer = await vault.request("PUT", "sys/leases/lookup", { lease_id });
  if (answer.status === 400) return undefined;
  const { issue_time, ttl, revoke_error } = succeeded(answer).body.data as {
    issue_time: string;
    ttl: number;
    revoke_error?: string;
  };
  return { issued: Date.parse(issue_time) / 1000, secondsLeft: ttl, error: revoke_error };
}

function succeeded(answer: VaultAnswer): VaultAnswer {
  if (answer.status === 403)
    throw new SetupError(
      `the operator's token is not allowed to list leases (HTTP 403: ${errorText(answer)}): run npx leasehold init`,
    );
  if (answer.status >= 400) throw new VaultError(answer);
  return answer;
}
