import { tokens, type Token } from "../../support/sql-tokens";

/** What PostgreSQL's grammar reads before a parenthesis as a word of its own; none is looked up in a schema. */
const BEFORE_PARENTHESIS = new Set(
  "all and any array as between by case check coalesce column conflict exists extract filter from greatest group grouping having if in index into is join key lateral least limit loop not nullif of offset on only operator or order over partition perform references return returning row rows select set some substring then trim union unique using values when where while with within".split(
    " ",
  ),
);
/** Types that PostgreSQL's grammar has words for, and so looks up in pg_catalog alone. */
const GRAMMARS_TYPES =
  /^(bigint|bit|boolean|char|character|dec|decimal|double|float|int|integer|interval|json|numeric|real|smallint|time|timestamp|varchar)$/i;
/** Words that stand for operators or functions, which are then looked up by their bare names. */
const HIDDEN_OPERATORS = /^(like|ilike|similar|between|natural|nullif|overlaps)$/i;
/** `x = y` that is no comparison: settings, and what RAISE is told. */
const ASSIGNED =
  /^(search_path|role|rolpassword|lock_timeout|statement_timeout|message|detail|hint|errcode|column|constraint|datatype|table|schema)$/i;
/** Where a statement, or plpgsql's next one, begins. */
const STARTS = /^(;|begin|then|else|loop|\$[a-z_]*\$)$/i;

/** The functions through which Vault leases are in a schema of their own. */
const isQualified = (name: string) => /^(pg_catalog|leasehold)\./i.test(name);

/** Names and operators that are looked up on the search path, as `line 3: array_agg`. */
export function unqualified(sql: string): string[] {
  const all = tokens(sql);
  const findings: string[] = [];
  const ctes = new Set<string>();
  let start = 0;
  for (const [i, token] of all.entries()) {
    const { kind, text, line } = token;
    const before = all[i - 1];
    const after = all[i + 1];
    const find = (what = text) => findings.push(`line ${String(line)}: ${what}`);
    const follows = (pattern: RegExp, of = before) => of !== undefined && pattern.test(of.text);
    if (follows(STARTS)) start = i;
    const statement = all[start]!.text.toLowerCase();
    if (
      kind === "name" &&
      after?.text.toLowerCase() === "as" &&
      all[i + 2]?.text === "(" &&
      !follows(/\)|from|join/i)
    )
      ctes.add(text.toLowerCase());
    if (kind === "name" && after?.text === "(" && !isQualified(text)) {
      const isType = GRAMMARS_TYPES.test(text) && follows(/^(::|as|[a-z_]\w*)$/i);
      if (!BEFORE_PARENTHESIS.has(text.toLowerCase()) && !isType && !follows(/^(as|into)$/i))
        find(`${text}(`);
      if (/^using$/i.test(text)) find("JOIN … USING, which compares by =");
      if (/^in$/i.test(text) && !follows(/^(role|schema)$/i)) find("IN (…), which compares by =");
    }
    if (kind === "name" && HIDDEN_OPERATORS.test(text)) find();
    if (kind === "name" && /^distinct$/i.test(text) && follows(/^(is|not)$/i)) find("IS DISTINCT FROM");
    if (kind === "operator" && !isExempt(all, i)) find();
    if (kind === "name" && follows(/^(from|join)$/i)) {
      const isRole = statement === "revoke" || follows(/^distinct$/i, all[i - 2]);
      const isCall = after?.text === "(";
      const isWord = /^(lateral|only)$/i.test(text);
      if (!isRole && !isCall && !isWord && !isQualified(text) && !ctes.has(text.toLowerCase()))
        find(`FROM ${text}`);
    }
    if (kind === "name" && before?.text === "::" && !isQualified(text) && !GRAMMARS_TYPES.test(text))
      find(`::${text}`);
  }
  return [...findings, ...declared(all)];
}

/** `*` of all columns, signs of literals, OPERATOR(pg_catalog.=), settings and plpgsql's own signs. */
function isExempt(all: readonly Token[], i: number): boolean {
  const { text } = all[i]!;
  const [before, beforeThat] = [all[i - 1], all[i - 2]];
  const last = all.slice(Math.max(0, i - 4), i).map((token) => token.text.toLowerCase());
  if (last.join("") === "operator(pg_catalog.") return true;
  if (text === "*") return /^(select|\(|,|\.)$/i.test(before?.text ?? "");
  if (text === "-") return all[i + 1]?.kind === "number" && /^(\(|,|=|default)$/i.test(before?.text ?? "");
  if (text === "=" && before?.kind === "name")
    return ASSIGNED.test(before.text) && /^(set|local|using|,|reset)$/i.test(beforeThat?.text ?? "");
  return false;
}

/** Types of plpgsql's variables, which are looked up before the block's first statement has pinned the search path. */
function declared(all: readonly Token[]): string[] {
  const findings: string[] = [];
  for (let i = 0; i < all.length; i += 1) {
    if (all[i]!.text.toLowerCase() !== "declare") continue;
    for (i += 1; i < all.length && all[i]!.text.toLowerCase() !== "begin"; i += 1) {
      const type = all[i + 1]!.text.toLowerCase() === "constant" ? all[i + 2]! : all[i + 1]!;
      if (!isQualified(type.text) && !GRAMMARS_TYPES.test(type.text) && type.text.toLowerCase() !== "record")
        findings.push(`line ${String(type.line)}: ${all[i]!.text} ${type.text}`);
      while (all[i]!.text !== ";") i += 1;
    }
  }
  return findings;
}

/** What each DO block does not pin before all else, as `line 1: lock_timeout`. */
export function unpinned(sql: string): string[] {
  const findings: string[] = [];
  const all = tokens(sql);
  all.forEach(({ text, line }, i) => {
    if (text.toLowerCase() !== "do" || !/^\$[a-z_]*\$$/.test(all[i + 1]?.text ?? "")) return;
    const end = all.findIndex((token, j) => j > i + 1 && token.text === all[i + 1]!.text);
    const begin = all.findIndex((token, j) => j > i && token.text.toLowerCase() === "begin");
    const settings = pinned(all.slice(begin + 1, end));
    if (!/^pg_catalog, ?pg_temp$/.test(settings.get("search_path") ?? ""))
      findings.push(`line ${String(line)}: search_path`);
    if (!settings.has("lock_timeout")) findings.push(`line ${String(line)}: lock_timeout`);
  });
  return findings;
}

/** Settings of a block's first statements, `PERFORM pg_catalog.set_config(…), …` and `SET LOCAL …`, and of no later ones. */
function pinned(body: readonly Token[]): Map<string, string> {
  const text = body.map((token) => token.text).join(" ");
  const call = String.raw`pg_catalog\.set_config \( '(\w+)' , '([^']*)' , true \)`;
  const settings = new Map<string, string>();
  for (const statement of text.split(" ; ")) {
    const local = /^SET LOCAL (\w+) (?:=|TO) (.*)$/i.exec(statement);
    if (local) settings.set(local[1]!, local[2]!.replaceAll("'", "").replace(" ,", ","));
    else if (new RegExp(`^PERFORM ${call}( , ${call})*$`, "i").test(statement))
      for (const [, name, value] of statement.matchAll(new RegExp(call, "g"))) settings.set(name!, value!);
    else break;
  }
  return settings;
}
