import stringWidth from "string-width";

// Control characters, line and paragraph separators, and what turns the direction of writing.
const UNPRINTABLE = /[\0-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]/gu;

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** On one line, and nothing in it that a terminal would obey: names of others' objects and words of servers get here. */
export function printable(text: string): string {
  return text.replace(
    UNPRINTABLE,
    (character) => SHORT[character] ?? `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** What an error says, on one line. */
export function oneLine(error: unknown): string {
  return printable((error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").trim());
}

/** The first three, and how many more there are, unless that is one. */
export function few(texts: readonly string[]): string {
  const more = texts.length - 3;
  if (more === 1) return texts.join(", ");
  const first = texts.slice(0, 3).join(", ");
  return more > 0 ? `${first} and ${more.toLocaleString("en")} more` : first;
}

/** How many columns of a terminal a text takes. */
export function width(text: string): number {
  return stringWidth(text);
}

/** Fills a text with spaces to a width, on its right unless it stands to the right. */
export function pad(text: string, columns: number, toTheRight = false): string {
  const spaces = " ".repeat(Math.max(0, columns - width(text)));
  return toTheRight ? spaces + text : text + spaces;
}

/** Rows as lines whose columns are aligned: to the left, unless told otherwise. */
export function columns(
  rows: readonly (readonly string[])[],
  isRight: (column: number) => boolean = () => false,
): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => width(row[column]!))));
  return rows.map((row) =>
    row
      .map((cell, i) => pad(cell, widths[i]!, isRight(i)))
      .join("  ")
      .trimEnd(),
  );
}

/** An IPv6 address as a socket takes it, however it is written: `[::1]`, `::1`. */
export function withoutBrackets(host: string): string {
  return /^\[(.*)\]$/.exec(host)?.[1] ?? host;
}
