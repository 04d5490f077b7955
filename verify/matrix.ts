import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import type { ManifestDatabase, ManifestPersona } from "./manifest";
import type { Target, Targets } from "./probes";
import { oneLine, type Evidence, type Recorder } from "./report";
import { describe, INSUFFICIENT_PRIVILEGE, type Outcome, type Session } from "./session";

/** What is asked of a session, about one object or place. */
interface Attempt {
  readonly on: string;
  readonly sql: string;
  /** The statement asks the catalogs and answers with a boolean called `held`. */
  readonly catalog?: boolean;
}

interface Place {
  readonly database: ManifestDatabase;
  readonly persona: ManifestPersona;
  readonly targets: Targets;
  readonly prefix: string;
  /** Nothing is made, not even in a transaction that is rolled back. */
  readonly readOnly: boolean;
}

interface Column {
  /** As in the manifest; DROP stands for dropping what is the owner's. */
  readonly privilege: string;
  attempts(place: Place): Attempt[];
}

/** The matrix's columns: for each privilege, the statements that use it. */
export const COLUMNS: readonly Column[] = [
  // CONNECT is the login itself and is recorded where the login happens.
  databaseColumn("TEMPORARY", () => "CREATE TEMPORARY TABLE leasehold_probe (id integer)"),
  databaseColumn("CREATE", ({ prefix }) => `CREATE SCHEMA ${ident(`${prefix}schema`)}`),
  {
    privilege: "schema.USAGE",
    // Looking a name up needs USAGE on its schema and no privilege on the object.
    attempts: ({ database: { schema }, targets }) => {
      const [table] = targets.tables;
      return table
        ? [{ on: schema, sql: `SELECT ${literal(table.name)}::regclass` }]
        : [inCatalog("schema", schema, "USAGE")];
    },
  },
  {
    privilege: "schema.CREATE",
    attempts: ({ database: { schema }, prefix, readOnly }) => [
      readOnly
        ? inCatalog("schema", schema, "CREATE")
        : { on: schema, sql: `CREATE TABLE ${ident(schema)}.${ident(`${prefix}made`)} (id integer)` },
    ],
  },
  tableColumn("SELECT", ({ name, probe }) => `SELECT * FROM ${name}${probe ? "" : " LIMIT 0"}`),
  tableColumn("INSERT", ({ name, probe }) =>
    probe ? `INSERT INTO ${name} (id) VALUES (2)` : `INSERT INTO ${name} SELECT WHERE false`,
  ),
  tableColumn(
    "UPDATE",
    ({ name, probe, column }) =>
      `UPDATE ${name} SET ${ident(column!)} = DEFAULT${probe ? "" : " WHERE false"}`,
  ),
  tableColumn("DELETE", ({ name, probe }) => `DELETE FROM ${name}${probe ? "" : " WHERE false"}`),
  tableColumn("TRUNCATE", ({ name, probe }) => (probe ? `TRUNCATE ${name}` : undefined)),
  tableColumn("REFERENCES", ({ name, probe }, { persona, database: { schema }, prefix }) =>
    // Without CREATE on the schema there is no table that could refer to another.
    probe && persona.privileges.schema.includes("CREATE")
      ? `CREATE TABLE ${ident(schema)}.${ident(`${prefix}refers`)} (id integer REFERENCES ${name})`
      : undefined,
  ),
  tableColumn("TRIGGER", ({ name, probe }) =>
    probe
      ? `CREATE TRIGGER leasehold_probe BEFORE UPDATE ON ${name} FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()`
      : undefined,
  ),
  {
    privilege: "tables.DROP",
    attempts: ({ targets }) =>
      targets.tables
        .filter(({ probe }) => probe)
        .map(({ name }) => ({ on: name, sql: `DROP TABLE ${name}` })),
  },
  sequenceColumn("USAGE", ({ name }, { persona }) => {
    // nextval takes USAGE or UPDATE, currval USAGE or SELECT: each shows USAGE only where the other is not held.
    const held: readonly string[] = persona.privileges.sequences;
    if (held.includes("USAGE") || !held.includes("UPDATE")) return `SELECT nextval(${literal(name)})`;
    return held.includes("SELECT") ? undefined : `SELECT currval(${literal(name)})`;
  }),
  sequenceColumn("SELECT", ({ name }) => `SELECT last_value FROM ${name}`),
  sequenceColumn("UPDATE", ({ name }) => `SELECT setval(${literal(name)}, 1)`),
  {
    privilege: "functions.EXECUTE",
    attempts: ({ targets }) =>
      targets.functions.map((target) =>
        target.probe
          ? { on: target.name, sql: `SELECT ${target.name}` }
          : inCatalog("function", target.name, "EXECUTE"),
      ),
  },
];

