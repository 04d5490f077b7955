import { escapeLiteral as literal } from "pg";
import type { LoggedInContext } from "../context";
import type { Check } from "../report/check";
import { whyCut } from "../vault/max-lease-ttl";
import { exerciseCredentials, exerciseRenewal } from "../vault/paths";
import { secondsAhead } from "./clocks";
import { expectCut, SECONDS_OF_TOLERANCE, validUntil } from "./valid-until";

/** Leases the login that the persona's other checks use. */
export async function leaseLogin(context: LoggedInContext, check: Check): Promise<void> {
  const answer = await exerciseCredentials(context);
  check.noteAnswer(answer);
  context.lease = context.leases.keep(answer);
  const { duration } = context.lease;
  const { defaultTtl } = context.persona.databaseRole;
  check.expect("lease TTL", defaultTtl, duration, "s", await cutOf(context)(defaultTtl, duration));
}

function cutOf({ vault, database }: LoggedInContext) {
  return (declared: number, found?: number) => whyCut(vault, database.vault.mount, declared, found);
}

export async function expectValidUntil(
  { owner, lease, clocks, recorder }: LoggedInContext,
  check: Check,
): Promise<void> {
  const { username, duration, issuedAt } = lease!;
  const valid = await validUntil(owner, username, check);
  if (!valid) {
    check.find("the leased role has no VALID UNTIL");
    return;
  }
  const left = duration - (performance.now() - issuedAt) / 1000;
  // What the check of the clocks says is not said again.
  const fromNow = valid.fromNow + (recorder.wants("clocks") ? secondsAhead(clocks) : 0);
  check.note("VALID UNTIL, from now", `${fromNow.toFixed(1)} s, of a lease that has ${left.toFixed(1)} s`);
  if (Math.abs(fromNow - left) > SECONDS_OF_TOLERANCE)
    check.find(`VALID UNTIL is ${fromNow.toFixed(0)} s away, the lease's end ${left.toFixed(0)} s`);
}

export async function expectConnectionLimit(
  { owner, persona, lease }: LoggedInContext,
  check: Check,
): Promise<void> {
  const sql = `SELECT rolconnlimit AS limit FROM pg_roles WHERE rolname = ${literal(lease!.username)}`;
  const outcome = await owner.attempt(sql, check);
  const limit = "rows" in outcome ? outcome.rows[0]?.["limit"] : undefined;
  const found = limit === -1 ? "none" : String(limit);
  check.expect("connection limit", String(persona.databaseRole.connectionLimit), found);
}

export async function expectMaximum(context: LoggedInContext, check: Check): Promise<void> {
  const { maxTtl } = context.persona.databaseRole;
  // Asks for more than there is: what comes back is the maximum.
  const renewed = await exerciseRenewal(context, context.lease!.id, maxTtl * 2);
  check.noteAnswer(renewed);
  const { lease_duration } = renewed.body;
  const { issuedAt } = context.lease!;
  await expectCut("lease max TTL", maxTtl, renewed, lease_duration, issuedAt, check, cutOf(context));
}
