import { setTimeout as delay } from "node:timers/promises";
import { Custody } from "../session/custody";
import { whatIsLeft } from "./gone";
import { Leases, secretIdOf, type Lease } from "../session/leases";
import type { ManifestDatabase } from "../../manifest/schema";
import { Ended } from "../../clients/outage";
import type { Recorder } from "../report/recorder";
import { Session, SESSION_ENDED, type PostgresAddress } from "../session/session";
import type { VaultClient } from "../../clients/vault-client";

/** How late Vault may end a lease, on a busy machine. */
const LATE_MILLISECONDS = 10_000;
/** A longer lease is no probe's: nobody waits for its end. */
const LONGEST_SECONDS = 10;
/** Vault counts in whole seconds. */
const EARLY_MILLISECONDS = 1_000;
/** Within which a server that stops ends its sessions. */
const OTHERS_MILLISECONDS = 2_000;
const SECRET_ID_SECONDS = 1;
const CLEANUP_MILLISECONDS = 30_000;
const INTERRUPTED = "interrupted";

export interface Expiry {
  /** @default - it was interrupted */
  readonly recorder?: Recorder;
  /** What it made and could not take away again. */
  readonly left: readonly string[];
}

/**
 * Waits for what ends by itself: a lease of the probe role whose TTL is seconds, and a secret id of one second. It shares
 * nothing with the other checks, so that they can be made meanwhile.
 */
export async function expire(
  vault: VaultClient,
  address: PostgresAddress,
  database: ManifestDatabase,
  recorder: Recorder,
  signal: AbortSignal,
): Promise<Expiry> {
  const custody = new Custody();
  const leases = new Leases(vault, custody);
  const sessions: Session[] = [];
  const probes = database.probes!;
  const persona = database.personas[0]!;
  const interrupt = new Promise<string>((resolve) => {
    signal.addEventListener("abort", () => {
      resolve(INTERRUPTED);
    });
  });
  const open = async (role: string, catalogs = false): Promise<{ lease: Lease; session: Session }> => {
    const lease = await leases.take(vault, database.vault.mount, role);
    const session = await Session.open(address, database.name, lease, { catalogs });
    sessions.push(session);
    return { lease, session };
  };

  let secretId = "";
  let secretIdTtl: unknown;
  let secretIdEnds = 0;
  const lives = async () => {
    await recorder.check("ended by itself: a lease, its session, its login", async (check) => {
      const { session: asker } = await open(probes.owner, true);
      const { lease, session } = await open(probes.short);
      const opened = await leases.unwrap(
        await leases.wrappedSecretId(persona, { num_uses: 1, ttl: `${String(SECRET_ID_SECONDS)}s` }),
      );
      secretId = secretIdOf(opened);
      secretIdTtl = opened.body.data?.["secret_id_ttl"];
      secretIdEnds = performance.now() + SECRET_ID_SECONDS * 1000 + EARLY_MILLISECONDS;
      if (lease.duration > LONGEST_SECONDS)
        return `a lease of ${probes.short} must have seconds, it has ${String(lease.duration)} s`;
      const milliseconds = lease.duration * 1000;
      const end = signal.aborted
        ? INTERRUPTED
        : await Promise.race([session.waitForEnd(milliseconds + LATE_MILLISECONDS), interrupt]);
      const after = performance.now() - lease.issuedAt;
      const text = `after ${(after / 1000).toFixed(1)} s of a lease of ${String(lease.duration)} s`;
      check.note("the open session", `${end}, ${text}`);
      // A server that goes away ends every session, one after the other.
      if (after < milliseconds - EARLY_MILLISECONDS) await asker.waitForEnd(OTHERS_MILLISECONDS);
      await asker.query("SELECT");
      if (end !== SESSION_ENDED) return `the session must end with ${SESSION_ENDED}, it is ${end} ${text}`;
      if (after < milliseconds - EARLY_MILLISECONDS) return `the session ended ${text}`;
      return whatIsLeft({ address, database: database.name, asker, vault }, lease, check);
    });
    await recorder.check("ended by itself: a secret id", async (check) => {
      // Where the session ended too early.
      await delay(Math.max(0, secretIdEnds - performance.now()));
      const roleId = await leases.roleId(persona);
      const answer = await leases.login(persona, roleId, secretId);
      check.noteAnswer(answer, "with a secret id of 1 s, later than that");
      if (answer.body.auth) await leases.keepToken(persona, answer, roleId, secretId).revoke();
      if (answer.status === 400) return undefined;
      // HashiCorp's Vault takes one that has ended until it removes it, which it does once a minute.
      check.note("secret_id_ttl when it was made", String(secretIdTtl));
      return answer.status === 200 && secretIdTtl === SECRET_ID_SECONDS
        ? undefined
        : `a secret id past its TTL must be refused with HTTP 400, received ${String(answer.status)}; Vault says a TTL of ${String(secretIdTtl)} s`;
    });
  };
  await lives().catch((error: unknown) => {
    // The report says why already.
    if (!(error instanceof Ended)) throw error;
  });
  const left = await custody.releaseAll(performance.now() + CLEANUP_MILLISECONDS, sessions[0]);
  for (const session of sessions) await session.close();
  return signal.aborted ? { left } : { recorder, left };
}
