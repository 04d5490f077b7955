import { columns } from "../clients/text";
import type { PostgresMajor } from "../sandbox/postgres-binaries";
import { findPgbench, Limit } from "./limit";
import { halfOfMiddle, median } from "./measure";
import { Way, WAYS, type WayName } from "./way";

/** Of a round: few enough that what is alive stays about what a row says. */
const LEASES_A_ROUND = 80;
const CLIENTS = [1, 8] as const;
const MOST_ROUNDS = 5;
const MOST_ROUNDS_OF_REVOKING = 3;

/** How many logins a second, beside the source's statements in the same run. */
export interface Rate {
  readonly what: "lease" | "revoke by prefix";
  readonly way: WayName | "limit";
  /** At a time; of a revocation by prefix Vault makes one request. */
  readonly clients: number;
  /** Leases, by the same way. */
  readonly alive: number;
  /** Logins; median. */
  readonly perSecond: number;
  /** Half of what lies between the quartiles, logins a second. */
  readonly spread: number;
  readonly besideSource: number;
  /** Of functions: beside the same, by turns, on a server where none is alive. */
  readonly besideNone?: number;
  readonly rounds: number;
  /** Of all rounds' logins and leases, once they were revoked. */
  readonly left?: number;
}

export interface Rates {
  readonly rates: readonly Rate[];
  /** What was called, by whom, with which statements. */
  readonly calls: readonly string[];
}

