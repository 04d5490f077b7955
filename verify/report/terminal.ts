import { styleText } from "node:util";
import { pad, printable } from "../../clients/text";
import { LONGEST_STATEMENT } from "./mend";
import { cellsOf, resultsOf, type Cell, type CheckResult, type Placed, type Report } from "./report";

/** Of a terminal as people have them. */
export const COLUMNS = 80;
export const LINES = 50;

type Format = "green" | "red" | "bold" | "dim";
/** Text as it is shown, filled to a width: what colours it does not count. */
export type Style = (format: Format | undefined, text: string, width?: number) => string;

export function styles(color: boolean): Style {
  return (format, text, width = 0) => {
    const spaces = pad(text, width).slice(text.length);
    return (color && format && text ? styleText(format, text, { validateStream: false }) : text) + spaces;
  };
}

/** Of the column with the kinds of a matrix's rows. */
export const KIND_WIDTH = 11;

export function mark(held: boolean, style: Style): string {
  return held ? style("green", "✓") : style("red", "✗");
}

export function cellSign({ byPublic, declared }: Cell): string {
  return byPublic ? "◐" : declared ? "●" : "○";
}

/** Where there is such a cell. */
export function legendOfPublic(report: Report): string[] {
  const isThere = cellsOf(report).some(({ result }) => result.byPublic);
  return isThere ? ["◐ not declared, and had by what PUBLIC may keep: neither passed nor failed"] : [];
}

/** Findings that a line of the terminal has room for, the first ones; the report has them all. */
const SHOWN = 3;
export const LONGEST = 500;

/** Rows of a kind together; in the run Vault's paths come first, here they stand below what the lease is for. */
export function byKind(cells: readonly Cell[]): Cell[] {
  const kinds = [...new Set(cells.map(({ kind }) => kind))];
  const place = ({ kind }: Cell) => (kind === "vault" ? kinds.length : kinds.indexOf(kind));
  return [...cells].sort((a, b) => place(a) - place(b));
}

/** What failed, a line a check, with who and what it was about. */
export function failures(report: Report, style: Style): string[] {
  const lines = resultsOf(report)
    .filter(({ result }) => !result.held)
    .map((placed) =>
      shortened(`✗ ${placeText(placed)}: ${findingsText(placed.result.findings)}`, mendsText(placed.result)),
    );
  lines.push(...report.left.map((what) => `✗ left behind: ${what}`));
  if (report.interrupted) lines.push("✗ interrupted: what was made until then is taken away");
  return lines.map((line) => style("red", line));
}

function findingsText(findings: readonly string[]): string {
  if (findings.length <= SHOWN) return findings.join("; ");
  const more = findings.length - SHOWN;
  return `${String(findings.length)} findings: ${findings.slice(0, SHOWN).join("; ")}; and ${String(more)} more, in the report`;
}

/** The first statement that mends something of it. One that is too long is in the report and the file alone. */
function mendsText({ details }: CheckResult): string {
  const mends = [...new Set(details.flatMap((each) => each.mends))];
  const [first] = mends;
  if (first === undefined) return "";
  const more = mends.length - 1;
  const and = more > 0 ? `, and ${more.toLocaleString("en")} more: --fix-sql <file>` : "";
  return first.length > LONGEST_STATEMENT ? "; mend: --fix-sql <file>" : `; mend: ${printable(first)}${and}`;
}

/** @param end stays */
function shortened(line: string, end = ""): string {
  const whole = line + end;
  return whole.length <= LONGEST ? whole : `${line.slice(0, LONGEST - 15 - end.length)} … (shortened)${end}`;
}

/** What is to be known and is no finding. */
export function remarks(report: Report): string[] {
  const own = resultsOf(report).flatMap((placed) =>
    placed.result.remarks.map((text) => `${placeText(placed)}: ${text}`),
  );
  return [...own, ...report.remarks].map((text) => shortened(`· ${text}`));
}

function placeText({ database, persona, result }: Placed): string {
  return `${[database, persona].filter(Boolean).join(" ")}: ${result.title}`;
}

/** The one line that says what it came to. */
export function verdict(report: Report, style: Style): string {
  const { asked, passed, failed, left, interrupted, milliseconds } = report;
  const isGood = failed + left.length === 0 && !interrupted;
  const seconds = (milliseconds / 1000).toFixed(1);
  const stays = left.length === 0 ? "nothing" : String(left.length);
  return style(
    isGood ? "green" : "red",
    `${String(passed)} ${passed === 1 ? "check" : "checks"}${asked.only || asked.skip ? " of those asked for" : ""} passed, ${String(failed)} failed, in ${seconds} s; left behind: ${stays}`,
  );
}
