import type { Client } from "pg";
import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { tokens } from "./sql-tokens";

/** In the server's log where a trap has run, and in the error of who ran into it. */
export const SPRUNG = "leasehold-trap";

/** Types of what statements give to functions of the catalogs; to those that take any type, an overload is a better match. */
const ONE =
  'integer bigint text name oid boolean regclass timestamptz interval record json jsonb "char" xid'.split(
    " ",
  );
const LISTS = ["integer[]", "text[]", "name[]", "oid[]", "aclitem[]", "aclitem"];
const SEVERAL = ["integer", "bigint", "text", "name", "oid", "boolean", "integer[]", "name[]"];
const MANY = ["text", "name", "oid", "boolean"];
/** Those that words stand for: IN, BETWEEN, LIKE, USING, NULLIF … */
const OPERATORS = [
  "=",
  "<>",
  "<",
  "<=",
  ">",
  ">=",
  "~~",
  "!~~",
  "~~*",
  "~",
  "!~",
  "||",
  "+",
  "-",
  "->",
  "->>",
  "@>",
  "<@",
  "&&",
];

interface Named {
  readonly name: string;
  readonly isAggregate: boolean;
  /** The type of its result, where it is always the same. */
  readonly result: string | null;
  /** How many arguments a call may give: where it takes any number, up to two more than it names. */
  readonly counts: number[];
}

/** Functions of pg_catalog whose names stand in statements, whoever is meant by them. */
export async function named(client: Client, statements: readonly string[]): Promise<Named[]> {
  const words = new Set(
    statements.flatMap((sql) =>
      [...sql.matchAll(/\b([a-z_][a-z0-9_]*)\s*\(/gi)].map((match) => match[1]!.toLowerCase()),
    ),
  );
  const { rows } = await client.query<Named>(
    `SELECT proname AS name, pg_catalog.bool_or(prokind OPERATOR(pg_catalog.=) 'a') AS "isAggregate",
       CASE WHEN pg_catalog.count(DISTINCT prorettype) OPERATOR(pg_catalog.=) 1 AND NOT pg_catalog.bool_or(typtype OPERATOR(pg_catalog.=) 'p' OR proretset)
         THEN pg_catalog.format_type(pg_catalog.min(prorettype), NULL) END AS result,
       pg_catalog.array_agg(DISTINCT pronargs::pg_catalog.int4 OPERATOR(pg_catalog.+) more) AS counts
     FROM pg_catalog.pg_proc JOIN pg_catalog.pg_type ON pg_type.oid OPERATOR(pg_catalog.=) prorettype,
       LATERAL pg_catalog.generate_series(
         OPERATOR(pg_catalog.-) pronargdefaults, CASE WHEN provariadic OPERATOR(pg_catalog.=) 0 THEN 0 ELSE 2 END
       ) AS more
     WHERE pronamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace AND prokind OPERATOR(pg_catalog.<>) 'w'
       AND proname OPERATOR(pg_catalog.=) ANY ($1)
     GROUP BY proname ORDER BY proname`,
    [[...words]],
  );
  return rows;
}

/** Operators that stand in statements, and those that words stand for. */
export function operators(statements: readonly string[]): string[] {
  const found = statements.flatMap((sql) => {
    try {
      return tokens(sql).flatMap(({ kind, text }) => (kind === "operator" ? [text] : []));
    } catch {
      return [];
    }
  });
  return [...new Set([...found, ...OPERATORS])].filter((text) => !["*", "=>", ":="].includes(text)).sort();
}

/**
 * An overload of each function and operator in a schema, for all combinations of plausible types of arguments, each of which
 * says so in the server's log, and raises an error, when it runs. The client may create in the schema.
 * @returns how many there are
 */
export async function plant(
  client: Client,
  schema: string,
  functions: readonly Named[],
  symbols: readonly string[],
): Promise<number> {
  const statements: string[] = [];
  const at = ident(schema);
  const say = (what: string) => literal(`${SPRUNG} ${schema}.${what}`);
  const body = (what: string, result: string) => `RETURNS ${result} LANGUAGE plpgsql AS $trap$ BEGIN
    RAISE LOG USING MESSAGE = ${say(what)};
    RAISE EXCEPTION USING MESSAGE = ${say(what)}; END $trap$`;
  const made = new Set<string>();
  const make = (name: string, args: readonly string[], result: string) => {
    const signature = `${name}(${args.join(", ")})`;
    if (made.has(signature)) return;
    made.add(signature);
    statements.push(`CREATE FUNCTION ${at}.${ident(name)}(${args.join(", ")}) ${body(signature, result)}`);
  };
  for (const { name, isAggregate, result, counts } of functions) {
    for (const args of counts.flatMap((count) => COMBINATIONS[count] ?? [])) {
      const returned = result ?? guess(name, args);
      if (!isAggregate) {
        make(name, args, returned);
        continue;
      }
      make("trap_step", [returned, ...args], returned);
      make("trap_end", [returned], returned);
      statements.push(
        `CREATE AGGREGATE ${at}.${ident(name)}(${args.join(", ")}) (SFUNC = ${at}.trap_step, STYPE = ${returned}, FINALFUNC = ${at}.trap_end)`,
      );
    }
  }
  for (const symbol of symbols)
    for (const [left, right] of OPERANDS) {
      const result = /^(\|\||->|[-+])/.test(symbol) ? left : "boolean";
      const called = `an operator that returns ${result}`;
      make(called, [left, right], result);
      statements.push(
        `CREATE OPERATOR ${at}.${symbol} (FUNCTION = ${at}.${ident(called)}, LEFTARG = ${left}, RIGHTARG = ${right})`,
      );
    }
  // Those that PostgreSQL does not allow, such as an aggregate of a pseudo-type, harm nobody.
  await client.query(
    `SET check_function_bodies = off;
     DO $plant$ DECLARE statement pg_catalog.text; BEGIN
       FOREACH statement IN ARRAY ARRAY[${statements.map((statement) => literal(statement)).join(", ")}] LOOP
         BEGIN EXECUTE statement; EXCEPTION WHEN OTHERS THEN NULL; END;
       END LOOP; END $plant$`,
  );
  const { rows } = await client.query<{ count: number }>(
    `SELECT pg_catalog.count(*)::pg_catalog.int4 AS count FROM pg_catalog.pg_proc
     WHERE pronamespace OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace($1)`,
    [at],
  );
  return rows[0]!.count;
}

/** By how many arguments there are. What takes more is left out. */
const COMBINATIONS: Readonly<Record<number, readonly (readonly string[])[]>> = {
  1: [...ONE, ...LISTS].map((type) => [type]),
  2: pairs(SEVERAL),
  3: MANY.flatMap((first) => pairs(MANY).map((rest) => [first, ...rest])),
};

const OPERANDS = [
  ...pairs(SEVERAL),
  ...["text[]", "oid[]", '"char"', "regclass", "information_schema.sql_identifier"].map((type) => [
    type,
    type,
  ]),
  ["oid", "regclass"],
] as [string, string][];

function pairs(types: readonly string[]): string[][] {
  return types.flatMap((left) => types.map((right) => [left, right]));
}

function guess(name: string, [first = "text"]: readonly string[]): string {
  if (name === "array_agg") return first.endsWith("[]") ? first : `${first}[]`;
  if (name === "unnest") return first.replace("[]", "");
  return /^(min|max|coalesce|greatest|least)$/.test(name) ? first : "text";
}
