import { oneLine } from "./report";

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

  /** Releases everything; returns what stays, each with its reason. */
  async releaseAll(): Promise<string[]> {
    const left: string[] = [];
    for (let item = this.items.pop(); item; item = this.items.pop()) {
      const { what, release } = item;
      await release().catch((error: unknown) => left.push(`${what} (${oneLine(error)})`));
    }
    return left;
  }

  private forget(item: Item): void {
    const at = this.items.indexOf(item);
    if (at >= 0) this.items.splice(at, 1);
  }
}
