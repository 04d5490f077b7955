import { appendFileSync, existsSync, readFileSync } from "node:fs";
import type { Report } from "../../verify/report/report";
import { columns } from "../../clients/text";

/** Names the file for the tests of one run; without it, as for a test that is run alone, nothing is written. */
export const SEEN_FILE = "LEASEHOLD_TEST_SEEN";

/** One whole verification, and what it was of: environment, PostgreSQL, Vault, who applied it, checks. */
type Row = readonly [string, string, string, string, string];

/** @param vault product and version; a report has the version alone */
export function record(
  { environment, servers, passed, failed }: Report,
  vault: string,
  applied: string,
): void {
  const file = process.env[SEEN_FILE];
  const postgres = `PostgreSQL ${[...new Set(servers.postgres)].join(", ")}`;
  const checks = `${String(passed)} held, ${String(failed)} did not`;
  const row: Row = [environment, postgres, vault, applied, checks];
  if (file) appendFileSync(file, `${JSON.stringify(row)}\n`);
}

/** The table of environments and servers with the checks that held, and a line that names each version. */
export function printSeen(file: string): void {
  if (!existsSync(file)) return;
  const rows = readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Row)
    .sort((a, b) => (a.join() < b.join() ? -1 : 1));
  console.log("\nVerified whole:");
  for (const line of columns(rows)) console.log(`  ${line}`);
  const servers = new Set(rows.flatMap(([, postgres, vault]) => [postgres, vault]));
  console.log(`Servers seen: ${[...servers].sort().join("; ")}`);
}
