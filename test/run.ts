import { finish, run, runJest, type Counts } from "./counts";

/** Their own files, since they take many minutes. */
const LONG = "\\.long\\.test\\.ts$";

/** PostgreSQL's majors on which the attacks are tried; the installed one alone unless an option says otherwise. */
const ATTACKED = { "--all": "15,18", "--matrix": "15,16,17,18" } as const;

/**
 * `npm test`: types, lint and every test that jest finds, all of them whatever fails; the long ones with `--all`. `--matrix`
 * is `--all` on each major of PostgreSQL where a test takes several.
 */
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
  const option = (["--matrix", "--all"] as const).find((each) => args.includes(each));
  const isAll = option !== undefined;
  await runJest(
    counts,
    [
      ...args.filter((arg) => !(arg in ATTACKED)),
      ...(isAll ? [] : ["--testPathIgnorePatterns", "/node_modules/", LONG]),
    ],
    { ...process.env, ...(isAll && { LEASEHOLD_POSTGRES_MAJORS: ATTACKED[option] }) },
  );
  if (!isAll) console.log("without the long tests, which npm test -- --all runs as well");
  finish(counts);
}

void main();
