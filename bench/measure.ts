import { columns } from "../clients/text";

/** Two things, measured in one run; only their ratio says something on another machine. */
export interface Comparison {
  readonly what: string;
  readonly beside: string;
  /** Median, in milliseconds. */
  readonly milliseconds: number;
  readonly besideMilliseconds: number;
  /** Half of what lies between the quartiles, in milliseconds. */
  readonly spread: number;
  readonly besideSpread: number;
  readonly rounds: number;
}

type Timed = () => Promise<unknown>;

/** Measures two things by turns, so that what else the machine does hits both; a first round of each does not count. */
export async function compare(
  [what, beside]: readonly [string, string],
  rounds: number,
  measured: Timed,
  yardstick: Timed,
): Promise<Comparison> {
  const times: [number[], number[]] = [[], []];
  for (let round = 0; round <= rounds; round += 1) {
    const pair = [await time(measured), await time(yardstick)] as const;
    if (round > 0) pair.forEach((milliseconds, i) => times[i]!.push(milliseconds));
  }
  return comparison([what, beside], ...times);
}

/** Of times in milliseconds, as many of the one as of the other. */
export function comparison(
  [what, beside]: readonly [string, string],
  times: readonly number[],
  besideTimes: readonly number[],
): Comparison {
  return {
    what,
    beside,
    milliseconds: median(times),
    besideMilliseconds: median(besideTimes),
    spread: halfOfMiddle(times),
    besideSpread: halfOfMiddle(besideTimes),
    rounds: times.length,
  };
}

/** Milliseconds. */
export async function time(work: Timed): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle) - 1]!) / 2;
}

export function halfOfMiddle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number) => sorted[Math.round((sorted.length - 1) * part)]!;
  return (at(0.75) - at(0.25)) / 2;
}

/** The table for people. */
export function renderComparisons(comparisons: readonly Comparison[]): string {
  const rows = comparisons.map((comparison) => [
    comparison.what,
    `${duration(comparison.milliseconds)} ± ${duration(comparison.spread)}`,
    comparison.beside,
    `${duration(comparison.besideMilliseconds)} ± ${duration(comparison.besideSpread)}`,
    `${(comparison.milliseconds / comparison.besideMilliseconds).toFixed(2)} ×`,
    String(comparison.rounds),
  ]);
  const table = [["", "median", "beside it", "median", "ratio", "rounds"], ...rows];
  const isNumber = (column: number) => column % 2 === 1 || column === 4;
  return columns(table, isNumber).join("\n");
}

function duration(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds.toFixed(1)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;
}
