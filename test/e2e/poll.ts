import { until } from "../../clients/within";

/**
 * Tries, for a minute, until it succeeds.
 * @throws what the last try threw
 */
export async function poll<T>(work: () => Promise<T>): Promise<T> {
  let last: unknown;
  const found = await until(
    60_000,
    () =>
      work().then(
        (result) => ({ result }),
        (error: unknown) => {
          last = error;
          return undefined;
        },
      ),
    { intervalMilliseconds: 300 },
  );
  if (!found) throw last;
  return found.result;
}
