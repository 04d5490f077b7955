/** What a run may wait for others' locks, in all. */
const RUN_MILLISECONDS = 5_000;
/** And for one of them. */
const LONGEST_MILLISECONDS = 3_000;
/** A statement of a probe's that takes longer waits for something. */
const UNNOTICED_MILLISECONDS = 100;

/** How long a run's sessions have waited for locks. */
export class LockWaits {
  private left = RUN_MILLISECONDS;

  /** What one statement may still wait, in milliseconds. PostgreSQL's lock_timeout of 0 would be no bound. */
  get limit(): number {
    return Math.max(1, Math.min(LONGEST_MILLISECONDS, Math.floor(this.left)));
  }

  /** @param milliseconds that a statement took */
  spend(milliseconds: number): void {
    if (milliseconds > UNNOTICED_MILLISECONDS) this.left -= milliseconds;
  }
}
