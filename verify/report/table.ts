import { styleText } from "node:util";
import type { AccessManifest, ManifestDatabase } from "../../manifest/schema";
import type { Cell, Check, Report } from "./report";

/** Wider tables are shown in several parts. */
const PERSONAS_ABREAST = 4;
const LABEL_WIDTH = 36;
const COLUMN_WIDTH = 21;

type Style = "green" | "red" | "bold" | "dim";

/** The report as people read it: a column for each persona, a row for each privilege and each check. */
export function renderTable(report: Report, manifest: AccessManifest, color: boolean): string {
  const style = (format: Style, text: string) => (color ? styleText(format, text) : text);
  const lines: string[] = [];
  for (const database of manifest.databases) {
    for (let first = 0; first < database.personas.length; first += PERSONAS_ABREAST) {
      const personas = database.personas.slice(first, first + PERSONAS_ABREAST).map(({ name }) => name);
      lines.push(...part(report, database, personas, style), "");
    }
    const summary = report.checks.filter(
      (check) => check.database === database.name && check.persona === undefined,
    );
    lines.push(
      ...summary.map((check) => `${mark(check, style)} ${check.name} ${style("dim", duration(check))}`),
      "",
    );
  }
  lines.push(
    `● declared  ○ not declared   used / refused: what the server did   held / none: the catalogs, where nothing can be tried   ${style("red", "✗")} differs`,
    "",
  );

  for (const text of report.remarks) lines.push(`· ${text}`);
  if (report.remarks.length > 0) lines.push("");
  for (const failed of [...report.cells, ...report.checks].filter(({ held }) => !held)) {
    const who = [failed.database, failed.persona].filter(Boolean).join(" ");
    lines.push(style("red", `✗ ${who}: ${failed.name}: ${failed.finding ?? ""}`));
  }
  for (const what of report.left) lines.push(style("red", `✗ left behind: ${what}`));
  if (report.interrupted) lines.push(style("red", "✗ interrupted: what was made until then is taken away"));
  const seconds = (report.milliseconds / 1000).toFixed(1);
  lines.push(
    style(
      report.failed + report.left.length > 0 || report.interrupted ? "red" : "green",
      `${String(report.passed)} checks held, ${String(report.failed)} did not, in ${seconds} s; left behind: ${report.left.length === 0 ? "nothing" : String(report.left.length)}`,
    ),
  );
  return lines.join("\n");
}

function part(
  report: Report,
  database: ManifestDatabase,
  personas: string[],
  style: (format: Style, text: string) => string,
): string[] {
  const title = `${database.name}, schema ${database.schema}`;
  const lines = [
    style(
      "bold",
      title.padEnd(LABEL_WIDTH) +
        personas
          .map((name) => name.padEnd(COLUMN_WIDTH))
          .join("")
          .trimEnd(),
    ),
  ];
  let kindBefore = "";
  const names = namesOf(report.cells, database);
  // In the run Vault's paths come first; in the table they stand below what the lease is for.
  const kinds = new Set(names.map(kindOf).sort((a, b) => Number(a === "vault") - Number(b === "vault")));
  for (const privilege of [...kinds].flatMap((kind) => names.filter((name) => kindOf(name) === kind))) {
    const [kind, name] = privilege.split(".") as [string, string];
    const label = `${(kind === kindBefore ? "" : kind).padEnd(11)}${name}`;
    kindBefore = kind;
    const row = personas.map((persona) => {
      const cell = report.cells.find((candidate) => isOf(candidate, database, persona, privilege));
      return cell ? shownCell(cell, style) : "".padEnd(COLUMN_WIDTH);
    });
    lines.push((label.padEnd(LABEL_WIDTH) + row.join("")).trimEnd());
  }
  for (const name of namesOf(report.checks, database)) {
    const row = personas.map((persona) => {
      const check = report.checks.find((candidate) => isOf(candidate, database, persona, name));
      const text = check ? duration(check) : "";
      return (check ? mark(check, style) : " ") + text.padStart(COLUMN_WIDTH - 4) + "   ";
    });
    if (row.some((text) => text.trim() !== ""))
      lines.push((name.padEnd(LABEL_WIDTH) + row.join("")).trimEnd());
  }
  return lines;
}

function namesOf(checks: readonly Check[], database: ManifestDatabase): string[] {
  const ofPersonas = checks.filter(
    (check) => check.database === database.name && check.persona !== undefined,
  );
  return [...new Set(ofPersonas.map(({ name }) => name))];
}

function kindOf(privilege: string): string {
  return privilege.split(".")[0]!;
}

function isOf(check: Check, database: ManifestDatabase, persona: string, name: string): boolean {
  return check.database === database.name && check.persona === persona && check.name === name;
}

function shownCell(cell: Cell, style: (format: Style, text: string) => string): string {
  const { declared, catalogued, proven, held } = cell;
  const tried = proven === undefined ? undefined : proven ? "used" : "refused";
  const asked = catalogued === undefined ? undefined : catalogued ? "held" : "none";
  // Where the catalogs say otherwise than the server did, that stands in the place of the time.
  const differs = tried !== undefined && proven !== catalogued;
  const text = `${(tried ?? (held ? asked : undefined) ?? "unclear").padEnd(8)}${(differs ? (asked ?? "?") : duration(cell)).padStart(COLUMN_WIDTH - 14)} `;
  return `${declared ? "●" : "○"} ${held ? text : style("red", `${text.trimEnd()} ✗`)}${held ? "  " : ""}`.padEnd(
    COLUMN_WIDTH,
  );
}

function mark(check: Check, style: (format: Style, text: string) => string): string {
  return check.held ? style("green", "✓") : style("red", "✗");
}

function duration({ milliseconds }: Check): string {
  return `${milliseconds.toFixed(1)} ms`;
}
