import { setTimeout as delay } from "node:timers/promises";

/** What the promise comes to, or `otherwise` where it has not come to anything in time. */
export async function within<T>(milliseconds: number, promise: Promise<T>, otherwise: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<T>((resolve) => {
    timer = setTimeout(resolve, milliseconds, otherwise);
  });
  try {
    return await Promise.race([promise, bound]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Tries, at least once, until an attempt has a result.
 * @param goesOn whether another attempt makes sense
 * @returns undefined where none had one in time
 */
export async function until<T>(
  milliseconds: number,
  attempt: () => T | undefined | Promise<T | undefined>,
  { intervalMilliseconds = 20, goesOn = (): boolean => true } = {},
): Promise<T | undefined> {
  const end = performance.now() + milliseconds;
  for (;;) {
    const result = await attempt();
    if (result !== undefined || performance.now() > end || !goesOn()) return result;
    await delay(intervalMilliseconds);
  }
}
