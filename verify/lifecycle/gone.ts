import { escapeLiteral as literal } from "pg";
import { LOGIN_REFUSED } from "../../clients/sqlstates";
import { until } from "../../clients/within";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import { Notes } from "../report/evidence";
import type { Lease } from "../session/leases";
import { probePrefix } from "../session/probes";
import { loginRefusal, SESSION_ENDED, type Session } from "../session/session";

/** For what Vault ends by itself, in the background: moments, which a busy machine makes long. */
export const BACKGROUND_MILLISECONDS = 10_000;

/** Who can see what is left: the owner's session reads the catalogs. */
type Observers = Pick<DatabaseContext, "address" | "database" | "owner" | "vault">;

/** Waits, within a bound, for the server to end the session of a lease that has ended. */
export async function expectSessionEnded(
  { owner, address }: Pick<Observers, "owner" | "address">,
  session: Session,
  check: Check,
): Promise<void> {
  if (address.pooler === "transaction") {
    check.note("the open session", "the pooler's, not tried");
    await session.close();
    return;
  }
  const end = await session.waitForEnd();
  check.note("the open session", end);
  await session.close();
  if (end === SESSION_ENDED) return;
  // A server that goes away ends every session.
  await owner.query("SELECT");
  check.find(`the session must end with ${SESSION_ENDED}, it is ${end}`);
}

/** Looks, for so long, until PostgreSQL has no role of the lease and Vault does not know it; then the login must be refused. */
export async function expectGone(
  observers: Observers,
  lease: Lease,
  check: Check,
  milliseconds = 0,
): Promise<void> {
  const { address, database } = observers;
  let left!: Awaited<ReturnType<typeof remainsOf>>;
  await until(milliseconds, async () => {
    left = await remainsOf(observers, lease);
    return left.findings.length === 0 || undefined;
  });
  await expectLoginRefused(address, database.name, lease, check);
  // Of looks that were repeated the last counts.
  check.noteAll(left.notes);
  check.find(...left.findings);
}

async function remainsOf(
  { owner, vault }: Pick<Observers, "owner" | "vault">,
  { id, username }: Lease,
): Promise<{ notes: Notes; findings: string[] }> {
  const notes = new Notes();
  const findings: string[] = [];
  const role = await owner.attempt(`SELECT FROM pg_roles WHERE rolname = ${literal(username)}`, notes);
  if (!("count" in role) || role.count > 0) findings.push(`the role ${username} is still there`);
  // Vault renews no lease that has ended.
  const renewal = await vault.request("POST", "sys/leases/renew", { lease_id: id });
  notes.noteAnswer(renewal);
  if (renewal.status !== 400)
    findings.push(`Vault still knows the lease ${id}: renewing it gives HTTP ${String(renewal.status)}`);
  return { notes, findings };
}

export async function expectLoginRefused(
  address: DatabaseContext["address"],
  database: string,
  lease: Lease,
  check: Check,
): Promise<void> {
  const refusal = await loginRefusal(address, database, lease);
  check.note(`login as ${lease.username}`, refusal === undefined ? "a session" : `SQLSTATE ${refusal}`);
  if (refusal === undefined || !LOGIN_REFUSED.includes(refusal))
    check.find(
      `the login must be refused with ${LOGIN_REFUSED.join(" or ")}, received ${refusal ?? "a session"}`,
    );
}

/** PostgreSQL has no probe object and no leased role of this run, Vault no lease. */
export async function nothingLeft(
  { owner, vault, leases, run }: Pick<DatabaseContext, "owner" | "vault" | "leases" | "run">,
  check: Check,
): Promise<void> {
  const prefix = literal(probePrefix(run));
  const objects = await owner.attempt(
    `SELECT relname AS name FROM pg_class WHERE starts_with(relname, ${prefix})
     UNION ALL
     SELECT proname FROM pg_proc WHERE starts_with(proname, ${prefix})`,
    check,
  );
  if ("sqlstate" in objects) check.find(objects.message);
  else check.find(...objects.rows.map(({ name }) => `${String(name)} is still there`));
  for (const lease of leases.taken) {
    const { notes, findings } = await remainsOf({ owner, vault }, lease);
    check.noteAll(notes);
    check.find(...findings);
  }
}

/** What the verifier leased for itself has ended, now that everything else has. */
export interface OwnLease extends Pick<DatabaseContext, "vault" | "address" | "database"> {
  readonly lease: Lease;
}

export async function ownLeaseGone(
  { vault, address, database, lease }: OwnLease,
  check: Check,
): Promise<void> {
  await expectLoginRefused(address, database.name, lease, check);
  const prefix = `sys/leases/lookup/${database.vault.mount}/creds/${database.probes!.owner}/`;
  const answer = await vault.request("LIST", prefix);
  check.note(`${answer.method} ${answer.path}`, `HTTP ${String(answer.status)}`);
  const ids = (answer.body.data?.["keys"] ?? []) as string[];
  // A listing of nothing is 404.
  if (answer.status !== 200 && answer.status !== 404)
    check.find(`listing the probe role's leases: HTTP ${String(answer.status)}`);
  if (ids.some((id) => lease.id.endsWith(`/${id}`))) check.find(`Vault still lists the lease ${lease.id}`);
}
