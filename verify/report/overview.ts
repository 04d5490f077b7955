import { pad, width } from "../../clients/text";
import {
  count,
  resultsOf,
  type Cell,
  type CheckResult,
  type DatabaseReport,
  type PersonaReport,
  type Report,
} from "./report";
import {
  byKind,
  cellSign,
  COLUMNS,
  failures,
  KIND_WIDTH,
  legendOfPublic,
  LINES,
  mark,
  remarks,
  styles,
  verdict,
  type Style,
} from "./terminal";

const LABEL_WIDTH = 45;
const LONGEST_NAME = 20;

/**
 * What a terminal has room for: the matrix without times, the checks by group, and what failed. Where the matrices are too
 * long for it, each database is a line; of a single one each persona is.
 */
export function renderOverview(report: Report, color: boolean): string {
  const style = styles(color);
  const failed = failures(report, style);
  const said = remarks(report);
  const end = [...(said.length > 0 ? [...said, ""] : []), ...failed, verdict(report, style)];
  const matrices = report.databases.flatMap((database) => [...matrix(database, style), ""]);
  const whole = [...matrices, legend(style), ...legendOfPublic(report), "", ...end];
  if (whole.length <= LINES + failed.length + said.length) return whole.join("\n");
  const lines =
    report.databases.length === 1
      ? report.databases.flatMap((database) => [
          ...personaLines(database, style),
          "",
          ...groups(database, style),
        ])
      : report.databases.map((database) => databaseLine(database, style));
  return [...lines, "", ...end].join("\n");
}

function legend(style: Style): string {
  return `● declared and used   ○ not declared, and refused or not held   ${style("red", "✗")} differs`;
}

function databaseLine(database: DatabaseReport, style: Style): string {
  const results = resultsOf({ databases: [database] }).map(({ result }) => result);
  return line(database.name, `${String(database.personas.length)} personas, `, results, style);
}

function personaLines({ personas }: DatabaseReport, style: Style): string[] {
  return personas.map(({ name, matrix, groups }) =>
    line(name, "", [...matrix, ...groups.flatMap(({ checks }) => checks)], style),
  );
}

function line(name: string, what: string, results: readonly CheckResult[], style: Style): string {
  const { passed, failed } = count(results);
  const counted = `${String(passed)} passed${failed > 0 ? `, ${String(failed)} failed` : ""}`;
  return `${mark(failed === 0, style)} ${pad(cut(name, LABEL_WIDTH), LABEL_WIDTH)} ${what}${counted}`;
}

function matrix(database: DatabaseReport, style: Style): string[] {
  const title = cut(`${database.name}, schema ${database.schemas.join(", ")}`, LABEL_WIDTH - 1);
  const lines: string[] = [];
  // Where no row was asked for there is no matrix.
  const shown = database.personas.filter(({ matrix: cells }) => cells.length > 0);
  for (const personas of abreast(shown)) {
    const widths = personas.map(columnWidth);
    const heads = personas.map(({ name }, i) => pad(cut(name, LONGEST_NAME), widths[i]!));
    lines.push(style("bold", `${pad(title, LABEL_WIDTH)}${heads.join("").trimEnd()}`));
    lines.push(...rows(personas, widths, style), "");
  }
  return [...lines, ...groups(database, style)];
}

function columnWidth({ name }: PersonaReport): number {
  return width(cut(name, LONGEST_NAME)) + 2;
}

/** As many beside each other as fit. */
function abreast(personas: readonly PersonaReport[]): PersonaReport[][] {
  const parts: PersonaReport[][] = [];
  let taken = COLUMNS;
  for (const persona of personas) {
    if (taken + width(cut(persona.name, LONGEST_NAME)) > COLUMNS) {
      parts.push([]);
      taken = LABEL_WIDTH;
    }
    parts.at(-1)!.push(persona);
    taken += columnWidth(persona);
  }
  return parts;
}

/** A line for the rows of a kind that have the same marks, one after the other. */
function rows(personas: readonly PersonaReport[], widths: readonly number[], style: Style): string[] {
  const byId = new Map(personas.flatMap(({ matrix: cells }) => cells.map((cell) => [cell.id, cell])));
  const found: { kind: string; names: string[]; marks: string }[] = [];
  for (const { id, kind, name } of byKind([...byId.values()])) {
    const marks = personas
      .map(({ matrix: cells }, i) =>
        cellMark(
          cells.find((cell) => cell.id === id),
          widths[i]!,
          style,
        ),
      )
      .join("")
      .trimEnd();
    const last = found.at(-1);
    const fits = last && width([...last.names, name].join(", ")) < LABEL_WIDTH - KIND_WIDTH;
    if (last?.kind === kind && last.marks === marks && fits) last.names.push(name);
    else found.push({ kind, names: [name], marks });
  }
  return found.map(({ kind, names, marks }, i) => {
    const label = `${pad(found[i - 1]?.kind === kind ? "" : kind, KIND_WIDTH)}${names.join(", ")}`;
    return pad(label, LABEL_WIDTH) + marks;
  });
}

function cellMark(cell: Cell | undefined, columnWidth: number, style: Style): string {
  if (!cell) return style(undefined, "", columnWidth);
  if (!cell.held) return style("red", "✗", columnWidth);
  return style(undefined, cellSign(cell), columnWidth);
}

/** The checks that are no cells, of the database and of its personas together. */
function groups({ groups: own, personas }: DatabaseReport, style: Style): string[] {
  const byTitle = new Map<string, CheckResult[]>();
  for (const { title, checks } of [...personas.flatMap((persona) => persona.groups), ...own])
    byTitle.set(title, [...(byTitle.get(title) ?? []), ...checks]);
  return [...byTitle].map(([title, checks]) => {
    const passed = checks.filter(({ held }) => held).length;
    const count = passed === checks.length ? String(passed) : `${String(passed)} of ${String(checks.length)}`;
    return `${mark(passed === checks.length, style)} ${pad(title, LABEL_WIDTH - 2)}${count}`;
  });
}

function cut(text: string, longest: number): string {
  if (width(text) <= longest) return text;
  let short = "";
  for (const character of text) {
    if (width(short + character) >= longest) break;
    short += character;
  }
  return `${short}…`;
}
