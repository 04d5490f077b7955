import { setTimeout as delay } from "node:timers/promises";

/** In milliseconds. */
export interface PaceBounds {
  /** For one answer. */
  readonly wait: number;
  /** For all of a run's. */
  readonly run: number;
}

/** Where Vault does not say how long, this, and each time twice as long. */
const FIRST_WAIT_MILLISECONDS = 1_000;

/** How long a run's clients wait for rate limits to let them on: one pace for all of them, as a quota counts them together. */
export class Pace {
  private resumesAt = 0;
  private waited = 0;

  constructor(readonly bounds: PaceBounds = { wait: 60_000, run: 300_000 }) {}

  /** `performance.now()` without the waits, so that a bound on what is waited for does not count them. */
  readonly now = (): number => {
    const now = performance.now();
    return now - this.waited + Math.max(0, this.resumesAt - now);
  };

  /** Milliseconds in all, those of a wait that is not over too. */
  get milliseconds(): number {
    return this.waited;
  }

  /** Resolves when nothing is to be waited for. */
  async ready(): Promise<void> {
    for (;;) {
      const rest = this.resumesAt - performance.now();
      if (rest <= 0) return;
      await delay(rest);
    }
  }

  /**
   * Has all clients wait, from now on.
   * @param retryAfter the header of an HTTP 429 (https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3); Vault sends it only where it is configured to
   * @param tries how often the request was refused before
   * @returns false where the run has waited enough
   */
  hold(retryAfter: string | undefined, tries: number): boolean {
    const now = performance.now();
    const wanted = Math.min(
      millisecondsOf(retryAfter) ?? FIRST_WAIT_MILLISECONDS * 2 ** tries,
      this.bounds.wait,
    );
    const more = Math.max(0, now + wanted - Math.max(this.resumesAt, now));
    if (this.waited + more > this.bounds.run) return false;
    this.waited += more;
    this.resumesAt = Math.max(this.resumesAt, now + wanted);
    return true;
  }
}

/** Seconds, or a date. */
function millisecondsOf(retryAfter: string | undefined): number | undefined {
  if (!retryAfter) return undefined;
  const milliseconds = /^\d+$/.test(retryAfter)
    ? Number(retryAfter) * 1000
    : Date.parse(retryAfter) - Date.now();
  return milliseconds > 0 ? milliseconds : undefined;
}
