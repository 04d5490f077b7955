import { escapeIdentifier as ident } from "pg";
import { few } from "../../clients/text";
import type { DatabaseContext } from "../context";
import { FIRST_OBJECT, isOwn, literals } from "../session/sql";
import type { Target, Targets, UsersObject } from "../session/targets";
import { schemaNames } from "./declared";

interface Found {
  readonly schema: string;
  readonly name: string;
  readonly oid: number;
  readonly owner: string;
  readonly untried: string | null;
  readonly alike: string;
}

/** A table that somebody holds, and who that is. */
export interface Locked {
  readonly table: string;
  readonly holder: string;
}

type Context = Pick<DatabaseContext, "owner" | "database">;

/** Adds to the users' objects what the catalogs know of them. */
export async function withFacts(context: Context, targets: Targets): Promise<[Targets, readonly Locked[]]> {
  const schemas = literals(schemaNames(context.database));
  const found = await context.owner.query<Found>(relationsSql(schemas));
  found.push(...(await context.owner.query<Found>(routinesSql(schemas))));
  const locks = await locksOf(context, schemas);
  const byName = new Map<string, UsersObject>();
  for (const { schema, name, untried, ...object } of found) {
    const full = `${ident(schema)}.${name}`;
    const holder = locks.get(object.oid);
    byName.set(full, { ...object, untried: untried ?? (holder === undefined ? undefined : "a lock") });
  }
  const add = (target: Target): Target =>
    target.probe ? target : { ...target, users: byName.get(target.name) };
  const { tables, sequences, functions } = targets;
  const own = [...byName].flatMap(([table, { oid }]) => {
    const holder = locks.get(oid);
    return holder === undefined ? [] : [{ table, holder }];
  });
  return [
    { ...targets, tables: tables.map(add), sequences: sequences.map(add), functions: functions.map(add) },
    own,
  ];
}

/**
 * A statement on a table plans and opens its parts as well. What is const-folded while it is planned (defaults, checks,
 * expressions of indexes and statistics, keys of partitions) must call nothing of the users'.
 */
function relationsSql(schemas: string): string {
  return `
    WITH RECURSIVE own AS (
      SELECT c.oid, c.relkind, nspname, relname, relowner, relacl
      FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
      WHERE nspname IN (${schemas}) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    ),
    tree(root, oid) AS (
      SELECT oid, oid FROM own WHERE relkind IN ('r', 'p')
      UNION
      SELECT root, inhrelid FROM tree JOIN pg_inherits ON inhparent = tree.oid
    ),
    parts AS (SELECT DISTINCT oid FROM tree),
    things(rel, class, oid) AS (
      SELECT oid, 'pg_class'::regclass, oid FROM parts
      UNION ALL
      SELECT adrelid, 'pg_attrdef', a.oid FROM pg_attrdef a JOIN parts ON parts.oid = adrelid
      UNION ALL
      SELECT conrelid, 'pg_constraint', o.oid FROM pg_constraint o JOIN parts ON parts.oid = conrelid
      UNION ALL
      SELECT indrelid, 'pg_class', indexrelid FROM pg_index JOIN parts ON parts.oid = indrelid
      UNION ALL
      SELECT stxrelid, 'pg_statistic_ext', s.oid FROM pg_statistic_ext s JOIN parts ON parts.oid = stxrelid
    ),
    calls AS (
      SELECT DISTINCT rel FROM things JOIN pg_depend d ON d.classid = class AND d.objid = things.oid
      WHERE refobjid >= ${FIRST_OBJECT} AND (
        refclassid = 'pg_proc'::regclass
        AND EXISTS (SELECT FROM pg_proc p WHERE p.oid = refobjid AND ${isOwn("pg_proc", "p", "proowner")})
        OR refclassid = 'pg_operator'::regclass
        AND EXISTS (SELECT FROM pg_operator o WHERE o.oid = refobjid AND ${isOwn("pg_operator", "o", "oprowner")})
        OR refclassid = 'pg_opclass'::regclass
        AND EXISTS (SELECT FROM pg_opclass o WHERE o.oid = refobjid AND ${isOwn("pg_opclass", "o", "opcowner")})
      )
      UNION
      SELECT attrelid FROM pg_attribute JOIN parts ON parts.oid = attrelid JOIN pg_type t ON t.oid = atttypid
      WHERE attnum > 0 AND NOT attisdropped AND typtype = 'd' AND t.oid >= ${FIRST_OBJECT}
        AND ${isOwn("pg_type", "t", "typowner")}
    ),
    reasons AS (
      SELECT root, min(CASE
        WHEN c.relkind = 'f' THEN 'a foreign table'
        WHEN relrowsecurity THEN 'row security'
        WHEN EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid) THEN 'a rule'
        WHEN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal) THEN 'a trigger'
        WHEN EXISTS (SELECT FROM calls WHERE rel = c.oid) THEN 'a function of the users'''
      END) AS reason
      FROM tree JOIN pg_class c ON c.oid = tree.oid
      GROUP BY root
    )
    SELECT nspname AS schema, quote_ident(relname) AS name, oid::int8::float8 AS oid,
      pg_get_userbyid(relowner)::text AS owner,
      CASE relkind WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view' WHEN 'f' THEN 'a foreign table' ELSE reason END
        AS untried,
      concat_ws(
        ' ', nspname, relkind, relowner, relacl,
        (SELECT min(attrelid::text) FROM pg_attribute WHERE attrelid = own.oid AND attacl IS NOT NULL)
      ) AS alike
    FROM own LEFT JOIN reasons ON root = own.oid`;
}

