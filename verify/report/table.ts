import { styleText } from "node:util";
import {
  resultsOf,
  type Cell,
  type CheckResult,
  type DatabaseReport,
  type PersonaReport,
  type Report,
} from "./report";

/** Wider tables are shown in several parts. */
const PERSONAS_ABREAST = 4;
const LABEL_WIDTH = 36;
const COLUMN_WIDTH = 21;

type Style = "green" | "red" | "bold" | "dim";

/** The report as people read it: a column for each persona, a row for each privilege and each check. */
export function renderTable(report: Report, color: boolean): string {
  const style = (format: Style, text: string) => (color ? styleText(format, text) : text);
  const lines: string[] = [];
  for (const database of report.databases) {
    for (let first = 0; first < database.personas.length; first += PERSONAS_ABREAST)
      lines.push(...part(database, database.personas.slice(first, first + PERSONAS_ABREAST), style), "");
    for (const check of database.groups.flatMap(({ checks }) => checks))
      lines.push(`${mark(check, style)} ${check.title} ${style("dim", duration(check))}`);
    lines.push("");
  }
  lines.push(
    `● declared  ○ not declared   used / refused: what the server did   held / none: the catalogs, where nothing can be tried   ${style("red", "✗")} differs`,
    "",
  );
  const results = resultsOf(report);
  const remarks = [
    ...results.flatMap(({ database, persona, result }) =>
      result.remarks.map(
        (text) => `${[database, persona].filter(Boolean).join(" ")}: ${result.title}: ${text}`,
      ),
    ),
    ...report.remarks,
  ];
  for (const text of remarks) lines.push(`· ${text}`);
  if (remarks.length > 0) lines.push("");
  for (const { database, persona, result } of results.filter(({ result }) => !result.held)) {
    const who = [database, persona].filter(Boolean).join(" ");
    lines.push(style("red", `✗ ${who}: ${result.title}: ${result.findings.join("; ")}`));
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
  { name: database, schemas, personas: all }: DatabaseReport,
  personas: readonly PersonaReport[],
  style: (format: Style, text: string) => string,
): string[] {
  const title = `${database}, schema ${schemas.join(", ")}`;
  const names = personas.map(({ name }) => name.padEnd(COLUMN_WIDTH));
  const lines = [style("bold", title.padEnd(LABEL_WIDTH) + names.join("").trimEnd())];
  const rows = new Map(all.flatMap(({ matrix }) => matrix.map((cell) => [cell.id, cell])));
  let kindBefore = "";
  // In the run Vault's paths come first; in the table they stand below what the lease is for.
  for (const { id, kind, name } of [...rows.values()].sort(
    (a, b) => Number(a.kind === "vault") - Number(b.kind === "vault"),
  )) {
    const label = `${(kind === kindBefore ? "" : kind).padEnd(11)}${name}`;
    kindBefore = kind;
    const row = personas.map(({ matrix }) => {
      const cell = matrix.find((candidate) => candidate.id === id);
      return cell ? shownCell(cell, style) : "".padEnd(COLUMN_WIDTH);
    });
    lines.push((label.padEnd(LABEL_WIDTH) + row.join("")).trimEnd());
  }
  const checksOf = ({ groups }: PersonaReport) => groups.flatMap(({ checks }) => checks);
  for (const [id, { title }] of new Map(all.flatMap(checksOf).map((check) => [check.id, check]))) {
    const row = personas.map((persona) => {
      const check = checksOf(persona).find((candidate) => candidate.id === id);
      const text = check ? duration(check) : "";
      return (check ? mark(check, style) : " ") + text.padStart(COLUMN_WIDTH - 4) + "   ";
    });
    if (row.some((text) => text.trim() !== ""))
      lines.push((title.padEnd(LABEL_WIDTH) + row.join("")).trimEnd());
  }
  return lines;
}

function shownCell(cell: Cell, style: (format: Style, text: string) => string): string {
  const { declared, catalogued, exercised, held } = cell;
  const tried = exercised === undefined ? undefined : exercised ? "used" : "refused";
  const asked = catalogued === undefined ? undefined : catalogued ? "held" : "none";
  // Where the catalogs say otherwise than the server did, that stands in the place of the time.
  const differs = tried !== undefined && exercised !== catalogued;
  const text = `${(tried ?? (held ? asked : undefined) ?? "unclear").padEnd(8)}${(differs ? (asked ?? "?") : duration(cell)).padStart(COLUMN_WIDTH - 14)} `;
  return `${declared ? "●" : "○"} ${held ? text : style("red", `${text.trimEnd()} ✗`)}${held ? "  " : ""}`.padEnd(
    COLUMN_WIDTH,
  );
}

function mark({ held }: CheckResult, style: (format: Style, text: string) => string): string {
  return held ? style("green", "✓") : style("red", "✗");
}

function duration({ milliseconds }: CheckResult): string {
  return `${milliseconds.toFixed(1)} ms`;
}
