import { setTimeout } from "node:timers/promises";

const TIMEOUT_MILLISECONDS = 60_000;
const INTERVAL_MILLISECONDS = 300;

/**
 * Tries until it succeeds.
 * @throws what the last try threw
 */
export async function poll<T>(work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + TIMEOUT_MILLISECONDS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await setTimeout(INTERVAL_MILLISECONDS);
  }
}
