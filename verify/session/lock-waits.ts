import type { ManifestDatabase } from "../../manifest/schema";

/** What a run may wait for others' locks, in all. */
const RUN_MILLISECONDS = 5_000;
/** And for one of them. */
const LONGEST_MILLISECONDS = 3_000;
/** And for one of a table of the users'. */
const USERS_MILLISECONDS = 500;
/** A statement of a probe's that takes longer waits for something. */
const UNNOTICED_MILLISECONDS = 100;

/** How long a run's sessions have waited for locks. PostgreSQL's lock_timeout of 0 would be no bound. */
export class LockWaits {
  private left = RUN_MILLISECONDS;
  /** Tables, each by its database as well: several are verified side by side. */
  private readonly met = new Set<string>();

  /** What one statement may still wait, in milliseconds. */
  get limit(): number {
    return Math.max(1, Math.min(LONGEST_MILLISECONDS, Math.floor(this.left)));
  }

  /** The same of a statement on a table of the users'. */
  get usersLimit(): number {
    return Math.min(USERS_MILLISECONDS, this.limit);
  }

  /** @param milliseconds that a statement took */
  spend(milliseconds: number): void {
    if (milliseconds > UNNOTICED_MILLISECONDS) this.left -= milliseconds;
  }

  /** A statement waited for it in vain. */
  waited(database: Place, table: string): void {
    this.met.add(keyOf(database, table));
  }

  /** Whether it was waited for in vain already: nobody waits for it again. */
  has(database: Place, table: string): boolean {
    return this.met.has(keyOf(database, table));
  }
}

type Place = Pick<ManifestDatabase, "server" | "name">;

const keyOf = ({ server, name }: Place, table: string) => JSON.stringify([server, name, table]);
