import { setTimeout as delay } from "node:timers/promises";
import { Pool, type PoolConfig, type QueryResult } from "pg";
import type { Lease, Vault } from "./vault";

export interface LeasedPoolOptions {
  readonly vault: Vault;
  /** Where the login is leased, such as `database/creds/db-app`. */
  readonly credentials: string;
  /** Everything but user and password. */
  readonly postgres: PoolConfig;
  /** @default - as much as the lease had at first */
  readonly increment?: number;
  /** @default - Vault's max TTL of the role, noticed when a renewal gives less than was asked for */
  readonly maxAge?: number;
  readonly log: (text: string) => void;
}

/** A pool, the lease that it logs in with, and the queries that run on it. */
interface Generation {
  readonly lease: Lease;
  readonly pool: Pool;
  readonly running: Set<Promise<unknown>>;
  /** `performance.now()` of the lease's beginning. */
  readonly since: number;
  /** Seconds from the last renewal. */
  ttl: number;
}

/** The last of a lease that is no longer used: an application may renew its leases, not revoke them. */
const LAST_SECONDS = 1;
const RETRY_MILLISECONDS = 200;

/**
 * A pg Pool whose login is leased from Vault: renewed after two thirds of its TTL, and changed for another before its max
 * TTL. Queries that run go on with the old login; the next ones have the new one.
 */
export class LeasedPool {
  readonly leases: { readonly id: string; readonly username: string }[] = [];
  private current?: Generation;

  constructor(private readonly options: LeasedPoolOptions) {}

  query(sql: string): Promise<QueryResult> {
    const { pool, running } = this.current!;
    const query = pool.query(sql);
    running.add(query);
    const done = () => running.delete(query);
    query.then(done, done);
    return query;
  }

  /** Leases a login, sees that it works, and only then puts it in the place of the one before. */
  async lease(): Promise<void> {
    const { vault, credentials, postgres, increment, log } = this.options;
    const lease = await vault.lease(credentials);
    this.leases.push({ id: lease.id, username: lease.username });
    const { username: user, password } = lease;
    const pool = new Pool({ ...postgres, user, password });
    // A session that the server ends while nobody uses it; the pool drops it by itself.
    pool.on("error", (error) => {
      log(`${user}: ${error.message}`);
    });
    await pool.query("SELECT");
    const ttl = increment === undefined ? lease.ttl : await vault.renewLease(lease.id, increment);
    const before = this.current;
    this.current = { lease, pool, running: new Set(), since: performance.now(), ttl };
    log(`${user} for ${String(ttl)} s${before ? `, in place of ${before.lease.username}` : ""}`);
    if (before) void this.retire(before);
  }

  /** Keeps the login renewed, and changes it in time, until the signal. */
  async keep(signal: AbortSignal): Promise<void> {
    const { log } = this.options;
    while (await wait((this.current!.ttl * 2000) / 3, signal)) {
      try {
        if (!(await this.renew(this.current!))) await this.lease();
      } catch (error) {
        // A third of the TTL is left for other tries.
        log(String(error));
        await wait(RETRY_MILLISECONDS, signal);
        await this.lease().catch((again: unknown) => {
          log(String(again));
        });
      }
    }
  }

  /** Waits for what runs, and lets the login go. */
  async end(): Promise<void> {
    if (this.current) await this.retire(this.current);
  }

  /** Returns false where it is time for another lease: this one is old, or Vault gives it less than was asked for. */
  private async renew(generation: Generation): Promise<boolean> {
    const { vault, increment = generation.lease.ttl, maxAge = Infinity, log } = this.options;
    const age = (performance.now() - generation.since) / 1000;
    if (age + increment > maxAge) return false;
    generation.ttl = await vault.renewLease(generation.lease.id, increment);
    log(`${generation.lease.username} renewed for ${String(generation.ttl)} s`);
    return generation.ttl >= increment;
  }

  private async retire({ lease, pool, running }: Generation): Promise<void> {
    const { vault, log } = this.options;
    // The pool's own end() would leave those without an answer that wait for a connection.
    await Promise.allSettled(running);
    await pool.end();
    await vault.renewLease(lease.id, LAST_SECONDS).catch((error: unknown) => {
      log(`${lease.username}: ${String(error)}`);
    });
  }
}

/** Returns false when the signal came first. */
export function wait(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  return delay(milliseconds, true, { signal }).catch(() => false);
}
