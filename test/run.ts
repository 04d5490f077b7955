import { finish, run, runJest, type Counts } from "./counts";

/** Their own files, since they take many minutes. */
const LONG = "\\.long\\.test\\.ts$";

/** `npm test`: types, lint and every test that jest finds, all of them whatever fails; the long ones with `--all`. */
async function main(): Promise<void> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  const checks = [
    ["tsc", "-p", "."],
    ["eslint", "."],
    ["prettier", "--check", "--log-level", "warn", "."],
  ] as const;
  for (const [command, ...args] of checks) {
    if ((await run(command, args)) === 0) counts.passed += 1;
    else counts.failed += 1;
  }
  const args = process.argv.slice(2);
  const isAll = args.includes("--all");
  await runJest(counts, [
    ...args.filter((arg) => arg !== "--all"),
    ...(isAll ? [] : ["--testPathIgnorePatterns", "/node_modules/", LONG]),
  ]);
  if (!isAll) console.log("without the long tests, which npm test -- --all runs as well");
  finish(counts);
}

void main();