export interface RatesOptions {
  readonly environment: string;
  readonly major: PostgresMajor;
  /** Ascending. */
  readonly alive: readonly number[];
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

type Measured = Omit<Rate, "besideSource">;

/** How fast logins are leased and revoked in each way, the more of them are alive. All ways take turns. */
export async function benchRates(options: RatesOptions): Promise<Rates> {
  const { environment, major, signal, onProgress } = options;
  onProgress(
    "a PostgreSQL and a Vault each: the source's statements, createrole, functions, functions with none alive",
  );
  const starting = await Promise.allSettled(
    [...WAYS, "functions" as const].map((name) => Way.start(name, environment, major)),
  );
  const ways = starting.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const stop = () => Promise.all(ways.map((way) => way.stop()));
  // What they are asked meanwhile fails, and no wait for an answer of theirs goes on.
  const interrupt = () => void stop();
  signal.addEventListener("abort", interrupt);
  try {
    signal.throwIfAborted();
    for (const result of starting) if (result.status === "rejected") throw result.reason as Error;
    return await measure(ways.slice(0, -1), ways.at(-1)!, options);
  } finally {
    signal.removeEventListener("abort", interrupt);
    await stop();
  }
}

/** @param empty leases as the last of the ways does, and never has more alive than a round makes */
async function measure(ways: readonly Way[], empty: Way, options: RatesOptions): Promise<Rates> {
  const { signal, onProgress } = options;
  const rounds = Math.min(options.rounds, MOST_ROUNDS);
  const most = options.alive.at(-1)!;
  // Those below a prefix of their own are alive as well.
  const byPrefix = Math.ceil(most / 4);
  const functions = ways.at(-1)!;
  const limit = new Limit(functions.postgres, functions.workspace, functions.group, findPgbench());
  const measured: Measured[] = [];
  // One that does not count: sessions are opened, plans made.
  for (const way of [...ways, empty]) await leaseRound(way, 8);

  let filled = 0;
  for (const alive of options.alive) {
    await fill(ways, "alive", Math.min(alive, most - byPrefix) - filled, onProgress);
    filled = Math.min(alive, most - byPrefix);
    if (alive === most) await fill(ways, "prefix", byPrefix, onProgress);
    for (const clients of CLIENTS) {
      const perSecond = new Map<Rate["way"], number[]>([...WAYS, "limit" as const].map((way) => [way, []]));
      const none: number[] = [];
      for (let round = 1; round <= rounds; round += 1) {
        onProgress(
          `leases by ${clientsOf(clients)}, ${String(alive)} alive, round ${String(round)} of ${String(rounds)}`,
        );
        for (const way of ways) perSecond.get(way.name)!.push(await leaseRound(way, clients));
        none.push(await leaseRound(empty, clients));
        perSecond.get("limit")!.push(await limit.measure(clients, LEASES_A_ROUND, signal));
      }
      for (const [way, values] of perSecond)
        measured.push({
          ...summary({ what: "lease", way, clients, alive }, values),
          ...(way === empty.name && { besideNone: median(values) / median(none) }),
        });
    }
  }

  if (most > 0) measured.push(...(await measureRevoking(ways, byPrefix, most, options)));
  return { rates: measured.map((rate) => beside(rate, measured)), calls: calls(ways, limit) };
}

/** @returns leases a second; they are revoked again, which does not count */
async function leaseRound(way: Way, clients: number): Promise<number> {
  const start = performance.now();
  await way.lease("round", { count: LEASES_A_ROUND, clients });
  const seconds = (performance.now() - start) / 1000;
  await way.revoke("round");
  return LEASES_A_ROUND / seconds;
}

async function measureRevoking(
  ways: readonly Way[],
  count: number,
  alive: number,
  { rounds, onProgress }: RatesOptions,
): Promise<Measured[]> {
  const perSecond = new Map<WayName, number[]>(ways.map(({ name }) => [name, []]));
  const left = new Map<WayName, number>(ways.map(({ name }) => [name, 0]));
  const all = Math.min(rounds, MOST_ROUNDS_OF_REVOKING);
  for (let round = 1; round <= all; round += 1) {
    if (round > 1) await fill(ways, "prefix", count, onProgress);
    for (const way of ways) {
      onProgress(
        `revoking ${String(count)} of ${String(alive)} by prefix, round ${String(round)} of ${String(all)}: ${way.name}`,
      );
      const start = performance.now();
      await way.revoke("prefix");
      perSecond.get(way.name)!.push((count * 1000) / (performance.now() - start));
      const { roles, leases } = await way.left("prefix");
      left.set(way.name, left.get(way.name)! + roles + leases);
    }
  }
  return [...perSecond].map(([way, values]) => ({
    ...summary({ what: "revoke by prefix", way, clients: 1, alive }, values),
    left: left.get(way)!,
  }));
}

/** Through Vault, as everybody's are made, on all servers at once: it is not what is measured. */
async function fill(
  ways: readonly Way[],
  purpose: "alive" | "prefix",
  count: number,
  onProgress: (text: string) => void,
): Promise<void> {
  const made = new Map<WayName, number>(ways.map(({ name }) => [name, 0]));
  // A line where the slowest has a quarter more.
  let next = count / 4;
  await Promise.all(
    ways.map((way) =>
      way.lease(purpose, {
        ...{ count, clients: 8 },
        onMade: (number) => {
          made.set(way.name, number);
          if (Math.min(...made.values()) < next) return;
          next += count / 4;
          const each = [...made].map(([name, number]) => `${name} ${String(number)}`);
          onProgress(`${String(count)} more leases in each way: ${each.join(", ")}`);
        },
      }),
    ),
  );
}

function summary(row: Pick<Rate, "what" | "way" | "clients" | "alive">, values: readonly number[]): Measured {
  return { ...row, perSecond: median(values), spread: halfOfMiddle(values), rounds: values.length };
}

function beside(rate: Measured, all: readonly Measured[]): Rate {
  const source = all.find(
    ({ what, way, clients, alive }) =>
      way === "source" && what === rate.what && clients === rate.clients && alive === rate.alive,
  )!;
  return { ...rate, besideSource: rate.perSecond / source.perSecond };
}

function calls(ways: readonly Way[], limit: Limit): string[] {
  const first = ways[0]!;
  return [
    `${first.label}, a server of each for each way. A client is a straight-line script, one call after the other; the baseline is source.`,
    `lease: GET ${first.credentials("round")}`,
    `revoke by prefix: PUT sys/leases/revoke-prefix/${first.credentials("prefix")} {"sync":true}`,
    ...ways.flatMap(({ name, statements, note }) => [
      `${name}, creation: ${brief(statements.creation_statements)}`,
      `${name}, revocation: ${brief(statements.revocation_statements)}`,
      ...(note === undefined ? [] : [`${name}: ${note}`]),
    ]),
    `limit: ${limit.calls}`,
  ];
}

/** On a line, without the blocks, which stand in sql/. */
function brief(statements: readonly string[]): string {
  return statements
    .map((statement) => statement.trim().replace(/;$/, ""))
    .join("; ")
    .replace(/--.*\n/g, "")
    .replace(/(\$\w*\$).*?\1/gs, "…")
    .replace(/\s+/g, " ");
}

/** The table for people. */
export function renderRates(rates: readonly Rate[]): string {
  const times = (ratio: number | undefined) => (ratio === undefined ? "" : `${ratio.toFixed(2)} ×`);
  const rows = rates.map((rate) => [
    `${rate.what}, ${rate.way}`,
    String(rate.clients),
    String(rate.alive),
    `${rate.perSecond.toFixed(0)} ± ${rate.spread.toFixed(0)}`,
    times(rate.besideSource),
    times(rate.besideNone),
    rate.left === undefined ? "" : String(rate.left),
    String(rate.rounds),
  ]);
  const head = ["", "clients", "alive", "a second", "source", "at none", "left", "rounds"];
  return columns([head, ...rows], (column) => column > 0).join("\n");
}

function clientsOf(clients: number): string {
  return clients === 1 ? "1 client" : `${String(clients)} clients`;
}
