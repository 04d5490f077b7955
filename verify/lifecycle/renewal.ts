import { errorText, type VaultAnswer, type VaultClient } from "../../clients/vault-client";
import type { DatabaseContext } from "../context";
import { Check } from "../report/check";
import type { Lease } from "../session/leases";
import { isCutTo, validUntil } from "./valid-until";
import { forEach, type LifecycleContext, type LoggedInPersona } from "./logged-in";

/** Seconds. */
interface Limits {
  readonly ttl: number;
  /** @default - not declared: what Vault cuts a renewal to is its own matter */
  readonly maxTtl?: number;
}

interface Renewed {
  /** Seconds. Undefined where Vault refused. */
  readonly duration?: number;
  /** Vault's words. */
  readonly said: string;
}

/** Sends a renewal by so many seconds. */
type Renew = (increment: number) => Promise<Renewed>;

/** More than any maximum that Vault has. */
const FOR_EVER = 100 * 365 * 86_400;
/** VALID UNTIL is written in whole seconds. */
const SECONDS_OF_ROUNDING = 1.5;
const SHORT_TRIES = 3;

/** Renews each persona's token with itself, and its lease with it; then a lease of the probe role. */
export async function renewTokensAndLeases(context: LifecycleContext, check: Check): Promise<void> {
  await forEach(context.loggedIn, check, (persona, own) => renewTokenAndLease(context, persona, own));
  const { pace } = context.vault.run;
  for (let tries = 1; ; tries += 1) {
    const own = new Check();
    const waited = pace.milliseconds;
    await renewShortLease(context, own);
    // A lease of seconds may end while a rate limit is waited for.
    if (own.findings.length > 0 && pace.milliseconds > waited && tries < SHORT_TRIES) continue;
    check.noteAll(own);
    check.find(...own.findings);
    return;
  }
}

async function renewShortLease(context: LifecycleContext, check: Check): Promise<void> {
  const { leases, vault, database } = context;
  const role = database.probes!.short;
  const lease = await leases.take(vault, role);
  await expectLeaseRenewed(`the lease of ${role}`, context, { ttl: lease.duration }, lease, vault, check);
  await lease.revoke();
}

async function renewTokenAndLease(
  context: DatabaseContext,
  persona: LoggedInPersona,
  check: Check,
): Promise<void> {
  const { vault, issuedAt } = persona.token;
  const { tokenTtl, tokenMaxTtl } = persona.login;
  const lease = await context.leases.take(vault, persona.databaseRole.name);
  await expectRenewed(
    "the token",
    { ttl: tokenTtl, maxTtl: tokenMaxTtl },
    issuedAt,
    check,
    async (increment) => {
      const answer = await vault.request("POST", "auth/token/renew-self", { increment });
      return renewed(answer, increment, answer.body.auth?.lease_duration, check);
    },
  );
  const { defaultTtl: ttl, maxTtl } = persona.databaseRole;
  await expectLeaseRenewed("the lease", context, { ttl, maxTtl }, lease, vault, check);
  await lease.revoke();
}

/** A renewal moves VALID UNTIL by as much as it moves the lease's end. */
export async function expectLeaseRenewed(
  what: string,
  { owner }: DatabaseContext,
  limits: Limits,
  lease: Lease,
  vault: VaultClient,
  check: Check,
): Promise<void> {
  const readUntil = async () => (await validUntil(owner, lease.username, check))?.at ?? NaN;
  let [until, end] = [await readUntil(), lease.issuedAt / 1000 + lease.duration];
  await expectRenewed(what, limits, lease.issuedAt, check, async (increment) => {
    const answer = await vault.request("POST", "sys/leases/renew", { lease_id: lease.id, increment });
    const result = renewed(answer, increment, answer.body.lease_duration, check);
    const [untilThen, endThen] = [until, end];
    [until, end] = [await readUntil(), performance.now() / 1000 + (result.duration ?? 0)];
    const [moved, ought] = [until - untilThen, end - endThen];
    check.note("VALID UNTIL and the lease's end", `moved by ${moved.toFixed(1)} s and ${ought.toFixed(1)} s`);
    // Not a number where there is no VALID UNTIL.
    if (result.duration !== undefined && !(Math.abs(moved - ought) < SECONDS_OF_ROUNDING))
      check.find(
        `VALID UNTIL must follow ${what}'s renewal by ${ought.toFixed(1)} s, it moved by ${moved.toFixed(1)} s`,
      );
    return result;
  });
}

function renewed(
  answer: VaultAnswer,
  increment: number,
  duration: number | undefined,
  check: Check,
): Renewed {
  const { method, path, status, body } = answer;
  const said = status >= 400 ? errorText(answer) : (body.warnings ?? []).join("; ");
  const lasts = duration === undefined ? "" : `, ${String(duration)} s`;
  check.note(
    `${method} ${path} (${String(increment)} s)`,
    `HTTP ${String(status)}${lasts}${said ? `: ${said}` : ""}`,
  );
  return { duration, said };
}

/** Within the maximum a renewal gives what was asked for, past it the maximum, with a warning. */
async function expectRenewed(
  what: string,
  { ttl, maxTtl }: Limits,
  issuedAt: number,
  check: Check,
  renew: Renew,
): Promise<void> {
  // Between the two, so that the renewal shows; where there is no room, shorter.
  const within = maxTtl !== undefined && maxTtl > ttl ? Math.floor((ttl + maxTtl) / 2) : Math.ceil(ttl / 2);
  const inside = await renew(within);
  if (inside.duration === undefined) {
    check.find(`${what} can't be renewed: ${inside.said}`);
    return;
  }
  if (inside.duration !== within)
    check.find(
      `${what}'s renewal by ${String(within)} s must give these, it gives ${String(inside.duration)} s`,
    );
  const past = await renew(FOR_EVER);
  if (past.duration === undefined) {
    check.find(`${what} can't be renewed past its maximum: ${past.said}`);
    return;
  }
  const isCut = maxTtl === undefined ? past.duration < FOR_EVER : isCutTo(maxTtl, past.duration, issuedAt);
  const declared = maxTtl === undefined ? "" : ` to ${String(maxTtl)} s`;
  const unsaid = past.said === "" ? " without one" : "";
  if (!isCut || unsaid)
    check.find(
      `${what}'s renewal past its maximum must be cut${declared} with a warning, it gives ${String(past.duration)} s${unsaid}`,
    );
}
