const RUN_MILLISECONDS = 5_000;
const STATEMENT_MILLISECONDS = 500;

/** The locks of others on the users' tables are waited for, all together, no longer than this in a run. */
export class LockWaits {
  private left = RUN_MILLISECONDS;
  private readonly met = new Set<string>();

  /** Of the next statement. PostgreSQL takes 0 for no bound. */
  get milliseconds(): number {
    return Math.max(1, Math.min(STATEMENT_MILLISECONDS, this.left));
  }

  /** A statement that waited for it in vain. */
  waited(table: string): void {
    this.left -= this.milliseconds;
    this.met.add(table);
  }

  /** Whether it was waited for in vain already: nobody waits for it again. */
  has(table: string): boolean {
    return this.met.has(table);
  }
}
