import type { VaultClient } from "../../clients/vault-client";
import type { ManifestDatabase } from "../../manifest/schema";
import { Ended } from "../errors";
import type { Check, CheckDefinition } from "../report/check";
import type { Recorder } from "../report/recorder";
import { Custody } from "../session/custody";
import { Leases, type Lease } from "../session/leases";
import { Session, SESSION_ENDED, type PostgresAddress } from "../session/session";
import { BACKGROUND_MILLISECONDS, expectGone } from "./gone";

/** How late Vault may end a lease, on a busy machine. */
const LATE_MILLISECONDS = 10_000;
/** A longer lease is not waited for: the probe role's TTL is seconds. */
const LONGEST_SECONDS = 10;
/** Vault counts in whole seconds. */
const EARLY_MILLISECONDS = 1_000;
/** Within which a server that stops ends its sessions. */
const OTHERS_MILLISECONDS = 2_000;
const CLEANUP_MILLISECONDS = 30_000;
const INTERRUPTED = "interrupted";

/** What the checks on what ends by itself share. It is nothing of the other checks', which are made at the same time. */
export interface ExpiryContext {
  readonly vault: VaultClient;
  readonly address: PostgresAddress;
  readonly database: ManifestDatabase;
  readonly custody: Custody;
  readonly leases: Leases;
  /** Sessions that are closed at the end; the first acts as the owner. */
  readonly sessions: Session[];
  readonly signal: AbortSignal;
}

interface Expiry {
  /** @default - it was interrupted */
  readonly recorder?: Recorder;
  /** What it made and could not take away again. */
  readonly left: readonly string[];
}

/** Makes the checks, and takes away what that made. */
export async function verifyExpiry(
  checks: readonly CheckDefinition<ExpiryContext>[],
  deployment: Pick<ExpiryContext, "vault" | "address" | "database" | "signal">,
  recorder: Recorder,
): Promise<Expiry> {
  const custody = new Custody(deployment.vault.run.pace.now);
  const leases = new Leases(deployment.vault, deployment.database.vault.mount, custody);
  const context: ExpiryContext = { ...deployment, custody, leases, sessions: [] };
  // Each waits; none for the others.
  const results = await Promise.allSettled(checks.map((check) => recorder.run(check, context)));
  const { sessions } = context;
  const left = await custody.releaseAll(CLEANUP_MILLISECONDS, sessions[0]);
  for (const session of sessions) await session.close();
  const failed = results.find(({ status }) => status === "rejected") as PromiseRejectedResult | undefined;
  // After an outage the report says why already.
  if (failed && !(failed.reason instanceof Ended)) throw failed.reason;
  return deployment.signal.aborted ? { left } : { recorder, left };
}

/** A lease of the probe role whose TTL is seconds. */
export async function outliveLease(context: ExpiryContext, check: Check): Promise<void> {
  const { vault, address, database, leases, sessions, signal } = context;
  const probes = database.probes!;
  const open = async (role: string, catalogs = false): Promise<{ lease: Lease; session: Session }> => {
    const lease = await leases.take(vault, role);
    const session = await Session.open(address, database.name, lease, { catalogs });
    sessions.push(session);
    return { lease, session };
  };
  const { session: owner } = await open(probes.owner, true);
  const isPoolers = (await owner.poolMode()) === "transaction";
  const { lease, session } = await open(probes.short);
  if (lease.duration > LONGEST_SECONDS) {
    check.find(`a lease of ${probes.short} must have seconds, it has ${String(lease.duration)} s`);
    return;
  }
  const milliseconds = lease.duration * 1000;
  const interrupt = new Promise<string>((resolve) => {
    const stop = () => {
      resolve(INTERRUPTED);
    };
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
  });
  const bound = milliseconds + (isPoolers ? 0 : LATE_MILLISECONDS);
  const end = await Promise.race([session.waitForEnd(bound), interrupt]);
  const after = performance.now() - lease.issuedAt;
  const isEarly = after < milliseconds - EARLY_MILLISECONDS;
  const text = `after ${(after / 1000).toFixed(1)} s of a lease of ${String(lease.duration)} s`;
  check.note("the open session", `${end}, ${text}`);
  // A server that goes away ends every session, one after the other.
  if (isEarly) await owner.waitForEnd(OTHERS_MILLISECONDS);
  await owner.query("SELECT");
  if (isPoolers) await expectGone({ address, database, owner, vault }, lease, check, LATE_MILLISECONDS);
  else if (end !== SESSION_ENDED)
    check.find(`the session must end with ${SESSION_ENDED}, it is ${end} ${text}`);
  else if (isEarly) check.find(`the session ended ${text}`);
  else await expectGone({ address, database, owner, vault }, lease, check, BACKGROUND_MILLISECONDS);
}
