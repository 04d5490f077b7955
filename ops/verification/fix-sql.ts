import { escapeIdentifier as ident } from "pg";
import { printable } from "../../clients/text";
import type { AccessManifest } from "../../manifest/schema";
import { resultsOf, type Report } from "../../verify/report/report";

/**
 * The statements that would mend a report's findings, for a database administrator to read and run with psql: each database's in one
 * transaction, which may be run again. Where there is none the file says so.
 */
export function fixSql(report: Report, manifest: AccessManifest): { text: string; statements: number } {
  let statements = 0;
  const parts = manifest.databases.flatMap(({ name, server }) => {
    const mends = mendsOf(report, name);
    if (mends.length === 0) return [];
    statements += mends.length;
    return [
      "",
      `-- ${String(mends.length)} of database ${printable(name)}${manifest.servers.length > 1 ? ` on server ${server}: run this part there` : ""}`,
      `\\connect ${ident(name)}`,
      "BEGIN;",
      "SET LOCAL search_path = pg_catalog, pg_temp;",
      ...mends.map((mend) => `${mend};`),
      "COMMIT;",
    ];
  });
  const head =
    statements === 0
      ? [`-- leasehold verify found nothing in ${report.environment} that a statement would mend.`]
      : [
          `-- What leasehold verify found in ${report.environment}, and what would mend it. Read it before you run it, as a superuser:`,
          "-- psql -v ON_ERROR_STOP=1 -f FILE. A finding without a statement is not here; npx leasehold deploy mends what Terraform sees.",
        ];
  return { text: [...head, ...parts, ""].join("\n"), statements };
}

/** Each once, in the order of the report; what takes too much first, so that a grant after it stays. */
function mendsOf(report: Report, database: string): string[] {
  const mends = resultsOf(report)
    .filter((placed) => placed.database === database)
    .flatMap(({ result }) => result.details.flatMap((details) => details.mends));
  const all = [...new Set(mends)];
  const takes = (mend: string) => / ?\bREVOKE\b/.test(mend);
  return [...all.filter(takes), ...all.filter((mend) => !takes(mend))];
}
