import { oneLine } from "../../clients/text";
import type { Session } from "./session";
import { within } from "../../clients/within";

const ITEM_MILLISECONDS = 10_000;
const NO_ANSWER = "no answer in time";

interface Item {
  /** What it is, without a secret: it is printed when it could not be taken away. */
  readonly what: string;
  /** How it ends where it stays. */
  readonly end?: string;
  readonly release: () => Promise<unknown>;
}

/** What the verifier made and has to take away again, whatever happens. Released last first. */
export class Custody {
  private readonly items: Item[] = [];

  /** @param now milliseconds of a clock that stands still while a rate limit is waited for */
  constructor(private readonly now: () => number) {}

  /** Returns what ends the duty early: it releases, and the item is no longer held. */
  hold<T>(what: string, release: () => Promise<T>, end?: string): () => Promise<T> {
    const item = { what, release, end };
    this.items.push(item);
    return async () => {
      const result = await release();
      this.forget(item);
      return result;
    };
  }

  /**
   * Releases everything, in two tries; returns what stays, each with its reason.
   * @param milliseconds for all of it; what is not released by then stays
   * @param session connects anew between the tries where it was lost
   */
  async releaseAll(milliseconds: number, session?: Session): Promise<string[]> {
    const deadline = this.now() + milliseconds;
    const failed = await this.releaseEach(this.items.splice(0).reverse(), deadline);
    // Where that fails, each thing that can't be dropped says why.
    if (failed.length > 0) await session?.reopen().catch(() => undefined);
    // What did not answer will not answer soon.
    const hung = failed.filter(({ reason }) => reason === NO_ANSWER);
    const refused = failed.filter(({ reason }) => reason !== NO_ANSWER);
    const left = await this.releaseEach(
      refused.map(({ item }) => item),
      deadline,
    );
    return [...hung, ...left].map(
      ({ item, reason }) => `${item.what} (${reason})${item.end ? `: ${item.end}` : ""}`,
    );
  }

  private forget(item: Item): void {
    const at = this.items.indexOf(item);
    if (at >= 0) this.items.splice(at, 1);
  }

  /** One after the other. Returns the items that could not be released. */
  private async releaseEach(
    items: readonly Item[],
    deadline: number,
  ): Promise<{ item: Item; reason: string }[]> {
    const failed: { item: Item; reason: string }[] = [];
    for (const item of items) {
      // So that one which hangs leaves time for the others.
      const reason = await this.releaseBy(item, Math.min(this.now() + ITEM_MILLISECONDS, deadline));
      if (reason !== undefined) failed.push({ item, reason });
    }
    return failed;
  }

  private async releaseBy({ release }: Item, deadline: number): Promise<string | undefined> {
    let rest = deadline - this.now();
    if (rest <= 0) return "not tried any more: cleaning up took too long";
    const released = release().then(
      () => undefined,
      (error: unknown) => oneLine(error),
    );
    let reason: string | undefined = NO_ANSWER;
    for (; reason === NO_ANSWER && rest > 0; rest = deadline - this.now())
      reason = await within<string | undefined>(rest, released, NO_ANSWER);
    return reason;
  }
}
