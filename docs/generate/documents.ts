import { constructs } from "./constructs";

/** What `npm run docs` writes, by file below docs/. */
export const DOCUMENTS: Readonly<Record<string, () => string>> = {
  "constructs.md": constructs,
};

/** The first lines of a generated document. */
export function heading(title: string, source: string): string {
  return `# ${title}\n\n<!-- Generated from ${source} by \`npm run docs\`: change it there. -->\n`;
}

/** A Markdown table. What a cell may not hold is written another way. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replace(/\s*\n\s*/g, " ")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