function routinesSql(schemas: string): string {
  return `
    SELECT nspname AS schema, quote_ident(proname) || '(' || oidvectortypes(proargtypes) || ')' AS name,
      p.oid::int8::float8 AS oid, pg_get_userbyid(proowner)::text AS owner, NULL AS untried,
      concat_ws(' ', nspname, proowner, proacl) AS alike
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
    WHERE nspname IN (${schemas})`;
}

/** Who holds, or waits for, a lock that a statement on a table would have to wait for, by the tables and what they are parts of. */
async function locksOf({ owner }: Context, schemas: string): Promise<Map<number, string>> {
  const found = await owner.query<{ oid: number; holder: string }>(
    `WITH RECURSIVE held AS (
       SELECT relation AS oid, concat(
         mode, ' of ', coalesce(usename, 'a prepared transaction'), ' (process ' || pid,
         ', ' || nullif(application_name, ''), CASE WHEN pid IS NOT NULL THEN ')' END,
         CASE WHEN NOT granted THEN ', who waits for it' END
       ) AS holder
       FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
       WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
         AND relation >= ${FIRST_OBJECT} AND pid IS DISTINCT FROM pg_backend_pid()
     ),
     above AS (
       SELECT oid, holder FROM held
       UNION
       SELECT inhparent, holder FROM above JOIN pg_inherits ON inhrelid = above.oid
     )
     SELECT c.oid::int8::float8 AS oid, min(holder) AS holder
     FROM above JOIN pg_class c ON c.oid = above.oid JOIN pg_namespace n ON n.oid = relnamespace
     WHERE nspname IN (${schemas}) AND relkind IN ('r', 'p')
     GROUP BY 1`,
  );
  return new Map(found.map(({ oid, holder }) => [oid, holder]));
}

/** As {@link withFacts} has them, at this moment. */
export async function lockedNow(context: Context, targets: readonly Target[]): Promise<Locked[]> {
  const locks = await locksOf(context, literals(schemaNames(context.database)));
  return targets.flatMap(({ name, users }) => {
    const holder = users && locks.get(users.oid);
    return holder === undefined ? [] : [{ table: name, holder }];
  });
}

/** Of a remark on who holds a table. */
export const lockKey = (table: string) => `lock ${table}`;

/** Once a run: who holds which tables. */
export function remarkLocks(
  { remark, remarked }: Pick<DatabaseContext, "remark" | "remarked">,
  locked: readonly Locked[],
): void {
  const byHolder = new Map<string, string[]>();
  for (const { table, holder } of locked) {
    if (remarked.has(lockKey(table))) continue;
    remarked.add(lockKey(table));
    byHolder.set(holder, [...(byHolder.get(holder) ?? []), table]);
  }
  for (const [holder, tables] of byHolder)
    remark(`${few(tables)}: by the catalogs alone, since there is an ${holder}`);
}
