import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** `npm test`: types, lint and every test that jest finds, all of them whatever fails; the last line counts. */
const ROOT = join(__dirname, "..");
const BIN = join(ROOT, "node_modules/.bin");

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

function run(command: string, args: readonly string[]): Promise<number> {
  console.log(`\n> ${command} ${args.join(" ")}`);
  return new Promise((resolve) => {
    const child = spawn(join(BIN, command), args, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", () => {
      resolve(1);
    });
    child.on("close", (code) => {
      resolve(code ?? 1);
    });
  });
}

async function main(): Promise<void> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  for (const [command, ...args] of [["tsc", "-p", "."], ["eslint", "."], ["prettier", "--check", "--log-level", "warn", "."]] as const) {
    if ((await run(command, args)) === 0) counts.passed += 1;
    else counts.failed += 1;
  }
  const folder = mkdtempSync(join(tmpdir(), "leasehold-test-"));
  const results = join(folder, "results.json");
  try {
    const code = await run("jest", ["--ci", "--json", `--outputFile=${results}`, ...process.argv.slice(2)]);
    addJest(counts, results, code);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`${String(counts.passed)} passed, ${String(counts.failed)} failed, ${String(counts.skipped)} skipped`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}

function addJest(counts: Counts, results: string, code: number): void {
  let jest: { numPassedTests: number; numFailedTests: number; numPendingTests: number; numRuntimeErrorTestSuites: number };
  try {
    jest = JSON.parse(readFileSync(results, "utf8")) as typeof jest;
  } catch {
    console.log("jest wrote no results");
    counts.failed += 1;
    return;
  }
  const failed = jest.numFailedTests + jest.numRuntimeErrorTestSuites;
  counts.passed += jest.numPassedTests;
  counts.skipped += jest.numPendingTests;
  // An exit code that no test explains, such as an obsolete snapshot, is a failure as well.
  counts.failed += failed === 0 && code !== 0 ? 1 : failed;
}

void main();
