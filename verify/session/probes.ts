import { DatabaseError, escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { ownersOf, probesActAsOwner } from "../../manifest/names";
import type { ManifestDatabase, ManifestSchema } from "../../manifest/schema";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import type { Session } from "./session";
import { isOwn } from "./sql";
import { join, NO_TARGETS, PROBE_PREFIX, type Target, type Targets } from "./targets";

type ProbeContext = Pick<DatabaseContext, "owner" | "custody" | "database" | "run">;

/** A run's probe objects are called this, followed by something. */
export function probePrefix(run: string): string {
  return `${PROBE_PREFIX}${run}_`;
}

/** A probe object's name, quoted and qualified. */
export function probeName(run: string, { name }: ManifestSchema, what: string): string {
  return `${ident(name)}.${ident(`${probePrefix(run)}${what}`)}`;
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
const NAME_OF_A_RUN = new RegExp(`^${PROBE_PREFIX}([0-9]{10})_`);

/**
 * Makes a table with a row, a sequence and two functions in each schema, as the owner; where that is a superuser, as the login's
 * group, and with the privileges that they would have as the owner's. They are in custody until the end.
 */
export async function makeProbes(context: ProbeContext, when: string): Promise<Targets> {
  const parts: Targets[] = [];
  for (const schema of context.database.schemas) {
    const named = (what: string) => probeName(context.run, schema, `${when}_${what}`);
    const [table, sequence] = [named("table"), named("sequence")];
    const functions = [`${named("function")}()`, `${named("definer")}()`] as const;
    const as = probeOwnerOf(context.database, schema);
    await make(context, as, `TABLE ${table}`, PROBE_COLUMNS);
    await make(context, as, `SEQUENCE ${sequence}`);
    await make(context, as, `FUNCTION ${functions[0]}`, "RETURNS integer LANGUAGE sql AS 'SELECT 1'");
    await make(
      context,
      as,
      `FUNCTION ${functions[1]}`,
      `RETURNS pg_catalog.name LANGUAGE sql SECURITY DEFINER SET search_path = ${DEFINER_PATH} AS ${literal(DEFINER_BODY)}`,
    );
    await context.owner.query(
      `${acting(context, as)}INSERT INTO ${table} VALUES (1, 'made by leasehold verify')`,
    );
    await grantAsOwnersLater(context, schema, "r", [`TABLE ${table}`]);
    await grantAsOwnersLater(context, schema, "S", [`SEQUENCE ${sequence}`]);
    await grantAsOwnersLater(
      context,
      schema,
      "f",
      functions.map((name) => `FUNCTION ${name}`),
    );
    parts.push({
      ...NO_TARGETS,
      tables: [probeTable(schema, table)],
      sequences: [{ name: sequence, probe: true, schema }],
      functions: functions.map((name) => ({ name, probe: true, schema })),
    });
  }
  return join(...parts);
}

/** Columns of a probe table; {@link probeTable} knows them. */
export const PROBE_COLUMNS = "(id integer PRIMARY KEY, note pg_catalog.text)";

export function probeTable(schema: ManifestSchema, name: string): Target {
  return { name, probe: true, schema, column: "note" };
}

/** Makes a table with row level security, on its owner as well: one is enough to try an attribute of the login. */
export async function makeGuarded(context: ProbeContext): Promise<Targets> {
  const schema = context.database.schemas[0]!;
  const name = probeName(context.run, schema, "guarded");
  await make(context, probeOwnerOf(context.database, schema), `TABLE ${name}`, PROBE_COLUMNS);
  await grantAsOwnersLater(context, schema, "r", [`TABLE ${name}`]);
  await context.owner.query(`ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
  return { ...NO_TARGETS, guarded: { name, probe: true, schema } };
}

/**
 * Makes a table in each schema that is not its owner's: as the leased login, which may create as a member of the owner. They
 * stay for one use, since as long as they are there the owner's statements on all tables of the schema fail.
 */
export async function withTablesOfAnotherRole<T>(
  context: ProbeContext,
  use: (targets: Targets) => Promise<T>,
): Promise<T> {
  const drops: (() => Promise<void>)[] = [];
  const ofAnotherRole: Target[] = [];
  try {
    for (const schema of context.database.schemas) {
      const name = probeName(context.run, schema, "of_another_role");
      drops.push(await make(context, undefined, `TABLE ${name}`, PROBE_COLUMNS));
      ofAnotherRole.push({ name, probe: true, schema });
    }
    return await use({ ...NO_TARGETS, ofAnotherRole });
  } finally {
    for (const drop of drops) await drop();
  }
}

/** Event triggers of the users' that probe objects, or what a persona tries to make, would run. */
export async function eventTriggers(owner: Session): Promise<string[]> {
  const found = await owner.query<{ name: string }>(
    `SELECT format('the event trigger %I', evtname) AS name FROM pg_event_trigger t
     WHERE evtenabled <> 'D' AND evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop')
       AND (
         evttags IS NULL OR evttags && ARRAY[
           'CREATE TABLE', 'CREATE SEQUENCE', 'CREATE FUNCTION', 'CREATE SCHEMA', 'CREATE TRIGGER', 'ALTER TABLE', 'ALTER SEQUENCE',
           'ALTER FUNCTION', 'DROP TABLE', 'DROP SEQUENCE', 'DROP FUNCTION', 'DROP SCHEMA', 'REINDEX', 'COMMENT'
         ]
       )
       AND ${isOwn("pg_event_trigger", "t", "evtowner")}
     ORDER BY 1`,
  );
  return found.map(({ name }) => name);
}

/** Event triggers that run at each login, the verifier's as well: PostgreSQL has them from 17 on. */
export async function loginTriggers(owner: Session): Promise<string[]> {
  const found = await owner.query<{ name: string }>(
    `SELECT format('the event trigger %I', evtname) AS name FROM pg_event_trigger
     WHERE evtenabled <> 'D' AND evtevent = 'login'
     ORDER BY 1`,
  );
  return found.map(({ name }) => name);
}

/** As whom the verifier's own session acts: the owner, or its group; undefined, which is the login itself, where there are several owners. */
export function actsAs(database: ManifestDatabase): string | undefined {
  if (!probesActAsOwner(database)) return database.probeGroups!.owner;
  return ownersOf(database).length === 1 ? database.owner : undefined;
}

/** Whose the probe objects of a schema are. */
export function probeOwnerOf(database: ManifestDatabase, { owner }: ManifestSchema): string {
  return probesActAsOwner(database) ? owner : database.probeGroups!.owner;
}

/**
 * Grants on what its group has made what PostgreSQL would on what the schema's owner makes
 * (https://www.postgresql.org/docs/18/sql-alterdefaultprivileges.html).
 * @param code of pg_default_acl: r, S or f
 */
async function grantAsOwnersLater(
  { owner: session, database }: ProbeContext,
  { name, owner }: ManifestSchema,
  code: "r" | "S" | "f",
  objects: readonly string[],
): Promise<void> {
  if (probesActAsOwner(database)) return;
  const grants = await session.query<{ privilege: string; grantee: string; option: string }>(
    `SELECT privilege_type AS privilege,
       CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee,
       CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS option
     FROM pg_roles r, LATERAL (
       SELECT COALESCE(
         (SELECT defaclacl FROM pg_default_acl
          WHERE defaclrole = r.oid AND defaclnamespace = 0 AND defaclobjtype = '${code}'),
         acldefault('${code === "S" ? "s" : code}', r.oid)
       )
       UNION ALL
       SELECT defaclacl FROM pg_default_acl
       WHERE defaclrole = r.oid AND defaclnamespace = $2::regnamespace AND defaclobjtype = '${code}'
     ) acls(acl), aclexplode(acl)
     WHERE rolname = $1 AND grantee <> r.oid`,
    [owner, ident(name)],
  );
  for (const object of objects) {
    await session.query(`REVOKE ALL ON ${object} FROM PUBLIC`);
    for (const { privilege, grantee, option } of grants)
      await session.query(`GRANT ${privilege} ON ${object} TO ${grantee}${option}`);
  }
}

/**
 * What goes before a statement that another role than the session's is to run, in one transaction with it.
 * @param as undefined for the login itself
 */
function acting({ database }: ProbeContext, as: string | undefined): string {
  if (as === actsAs(database)) return "";
  return `SET LOCAL ROLE ${as === undefined ? "NONE" : ident(as)}; `;
}

/** Into custody first: what a statement made that was cut off is dropped as well; what was refused was not made. */
async function make(
  context: ProbeContext,
  as: string | undefined,
  what: string,
  definition = "",
): Promise<() => Promise<void>> {
  const { owner, custody } = context;
  const role = acting(context, as);
  let refused = false;
  const drop = custody.hold(`probe ${what}`, async () => {
    if (!refused) await owner.query(`${role}DROP ${what.replace(" ", " IF EXISTS ")}`);
  });
  // Of an unlogged one nothing is published.
  const unlogged = what.startsWith("FUNCTION") ? "" : "UNLOGGED ";
  await owner.query(`${role}CREATE ${unlogged}${what} ${definition}`).catch((error: unknown) => {
    refused = error instanceof DatabaseError;
    throw error;
  });
  return drop;
}

/** Drops the probe objects of runs that were killed. Anybody can give a name like theirs, and make what depends on it. */
export async function dropStaleProbes({ owner, database }: DatabaseContext, check: Check): Promise<void> {
  for (const { name: schema } of database.schemas) {
    const found = await owner.query<{ drop: string; name: string }>(
      `SELECT format('DROP %s %s', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, oid::regclass) AS drop,
         relname AS name
       FROM pg_class c
       WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'S') AND starts_with(relname, '${PROBE_PREFIX}')
         AND NOT EXISTS (
           SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'i'
         )
       UNION ALL
       SELECT format('DROP ROUTINE %s', oid::regprocedure), proname
       FROM pg_proc
       WHERE pronamespace = $1::regnamespace AND starts_with(proname, '${PROBE_PREFIX}')`,
      [ident(schema)],
    );
    for (const { drop, name } of found) {
      const made = Number(NAME_OF_A_RUN.exec(name)?.[1] ?? Infinity);
      if (made > Date.now() / 1000 - STALE_SECONDS) continue;
      const outcome = await owner.attempt(drop, check);
      if ("sqlstate" in outcome) check.find(`${drop}: ${outcome.message}`);
    }
  }
}
