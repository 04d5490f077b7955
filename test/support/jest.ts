import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { ROOT } from "./program";
import { printSeen, SEEN_FILE } from "./seen";
import { skippedBy, type TestTitles } from "./skip";

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** As much of jest's JSON as is read (https://jestjs.io/docs/cli#--json). */
interface Results {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numRuntimeErrorTestSuites: number;
  readonly testResults: readonly {
    readonly assertionResults: readonly ({ status: string } & TestTitles)[];
  }[];
}

/** How long jest may live on after its results: only what a test left open keeps it alive. */
const MILLISECONDS_TO_END = 30_000;

const program = (name: string) => join(ROOT, "node_modules/.bin", name);

/** Runs a program of node_modules, its output shown. Returns whether it succeeded. */
export async function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<boolean> {
  console.log(`\n> ${command} ${args.join(" ")}`);
  const { failed } = await execa(program(command), args, {
    cwd: ROOT,
    env,
    extendEnv: false,
    reject: false,
    stdio: ["ignore", "inherit", "inherit"],
  });
  return !failed;
}

/** Runs jest and adds what it counted. */
export async function runJest(
  counts: Counts,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "leasehold-test-"));
  const seen = join(folder, "seen.jsonl");
  console.log(`\n> jest ${args.join(" ")}`);
  // With --json the results are all of stdout, and what is for people is on stderr.
  const jest = execa(program("jest"), ["--ci", "--json", ...args], {
    cwd: ROOT,
    env: { ...env, [SEEN_FILE]: seen },
    extendEnv: false,
    reject: false,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  let bound: NodeJS.Timeout | undefined;
  jest.stdout!.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    if (!bound && readResults(text)) bound = setTimeout(() => jest.kill("SIGKILL"), MILLISECONDS_TO_END);
  });
  const ended = await jest;
  clearTimeout(bound);
  const results = readResults(text);
  if (results) {
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    counts.passed += results.numPassedTests;
    counts.skipped += results.numPendingTests;
    // An exit code that no test explains, such as an obsolete snapshot's, is a failure as well.
    counts.failed += failed === 0 && ended.failed ? 1 : failed;
    printSeen(seen);
    const tests = results.testResults.flatMap((file) => file.assertionResults);
    const lines = skippedBy(tests.filter(({ status }) => status === "pending"));
    if (lines.length > 0) console.log(["\nSkipped:", ...lines].join("\n"));
  } else {
    console.log("jest wrote no results");
    counts.failed += 1;
  }
  if (ended.killed)
    console.log("jest did not end by itself: npx jest --detectOpenHandles names what a test left open");
  rmSync(folder, { recursive: true });
}

/** Of a stdout that may not be whole yet, or on which a test has written too. */
function readResults(text: string): Results | undefined {
  if (!text.endsWith("}\n")) return undefined;
  try {
    return JSON.parse(text.slice(text.lastIndexOf("\n", text.length - 2) + 1)) as Results;
  } catch {
    return undefined;
  }
}

/** Such as `3 passed, 0 failed, 1 skipped`. */
export const line = ({ passed, failed, skipped }: Counts) =>
  `${String(passed)} passed, ${String(failed)} failed, ${String(skipped)} skipped`;

/** The line that ends each run. Sets the exit code. */
export function finish(counts: Counts): void {
  console.log(line(counts));
  process.exitCode = counts.failed === 0 ? 0 : 1;
}
