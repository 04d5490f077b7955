import { setTimeout as delay } from "node:timers/promises";
import { escapeLiteral as literal } from "pg";
import type { Lease } from "../session/leases";
import type { Check } from "../report/check";
import { Notes } from "../report/evidence";
import { LOGIN_REFUSED, loginRefusal, type PostgresAddress, type Session } from "../session/session";
import type { VaultClient } from "../../clients/vault-client";

/** Vault ends what nobody revoked in the background: within moments, which a busy machine makes long. */
const BACKGROUND_MILLISECONDS = 10_000;
const PAUSE_MILLISECONDS = 20;

export interface Witnesses {
  readonly address: PostgresAddress;
  readonly database: string;
  /** Another login's session: it sees the roles. */
  readonly asker: Session;
  readonly vault: VaultClient;
}

/**
 * Waits, within a bound, until PostgreSQL has no role of the lease and refuses its login and Vault does not know it any
 * more. Returns what is still there.
 */
export async function whatIsLeft(
  { address, database, asker, vault }: Witnesses,
  lease: Lease,
  check: Check,
): Promise<string | undefined> {
  const roles = `SELECT FROM pg_roles WHERE rolname = ${literal(lease.username)}`;
  const end = performance.now() + BACKGROUND_MILLISECONDS;
  for (;;) {
    // Of the looks that are repeated the last is the check.
    const looks = new Notes();
    const found = await asker.attempt(roles, looks);
    const renewal = await vault.request("POST", "sys/leases/renew", { lease_id: lease.id });
    looks.noteAnswer(renewal);
    const isGone = "count" in found && found.count === 0 && renewal.status === 400;
    if (isGone || performance.now() > end) {
      check.noteAll(looks);
      if (!("count" in found) || found.count > 0) return `the role ${lease.username} is still there`;
      if (renewal.status !== 400)
        return `Vault still knows the lease ${lease.id}: renewing it gives HTTP ${String(renewal.status)}`;
      break;
    }
    await delay(PAUSE_MILLISECONDS);
  }
  const refusal = await loginRefusal(address, database, lease);
  check.note(`login as ${lease.username}`, refusal === undefined ? "a session" : `SQLSTATE ${refusal}`);
  if (refusal !== undefined && LOGIN_REFUSED.includes(refusal)) return undefined;
  return `the login must be refused with ${LOGIN_REFUSED.join(" or ")}, received ${refusal ?? "a session"}`;
}
