import { escapeLiteral as literal } from "pg";
import type { Lease } from "../session/leases";
import { takeLease, together, type Life } from "./logged-in";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import { errorText, type VaultAnswer } from "../../clients/vault-client";

/** Seconds. */
interface Limits {
  readonly ttl: number;
  /** @default - not declared: what Vault cuts a renewal to is its own matter */
  readonly maxTtl?: number;
}

/** More than any maximum that Vault has. */
const FOR_EVER = 100 * 365 * 86_400;
/** For what passes between a start and its renewal on a busy machine. */
const SECONDS_OF_TOLERANCE = 10;
/** VALID UNTIL is written in whole seconds. */
const SECONDS_OF_ROUNDING = 1.5;

/** Renews a token with itself, and its lease with it. */
export async function renewTokenAndLease(
  scene: DatabaseContext,
  life: Life,
  check: Check,
): Promise<string | undefined> {
  const { vault } = life.token;
  const { tokenTtl, tokenMaxTtl } = life.persona.appRole;
  const renewToken = async (increment: number) => {
    const answer = await vault.request("POST", "auth/token/renew-self", { increment });
    return noteRenewal(check, answer, increment, answer.body.auth?.lease_duration);
  };
  const lease = await takeLease(scene, life);
  const { defaultTtl, maxTtl } = life.persona.databaseRole;
  const finding = together(
    await renewal("the token", { ttl: tokenTtl, maxTtl: tokenMaxTtl }, renewToken),
    await leaseRenewal(scene, { ttl: defaultTtl, maxTtl }, lease, vault, check),
  );
  await lease.revoke();
  return finding;
}

/** The same with a lease of the probe role. */
export async function renewLeaseOfSeconds(scene: DatabaseContext, check: Check): Promise<string | undefined> {
  const { leases, database } = scene;
  const role = database.probes!.short;
  const lease = await leases.take(leases.vault, database.vault.mount, role);
  const finding = await leaseRenewal(scene, { ttl: lease.duration }, lease, leases.vault, check);
  await lease.revoke();
  return finding && `${role}: ${finding}`;
}

/** A renewal moves VALID UNTIL by as much as it moves the lease's end. */
async function leaseRenewal(
  { owner }: DatabaseContext,
  limits: Limits,
  lease: Lease,
  vault: DatabaseContext["leases"]["vault"],
  check: Check,
): Promise<string | undefined> {
  const findings: string[] = [];
  const sql = `SELECT extract(epoch FROM rolvaliduntil)::float AS until FROM pg_roles WHERE rolname = ${literal(lease.username)}`;
  const validUntil = async () => {
    const outcome = await owner.attempt(sql, check);
    return Number("rows" in outcome ? outcome.rows[0]?.["until"] : undefined);
  };
  let [until, end] = [await validUntil(), lease.issuedAt / 1000 + lease.duration];
  const renew = async (increment: number) => {
    const answer = await vault.request("POST", "sys/leases/renew", { lease_id: lease.id, increment });
    const renewed = noteRenewal(check, answer, increment, answer.body.lease_duration);
    const [untilThen, endThen] = [until, end];
    [until, end] = [await validUntil(), performance.now() / 1000 + (renewed.duration ?? 0)];
    const [moved, ought] = [until - untilThen, end - endThen];
    check.note("VALID UNTIL and the lease's end", `moved by ${moved.toFixed(1)} s and ${ought.toFixed(1)} s`);
    // Not a number where there is no VALID UNTIL.
    if (renewed.duration !== undefined && !(Math.abs(moved - ought) < SECONDS_OF_ROUNDING))
      findings.push(
        `VALID UNTIL must follow the renewal by ${ought.toFixed(1)} s, it moved by ${moved.toFixed(1)} s`,
      );
    return renewed;
  };
  return together(await renewal("the lease", limits, renew), ...findings);
}

interface Renewed {
  /** Seconds. Undefined where Vault refused. */
  readonly duration?: number;
  /** Vault's words. */
  readonly said: string;
}

function noteRenewal(check: Check, answer: VaultAnswer, increment: number, duration?: number): Renewed {
  const { method, path, status, body } = answer;
  const said = status >= 400 ? errorText(answer) : (body.warnings ?? []).join("; ");
  const lasts = duration === undefined ? "" : `, ${String(duration)} s`;
  check.note(
    `${method} ${path} (${String(increment)} s)`,
    `HTTP ${String(status)}${lasts}${said ? `: ${said}` : ""}`,
  );
  return { duration, said };
}

/** Gives as long as is wished within the maximum, and past it the maximum, with a warning. */
async function renewal(
  what: string,
  { ttl, maxTtl }: Limits,
  renew: (increment: number) => Promise<Renewed>,
): Promise<string | undefined> {
  // Between the two, so that the renewal shows; where there is no room, shorter.
  const within = maxTtl !== undefined && maxTtl > ttl ? Math.floor((ttl + maxTtl) / 2) : Math.ceil(ttl / 2);
  const findings: string[] = [];
  const inside = await renew(within);
  if (inside.duration === undefined) return `${what} can't be renewed: ${inside.said}`;
  if (inside.duration !== within)
    findings.push(
      `${what}'s renewal by ${String(within)} s must give these, it gives ${String(inside.duration)} s`,
    );
  const past = await renew(FOR_EVER);
  if (past.duration === undefined) return `${what} can't be renewed past its maximum: ${past.said}`;
  const declared = maxTtl === undefined ? "" : ` to ${String(maxTtl)} s`;
  const isCut =
    maxTtl === undefined
      ? past.duration < FOR_EVER
      : past.duration <= maxTtl && past.duration >= maxTtl - SECONDS_OF_TOLERANCE;
  if (!isCut || past.said === "")
    findings.push(
      `${what}'s renewal past its maximum must be cut${declared} with a warning, it gives ${String(past.duration)} s${past.said === "" ? " without one" : ""}`,
    );
  return together(...findings);
}
