import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Comparison } from "../../bench/measure";
import { median, renderComparisons } from "../../bench/measure";
import { temporaryFolder } from "../support/folder";
import { Program } from "../support/program";

/** Node alone: no Terraform, on whatever machine. */
const PATH = dirname(process.execPath);
const { folder, remove } = temporaryFolder();
afterAll(remove);

test("each figure stands beside another; what the machine has no programs for is left out, with the reason", async () => {
  const json = join(folder, "figures.json");
  const program = new Program(["bench", "--rounds", "1", "--env", "external", "--json", json], { PATH });
  expect({ code: await program.ended, output: program.output }).toMatchObject({ code: 0 });
  const { comparisons, leftOut } = JSON.parse(readFileSync(json, "utf8")) as {
    comparisons: Comparison[];
    leftOut: string[];
  };
  expect(comparisons.map(({ what }) => what)).toEqual([
    "synth",
    "lease a login (report)",
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
