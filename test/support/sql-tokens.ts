/** A piece of SQL, and where it begins. */
export interface Token {
  readonly text: string;
  readonly line: number;
  readonly kind: "name" | "operator" | "string" | "number" | "punctuation";
}

/** Names, qualified ones and quoted ones whole: `a."b".c`, and the placeholders `:"owner"` and `"{{name}}"`. */
const PART = String.raw`(?::?"(?:[^"]|"")*"|[A-Za-z_][\w$]*)`;
const KINDS = [
  ["space", String.raw`\s+|--[^\n]*|/\*[\s\S]*?\*/`],
  ["string", String.raw`:?'(?:[^']|'')*'|\$[a-z_]*\$`],
  ["name", String.raw`${PART}(?:\.${PART})*|:[a-z]+\b|\{\{[a-z]+\}\}|\$\d+`],
  ["number", String.raw`\d+(?:\.\d+)?(?:e\d+)?`],
  ["punctuation", String.raw`::|:=|=>|\.\.|[()[\],;.:]`],
  ["operator", String.raw`[-+*/<>=~!@#%^&|${"`"}?]+`],
] as const;
const TOKEN = new RegExp(KINDS.map(([kind, pattern]) => `(?<${kind}>${pattern})`).join("|"), "y");

/**
 * Reads SQL as PostgreSQL's scanner does, comments left out. A body between dollar quotes is read as what is around it.
 * @throws Error for what is no SQL
 */
export function tokens(sql: string): Token[] {
  const found: Token[] = [];
  let line = 1;
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < sql.length;) {
    const at = TOKEN.lastIndex;
    const { groups } = TOKEN.exec(sql) ?? {};
    if (!groups) throw new Error(`line ${String(line)}: no SQL: ${sql.slice(at, at + 20)}`);
    const [kind, text] = Object.entries(groups).find(
      ([, matched]) => (matched as string | undefined) !== undefined,
    )!;
    if (kind !== "space") found.push({ kind: kind as Token["kind"], text, line });
    line += text.split("\n").length - 1;
  }
  return found;
}
