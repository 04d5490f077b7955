import { finish, run, runJest, type Counts } from "./counts";

/** `npm test`: types, lint and every test that jest finds, all of them whatever fails. */
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
  await runJest(counts, process.argv.slice(2));
  finish(counts);
}

void main();
