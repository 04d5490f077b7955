import { escapeLiteral as literal } from "pg";
import type { VaultAnswer } from "../../clients/vault-client";
import type { Check } from "../report/check";
import type { Notes } from "../report/evidence";
import type { Session } from "../session/session";

/** Vault counts in whole seconds, keeps a few of grace in VALID UNTIL, and an answer takes its time. */
export const SECONDS_OF_TOLERANCE = 10;

/**
 * Whether a renewal beyond the maximum came to what is left of it, in seconds.
 * @param issuedAt of what was renewed, on the clock of `performance.now()`
 */
export function isCutTo(maximum: number, seconds: number, issuedAt: number): boolean {
  const age = (performance.now() - issuedAt) / 1000;
  return seconds <= maximum && seconds >= maximum - age - SECONDS_OF_TOLERANCE;
}

/**
 * @param seconds what a renewal beyond the maximum gave; undefined where Vault refused it
 * @param why ends the finding
 */
export async function expectCut(
  what: string,
  maximum: number,
  { status }: VaultAnswer,
  seconds: number | undefined,
  issuedAt: number,
  check: Check,
  why: (declared: number, found?: number) => Promise<string>,
): Promise<void> {
  if (seconds !== undefined && isCutTo(maximum, seconds, issuedAt)) return;
  const given = seconds === undefined ? `HTTP ${String(status)}` : `${String(seconds)} s`;
  const cut = await why(maximum, seconds);
  check.find(`${what} declared: ${String(maximum)} s; renewing gives ${given}${cut}`);
}

/** A role's VALID UNTIL, as seconds of the epoch and from now; undefined where there is none. */
export async function validUntil(
  owner: Session,
  role: string,
  notes?: Notes,
): Promise<{ readonly at: number; readonly fromNow: number } | undefined> {
  const outcome = await owner.attempt(
    `SELECT extract(epoch FROM rolvaliduntil)::float AS at, extract(epoch FROM rolvaliduntil - now())::float AS from_now
     FROM pg_roles WHERE rolname = ${literal(role)}`,
    notes,
  );
  const row = "rows" in outcome ? outcome.rows[0] : undefined;
  const [at, fromNow] = [row?.["at"], row?.["from_now"]];
  return typeof at === "number" && typeof fromNow === "number" ? { at, fromNow } : undefined;
}
