import { pad, width } from "../../clients/text";
import type { Cell, CheckResult, DatabaseReport, PersonaReport, Report } from "./report";
import {
  byKind,
  cellSign,
  failures,
  KIND_WIDTH,
  legendOfPublic,
  mark,
  remarks,
  styles,
  verdict,
  type Style,
} from "./terminal";

/** Wider tables are shown in several parts. */
const PERSONAS_ABREAST = 4;
const LABEL_WIDTH = 36;
const COLUMN_WIDTH = 21;

/** All of a report but its evidence: a column for each persona, a row for each privilege and each check, with their times. */
export function renderDetails(report: Report, color: boolean): string {
  const style = styles(color);
  const lines: string[] = [];
  for (const database of report.databases) {
    for (let first = 0; first < database.personas.length; first += PERSONAS_ABREAST)
      lines.push(...part(database, database.personas.slice(first, first + PERSONAS_ABREAST), style), "");
    for (const check of database.groups.flatMap(({ checks }) => checks))
      lines.push(`${mark(check.held, style)} ${check.title} ${style("dim", duration(check))}`);
    lines.push("");
  }
  lines.push(
    `● declared  ○ not declared   used / refused: what the server did   held / none: the catalogs, where nothing can be tried   ${style("red", "✗")} differs`,
    ...legendOfPublic(report),
    "",
  );
  const said = remarks(report);
  if (said.length > 0) lines.push(...said, "");
  return [...lines, ...failures(report, style), verdict(report, style)].join("\n");
}

function part(
  { name: database, schemas, personas: all }: DatabaseReport,
  personas: readonly PersonaReport[],
  style: Style,
): string[] {
  // A name that is too long for its column widens it.
  const widths = personas.map(({ name }) => Math.max(COLUMN_WIDTH, width(name) + 2));
  const heads = personas.map(({ name }, i) => pad(name, widths[i]!));
  const row = (label: string, cells: readonly string[]) =>
    (pad(label, LABEL_WIDTH) + cells.join("")).trimEnd();
  const lines = [style("bold", row(`${database}, schema ${schemas.join(", ")} `, heads))];
  const rows = new Map(all.flatMap(({ matrix }) => matrix.map((cell) => [cell.id, cell])));
  let kindBefore = "";
  for (const { id, kind, name } of byKind([...rows.values()])) {
    const cells = personas.map(({ matrix }, i) => {
      const cell = matrix.find((candidate) => candidate.id === id);
      return cell ? shownCell(cell, widths[i]!, style) : pad("", widths[i]!);
    });
    lines.push(row(pad(kind === kindBefore ? "" : kind, KIND_WIDTH) + name, cells));
    kindBefore = kind;
  }
  const checksOf = ({ groups }: PersonaReport) => groups.flatMap(({ checks }) => checks);
  for (const [id, { title }] of new Map(all.flatMap(checksOf).map((check) => [check.id, check]))) {
    const checks = personas.map((persona) => checksOf(persona).find((candidate) => candidate.id === id));
    if (checks.every((check) => check === undefined)) continue;
    const cells = checks.map((check, i) =>
      check
        ? mark(check.held, style) + pad(pad(duration(check), COLUMN_WIDTH - 4, true), widths[i]! - 1)
        : pad("", widths[i]!),
    );
    lines.push(row(title, cells));
  }
  return lines;
}

function shownCell(cell: Cell, columnWidth: number, style: Style): string {
  const { catalogued, exercised, held } = cell;
  const tried = exercised === undefined ? undefined : exercised ? "used" : "refused";
  const asked = catalogued === undefined ? undefined : catalogued ? "held" : "none";
  // Where the catalogs say otherwise than the server did, that stands in the place of the time.
  const differs = tried !== undefined && exercised !== catalogued;
  const time = pad(differs ? (asked ?? "?") : duration(cell), COLUMN_WIDTH - 14, true);
  const text = `${(tried ?? (held ? asked : undefined) ?? "unclear").padEnd(8)}${time} ${held ? "" : "✗"}`;
  return `${cellSign(cell)} ${style(held ? undefined : "red", text, columnWidth - 2)}`;
}

function duration({ milliseconds }: CheckResult): string {
  return `${milliseconds.toFixed(1)} ms`;
}