function databaseColumn(privilege: string, sql: (place: Place) => string): Column {
  return {
    privilege: `database.${privilege}`,
    attempts: (place) => [
      place.readOnly
        ? inCatalog("database", place.database.name, privilege)
        : { on: place.database.name, sql: sql(place) },
    ],
  };
}

/** The statement, or undefined where only the catalogs can tell without touching what is the users'. */
function tableColumn(privilege: string, sql: (target: Target, place: Place) => string | undefined): Column {
  return {
    privilege: `tables.${privilege}`,
    attempts: (place) =>
      place.targets.tables.map((target) => {
        const statement = target.column === undefined ? undefined : sql(target, place);
        return statement === undefined
          ? inCatalog("table", target.name, privilege)
          : { on: target.name, sql: statement };
      }),
  };
}

function sequenceColumn(
  privilege: string,
  sql: (target: Target, place: Place) => string | undefined,
): Column {
  return {
    privilege: `sequences.${privilege}`,
    attempts: (place) =>
      place.targets.sequences.map((target) => {
        const statement = target.probe ? sql(target, place) : undefined;
        return statement === undefined
          ? inCatalog("sequence", target.name, privilege)
          : { on: target.name, sql: statement };
      }),
  };
}

function inCatalog(kind: string, name: string, privilege: string): Attempt {
  return {
    on: name,
    sql: `SELECT has_${kind}_privilege(${literal(name)}, ${literal(privilege)}) AS held`,
    catalog: true,
  };
}

export function isDeclared({ privileges, actsAsOwner }: ManifestPersona, privilege: string): boolean {
  if (privilege === "tables.DROP") return actsAsOwner;
  const [kind, name] = privilege.split(".") as [keyof typeof privileges, string];
  return (privileges[kind] as readonly string[]).includes(name);
}

/** Sends the statements of every column and records a cell for each. */
export async function exercise(session: Session, place: Place, recorder: Recorder): Promise<void> {
  for (const column of COLUMNS) {
    const attempts = column.attempts(place);
    // Without probe objects, and where the users have none of the kind, there is nothing to try.
    if (attempts.length === 0) continue;
    const declared = isDeclared(place.persona, column.privilege);
    const evidence: Evidence[] = [];
    const start = performance.now();
    const findings: string[] = [];
    const answers = new Set<boolean | undefined>();
    for (const attempt of attempts) {
      const { allowed, got } = await answer(session, attempt, evidence);
      answers.add(allowed);
      if (allowed !== declared) findings.push(finding(column.privilege, attempt, declared, allowed, got));
    }
    recorder.cell({
      name: column.privilege,
      privilege: column.privilege,
      declared,
      proven: answers.size === 1 ? [...answers][0] : undefined,
      held: findings.length === 0,
      finding: findings.length === 0 ? undefined : findings.join("; "),
      evidence,
      milliseconds: performance.now() - start,
    });
  }
}

async function answer(
  session: Session,
  { sql, catalog }: Attempt,
  evidence: Evidence[],
): Promise<{ allowed?: boolean; got: string }> {
  let outcome: Outcome;
  try {
    outcome = await session.attemptAndRollBack(sql, evidence);
  } catch (error) {
    return { got: oneLine(error) };
  }
  if ("sqlstate" in outcome) {
    const got = `${describe(outcome)}, ${outcome.message}`;
    return { allowed: outcome.sqlstate === INSUFFICIENT_PRIVILEGE ? false : undefined, got };
  }
  if (!catalog) return { allowed: true, got: describe(outcome) };
  const held = outcome.rows[0]?.["held"] === true;
  evidence[evidence.length - 1] = { sent: sql, got: String(held) };
  return { allowed: held, got: String(held) };
}

function finding(
  privilege: string,
  { on, sql }: Attempt,
  declared: boolean,
  allowed: boolean | undefined,
  got: string,
): string {
  const name = privilege.split(".")[1]!;
  const said = declared ? "is declared" : "is not declared";
  const found = allowed === undefined ? "could not be tried" : allowed ? "is allowed" : "is refused";
  return `${name} on ${on} ${said} and ${found} (${sql} → ${got})`;
}
