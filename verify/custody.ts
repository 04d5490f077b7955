import { oneLine } from "./report";
import { within } from "./within";

const ITEM_MILLISECONDS = 10_000;

interface Item {
  /** What it is, without a secret: it is printed when it could not be taken away. */
  readonly what: string;
  readonly release: () => Promise<unknown>;
}

/** What the verifier made and has to take away again, whatever happens. Released last first. */
export class Custody {
  private readonly items: Item[] = [];

  /** Returns what ends the duty early: it releases, and the item is no longer held. */
  hold<T>(what: string, release: () => Promise<T>): () => Promise<T> {
    const item = { what, release };
    this.items.push(item);
    return async () => {
      const result = await release();
      this.forget(item);
      return result;
    };
  }

  /**
   * Releases everything; returns what stays, each with its reason.
   * @param deadline on the clock of `performance.now()`; what is not released until then stays
   */
  async releaseAll(deadline: number): Promise<string[]> {
    // Who was connected to a server that restarted notices at the first try.
    const failed = await releaseEach(this.items.splice(0).reverse(), deadline);
    const left = await releaseEach(
      failed.map(({ item }) => item),
      deadline,
    );
    return left.map(({ item, reason }) => `${item.what} (${reason})`);
  }

  private forget(item: Item): void {
    const at = this.items.indexOf(item);
    if (at >= 0) this.items.splice(at, 1);
  }
}

/** One after the other. Returns the items that could not be released. */
async function releaseEach(
  items: readonly Item[],
  deadline: number,
): Promise<{ item: Item; reason: string }[]> {
  const failed: { item: Item; reason: string }[] = [];
  for (const item of items) {
    // So that one which hangs leaves time for the others.
    const reason = await releaseWithin(item, Math.min(ITEM_MILLISECONDS, deadline - performance.now()));
    if (reason !== undefined) failed.push({ item, reason });
  }
  return failed;
}

async function releaseWithin({ release }: Item, milliseconds: number): Promise<string | undefined> {
  if (milliseconds <= 0) return "not tried any more: cleaning up took too long";
  const released = release().then(
    () => undefined,
    (error: unknown) => oneLine(error),
  );
  return within<string | undefined>(
    milliseconds,
    released,
    `no answer within ${(milliseconds / 1000).toFixed(0)} s`,
  );
}
