import { chmodSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Client } from "pg";
import { findPgbench, Limit } from "../../bench/limit";
import type { Comparison } from "../../bench/measure";
import { median, renderComparisons } from "../../bench/measure";
import { renderRates, type Rates } from "../../bench/rates";
import { PostgresServer } from "../../sandbox/postgres-server";
import { Workspace } from "../../sandbox/workspace";
import { temporaryFolder } from "../support/folder";
import { processesWith, Program } from "../support/program";

/** Node alone: no Terraform, on whatever machine. */
const PATH = dirname(process.execPath);
const { folder, remove } = temporaryFolder();
afterAll(remove);

test("each figure stands beside another; what the machine has no programs for is left out, with the reason", async () => {
  const json = join(folder, "figures.json");
  const args = ["--rounds", "1", "--env", "local", "--only", "synth,leases,deploys", "--json", json];
  const program = new Program(["bench", ...args], { PATH });
  expect({ code: await program.ended, output: program.output }).toMatchObject({ code: 0 });
  const { comparisons, leftOut } = JSON.parse(readFileSync(json, "utf8")) as {
    comparisons: Comparison[];
    leftOut: string[];
  };
  expect(comparisons.map(({ what }) => what)).toEqual([
    "synth",
    "lease a login (readonly)",
    "lease, log in, query",
    "revoke, a session open",
    "revoke, a session open",
    "revoke, none open",
  ]);
  for (const { milliseconds, besideMilliseconds, rounds } of comparisons) {
    expect(milliseconds).toBeGreaterThan(0);
    expect(besideMilliseconds).toBeGreaterThan(0);
    expect(rounds).toBe(1);
  }
  expect(leftOut).toEqual([expect.stringMatching(/^there is no terraform on PATH: install Terraform 1\.11/)]);
  expect(program.output).toContain(`Deploy, diff and destroy were left out: ${leftOut[0]!}`);
});

test("rates of each way stand beside the source's in each row; what was revoked is gone, and the calls are printed", async () => {
  const json = join(folder, "rates.json");
  const args = ["bench", "--only", "rates", "--rounds", "1", "--alive", "40,0", "--json", json];
  const program = new Program(args);
  expect({ code: await program.ended, output: program.output }).toMatchObject({ code: 0 });
  const { rates, calls, machine } = JSON.parse(readFileSync(json, "utf8")) as Rates & {
    machine: { cores: number; load: number[] };
  };
  const ways = ["source", "createrole", "functions"];
  expect(rates.map(({ what, way, clients, alive }) => [what, way, clients, alive])).toEqual([
    ...[0, 40].flatMap((alive) =>
      [1, 8].flatMap((clients) => [...ways, "limit"].map((way) => ["lease", way, clients, alive])),
    ),
    ...ways.map((way) => ["revoke by prefix", way, 1, 40]),
  ]);
  for (const rate of rates) {
    const source = rates.find(
      ({ what, way, clients, alive }) =>
        way === "source" && what === rate.what && clients === rate.clients && alive === rate.alive,
    )!;
    expect(rate.perSecond).toBeGreaterThan(0);
    expect(rate.besideSource).toBe(rate.perSecond / source.perSecond);
    expect(rate.besideNone).toEqual(
      rate.what === "lease" && rate.way === "functions" ? expect.any(Number) : undefined,
    );
    expect(rate.left).toBe(rate.what === "lease" ? undefined : 0);
  }
  const printed = program.output.split("\n");
  for (const row of renderRates(rates).split("\n")) expect(printed).toContain(row);
  for (const call of calls) expect(printed).toContain(call);
  expect(calls.join("\n")).toMatch(
    /^source: its own revocation fails \(HTTP 400: permission denied to drop objects \(SQLSTATE 42501\)\)/m,
  );
  expect(calls.join("\n")).toMatch(/^functions, creation: SELECT leasehold\.open\(/m);
  expect(machine.cores).toBeGreaterThan(0);
  expect(machine.load).toHaveLength(2);
}, 300_000);

test.each(["a PostgreSQL and a Vault each", "leases by 8 clients", "revoking 10 of 40 by prefix"])(
  "interrupted at «%s» it stops what it started and removes its folders",
  async (at) => {
    const own = temporaryFolder();
    // PostgreSQL's user gets through.
    chmodSync(own.folder, 0o711);
    const program = new Program(["bench", "--only", "rates", "--rounds", "1", "--alive", "0,40"], {
      TMPDIR: own.folder,
    });
    await program.until(at, 180_000);
    program.child.kill("SIGINT");
    expect({ code: await program.ended, output: program.output }).toMatchObject({ code: 130 });
    expect(processesWith(own.folder)).toEqual([]);
    const left = readdirSync(own.folder, { recursive: true, encoding: "utf8" });
    expect(left.filter((name) => !/^(tsx-\d+.*|leasehold-\d+)$/.test(name))).toEqual([]);
    own.remove();
  },
  300_000,
);

test.each([
  ["pgbench", findPgbench()],
  ["clients of its own, where there is no pgbench", undefined],
])("the limit is measured with %s, and its logins are gone afterwards", async (_, program) => {
  const workspace = await Workspace.create();
  const server = await PostgresServer.start(workspace, {
    ...{ superuser: "postgres", password: "limit", database: "postgres" },
  });
  const { host, port, superuser: user, password, database } = server;
  const client = new Client({ host, port, user, password, database });
  try {
    await client.connect();
    await client.query("CREATE ROLE readers");
    const limit = new Limit(server, workspace, "readers", program);
    expect(await limit.measure(2, 4, new AbortController().signal)).toBeGreaterThan(0);
    expect(limit.calls).toMatch(program === undefined ? /in lieu of pgbench/ : /pgbench --client/);
    expect((await client.query("SELECT FROM pg_roles WHERE rolname LIKE 'limit-%'")).rowCount).toBe(0);
  } finally {
    await client.end();
    await server.stop();
    workspace.remove();
  }
});

test.each(["many", "-1", "1,", "100000"])("--alive %j is refused in one line", async (alive) => {
  const program = new Program(["bench", "--alive", alive]);
  expect(await program.ended).toBe(2);
  expect(program.output.trim()).toMatch(
    /^option '--alive <numbers>' .* allowed: whole numbers from 0 to 99999/,
  );
});

test.each(["0", "many", "1.5", "-1"])("--rounds %j is refused in one line", async (rounds) => {
  const program = new Program(["bench", "--rounds", rounds]);
  expect(await program.ended).toBe(2);
  expect(program.output.trim()).toMatch(
    /^option '--rounds <number>' .* allowed: a whole number from 1 to 9999$/,
  );
});

test("the median of an even number of figures is between the middle ones", () => {
  expect([median([3, 1, 2]), median([4, 1, 3, 2]), median([5])]).toEqual([2, 2.5, 5]);
});

test("a table's columns are aligned, with a ratio", () => {
  const text = renderComparisons([
    {
      ...{ what: "slow", milliseconds: 2500, spread: 100 },
      ...{ beside: "fast", besideMilliseconds: 50, besideSpread: 1.5 },
      rounds: 2,
    },
  ]);
  expect(text.split("\n")).toEqual([
    "                 median  beside it            median    ratio  rounds",
    "slow  2.50 s ± 100.0 ms  fast       50.0 ms ± 1.5 ms  50.00 ×       2",
  ]);
});
