import { environmentOf, OTHER_NODES } from "./support/nodes";
import { finish, line, run, runJest, type Counts } from "./support/jest";

const HELP = `npm test [-- [--all | --matrix] [files, or options of jest]]

Types, lint and every test but the long ones and the end-to-end tests (npm run e2e).

  --all     the long tests too: every environment on PostgreSQL 15 to 17, servers that go away, downloads; attacks on 15 and 18
  --matrix  --all with attacks on PostgreSQL 15 to 18; then npm test on each other Node: ${OTHER_NODES.map(({ version }) => version).join(", ")}
  --help    prints this
`;

/** Their own files, since they take many minutes. */
const LONG = "\\.long\\.test\\.ts$";

/** PostgreSQL's majors on which the attacks are tried; the installed one alone unless an option says otherwise. */
const ATTACKED = { "--all": "15,18", "--matrix": "15,16,17,18" } as const;

const CHECKS = [
  ["tsc", "-p", "."],
  ["eslint", "."],
  ["prettier", "--check", "--log-level", "warn", "."],
] as const;

/** Types, lint and tests, all of them whatever fails. */
async function suite(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  for (const [command, ...rest] of CHECKS) {
    if (await run(command, rest, env)) counts.passed += 1;
    else counts.failed += 1;
  }
  await runJest(counts, args, env);
  return counts;
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes("--help")) {
    console.log(HELP);
    return;
  }
  const option = (["--matrix", "--all"] as const).find((each) => args.includes(each));
  const rest = args.filter((arg) => !(arg in ATTACKED));
  const short = [...rest, "--testPathIgnorePatterns", "/node_modules/", LONG];
  const counts = option
    ? await suite(rest, { ...process.env, LEASEHOLD_POSTGRES_MAJORS: ATTACKED[option] })
    : await suite(short, process.env);
  if (option === "--matrix") await onOtherNodes(short, counts);
  if (!option) console.log("without the long tests, which npm test -- --all runs as well");
  finish(counts);
}

/** A Node that can't be had counts as a failure: it was asked for. */
async function onOtherNodes(args: readonly string[], total: Counts): Promise<void> {
  const lines = [`Node ${process.versions.node}: ${line(total)}`];
  for (const node of OTHER_NODES) {
    const name = `Node ${node.version} (${node.why})`;
    try {
      const env = await environmentOf(node);
      console.log(`\n${name}`);
      const counts = await suite(args, env);
      lines.push(`${name}: ${line(counts)}`);
      for (const each of ["passed", "failed", "skipped"] as const) total[each] += counts[each];
    } catch (error) {
      lines.push(`${name}: ${(error as Error).message.split("\n")[0]!}`);
      total.failed += 1;
    }
  }
  console.log(`\n${lines.join("\n")}`);
}

void main();
