import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { printSeen, SEEN_FILE } from "./support/seen";

export const ROOT = join(__dirname, "..");

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Runs a program of node_modules, its output shown. Returns its exit code. */
export function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  console.log(`\n> ${command} ${args.join(" ")}`);
  return new Promise((resolve) => {
    const program = join(ROOT, "node_modules/.bin", command);
    const child = spawn(program, args, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"], env });
    child.on("error", () => {
      resolve(1);
    });
    child.on("close", (code) => {
      resolve(code ?? 1);
    });
  });
}

/** Runs jest and adds what it counted. */
export async function runJest(
  counts: Counts,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "leasehold-test-"));
  const results = join(folder, "results.json");
  const seen = join(folder, "seen.jsonl");
  const code = await run("jest", ["--ci", "--json", `--outputFile=${results}`, ...args], {
    ...env,
    [SEEN_FILE]: seen,
  });
  try {
    const jest = JSON.parse(readFileSync(results, "utf8")) as Record<string, number>;
    const failed = jest["numFailedTests"]! + jest["numRuntimeErrorTestSuites"]!;
    counts.passed += jest["numPassedTests"]!;
    counts.skipped += jest["numPendingTests"]!;
    // An exit code that no test explains, such as an obsolete snapshot's, is a failure as well.
    counts.failed += failed === 0 && code !== 0 ? 1 : failed;
    printSeen(seen);
  } catch {
    console.log("jest wrote no results");
    counts.failed += 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The line that ends each run. Sets the exit code. */
export function finish({ passed, failed, skipped }: Counts): void {
  console.log(`${String(passed)} passed, ${String(failed)} failed, ${String(skipped)} skipped`);
  process.exitCode = failed === 0 ? 0 : 1;
}
