import { DatabaseError, escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { constructorOf, extensionOf } from "../privileges/catalogs";
import type { Custody } from "./custody";
import type { ManifestDatabase } from "../../manifest/schema";
import type { Session } from "./session";

/** An object of the schema as the checks need it: quoted and qualified. */
export interface Target {
  readonly name: string;
  /** Made by the verifier: its rows may be touched. Otherwise the users' own. */
  readonly probe: boolean;
  /** For a table that can be written: a column that takes DEFAULT. */
  readonly column?: string;
}

export interface Targets {
  readonly tables: readonly Target[];
  readonly sequences: readonly Target[];
  readonly functions: readonly Target[];
  /** Tables in the schema that a role other than its owner made. */
  readonly stray: readonly Target[];
  /** A table with row level security, on its owner as well. */
  readonly guarded?: Target;
}

export const NO_TARGETS: Targets = { tables: [], sequences: [], functions: [], stray: [] };

/** A run's probe objects are called this, followed by something. */
export function probePrefix(run: string): string {
  return `leasehold_probe_${run}_`;
}

/** Ten digits of seconds and a random rest: tells age, and two runs apart. */
export function newRun(): string {
  const random = Math.floor(Math.random() * 36 ** 4);
  return `${String(Math.floor(Date.now() / 1000))}_${random.toString(36).padStart(4, "0")}`;
}

/** Of the probe function that runs as the owner. */
export const DEFINER_BODY = "SELECT current_user";
export const DEFINER_PATH = "pg_catalog, pg_temp";

/** Older than any run: what carries such a number belongs to a run that was killed. */
const STALE_SECONDS = 3600;

/** Makes a table with a row, a sequence and a function as the owner. They are in custody until the end. */
export async function makeProbes(
  owner: Session,
  custody: Custody,
  { schema }: ManifestDatabase,
  prefix: string,
  when: string,
): Promise<Targets> {
  const base = `${prefix}${when}`;
  const table = `${ident(schema)}.${ident(`${base}_table`)}`;
  const sequence = `${ident(schema)}.${ident(`${base}_sequence`)}`;
  const fn = `${ident(schema)}.${ident(`${base}_function`)}()`;
  const definer = `${ident(schema)}.${ident(`${base}_definer`)}()`;
  for (const [drop, create] of [
    [`TABLE ${table}`, `TABLE ${table} ${PROBE_COLUMNS}`],
    [`SEQUENCE ${sequence}`, `SEQUENCE ${sequence}`],
    [`FUNCTION ${fn}`, `FUNCTION ${fn} RETURNS integer LANGUAGE sql AS 'SELECT 1'`],
    [
      `FUNCTION ${definer}`,
      `FUNCTION ${definer} RETURNS pg_catalog.name LANGUAGE sql SECURITY DEFINER SET search_path = ${DEFINER_PATH} AS ${literal(DEFINER_BODY)}`,
    ],
  ] as const) {
    await make(owner, custody, drop, `CREATE ${create}`);
  }
  await owner.query(`INSERT INTO ${table} VALUES (1, 'made by leasehold verify')`);
  return {
    ...NO_TARGETS,
    tables: [probeTable(table)],
    sequences: [{ name: sequence, probe: true }],
    functions: [fn, definer].map((name) => ({ name, probe: true })),
  };
}

/** Columns of a probe table; {@link probeTable} knows them. */
export const PROBE_COLUMNS = "(id integer PRIMARY KEY, note pg_catalog.text)";

export function probeTable(name: string): Target {
  return { name, probe: true, column: "note" };
}

/** Makes a table with row level security, on its owner as well. */
export async function makeGuarded(
  owner: Session,
  custody: Custody,
  { schema }: ManifestDatabase,
  prefix: string,
): Promise<Targets> {
  const name = `${ident(schema)}.${ident(`${prefix}guarded`)}`;
  await make(owner, custody, `TABLE ${name}`, `CREATE TABLE ${name} ${PROBE_COLUMNS}`);
  await owner.query(`ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
  return { ...NO_TARGETS, guarded: { name, probe: true } };
}

/**
 * Makes a table that is not the owner's: as the leased login, which may create as a member of the owner. It stays for one
 * use, since as long as it is there the owner's statements on all tables of the schema fail.
 */
export async function withStray<T>(
  owner: Session,
  custody: Custody,
  { schema }: ManifestDatabase,
  prefix: string,
  use: (targets: Targets) => Promise<T>,
): Promise<T> {
  const name = `${ident(schema)}.${ident(`${prefix}stray`)}`;
  // Statements that are sent as one are one transaction.
  const asLogin = `SET LOCAL ROLE NONE; CREATE TABLE ${name} ${PROBE_COLUMNS}`;
  // Dropping is the schema's owner's too.
  const drop = await make(owner, custody, `TABLE ${name}`, asLogin);
  try {
    return await use({ ...NO_TARGETS, stray: [{ name, probe: true }] });
  } finally {
    await drop();
  }
}

/** Into custody first: what a statement made that was cut off is dropped as well; what was refused was not made. */
async function make(
  owner: Session,
  custody: Custody,
  what: string,
  create: string,
): Promise<() => Promise<void>> {
  let refused = false;
  const drop = custody.hold(`probe ${what}`, async () => {
    if (!refused) await owner.query(`DROP ${what.replace(" ", " IF EXISTS ")}`);
  });
  await owner.query(create).catch((error: unknown) => {
    refused = error instanceof DatabaseError;
    throw error;
  });
  return drop;
}

/**
 * Drops the probe objects of runs that were killed. Anybody can give a name like theirs, and make what depends on it.
 * @returns those that can't be dropped, each with the reason
 */
export async function dropStaleProbes(owner: Session, { schema }: ManifestDatabase): Promise<string[]> {
  const rows = await owner.query<{ drop: string; name: string }>(
    `SELECT format('DROP %s %s', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, oid::regclass) AS drop, relname AS name
     FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'S') AND relname LIKE 'leasehold\\_probe\\_%'
     UNION ALL
     SELECT format('DROP ROUTINE %s', oid::regprocedure), proname
     FROM pg_proc WHERE pronamespace = $1::regnamespace AND proname LIKE 'leasehold\\_probe\\_%'`,
    [ident(schema)],
  );
  const stale = rows.filter(({ name }) => {
    const made = Number(/^leasehold_probe_([0-9]{10})_/.exec(name)?.[1] ?? Infinity);
    return made < Date.now() / 1000 - STALE_SECONDS;
  });
  const kept: string[] = [];
  for (const { drop } of stale) {
    const outcome = await owner.attempt(drop);
    if ("sqlstate" in outcome) kept.push(`${drop}: ${outcome.message}`);
  }
  return kept;
}

/** The users' own objects in the schema, as they are now; an extension's are the extension's. */
export async function ownObjects(owner: Session, { schema }: ManifestDatabase): Promise<Targets> {
  const notProbe = (column: string) => `${column} NOT LIKE 'leasehold\\_probe\\_%'`;
  const place = `${literal(ident(schema))}::regnamespace`;
  const qualified = (column: string) => `${literal(`${ident(schema)}.`)} || quote_ident(${column})`;
  const tables = await owner.query<{ name: string; column: string | null }>(
    `SELECT ${qualified("relname")} AS name, CASE WHEN relkind IN ('r', 'p') THEN (
       SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum LIMIT 1) END AS column
     FROM pg_class c WHERE relnamespace = ${place} AND relkind IN ('r', 'p', 'v', 'm', 'f') AND ${notProbe("relname")} AND NOT EXISTS (${extensionOf("pg_class", "c.oid", "c.relowner")}) ORDER BY 1`,
  );
  const sequences = await owner.query<{ name: string }>(
    `SELECT ${qualified("relname")} AS name FROM pg_class c WHERE relnamespace = ${place} AND relkind = 'S' AND ${notProbe("relname")} AND NOT EXISTS (${extensionOf("pg_class", "c.oid", "c.relowner")}) ORDER BY 1`,
  );
  const functions = await owner.query<{ name: string }>(
    `SELECT ${qualified("proname")} || '(' || oidvectortypes(proargtypes) || ')' AS name FROM pg_proc p WHERE pronamespace = ${place} AND ${notProbe("proname")} AND NOT EXISTS (${extensionOf("pg_proc", "p.oid", "p.proowner")}) AND NOT EXISTS (${constructorOf("p.oid")}) ORDER BY 1`,
  );
  return {
    tables: tables.map(({ name, column }) => ({ name, probe: false, column: column ?? undefined })),
    sequences: sequences.map(({ name }) => ({ name, probe: false })),
    functions: functions.map(({ name }) => ({ name, probe: false })),
    stray: [],
  };
}

export function join(...parts: readonly Targets[]): Targets {
  return {
    tables: parts.flatMap(({ tables }) => tables),
    sequences: parts.flatMap(({ sequences }) => sequences),
    functions: parts.flatMap(({ functions }) => functions),
    stray: parts.flatMap(({ stray }) => stray),
    guarded: parts.find(({ guarded }) => guarded)?.guarded,
  };
}
