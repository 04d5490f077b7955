import { escapeLiteral } from "pg";
import { printable } from "../../clients/text";
import { heirOf, LEASED, leaseMark, probesActAsOwner, REVOKED } from "../../manifest/names";
import { attributesHeld, ROLE_ATTRIBUTES } from "../../manifest/object-kinds";
import type { ManifestDatabase } from "../../manifest/schema";
import type { SuperuserLogin } from "../deployment/deployment";
import { asSuperuser } from "./superuser";

/** A login with a lease's name and the comment that only a lease gives. Times are by PostgreSQL's clock. */
export interface MarkedLogin {
  readonly name: string;
  /** What its comment says after the mark, where a revocation could not drop it. */
  readonly revoked?: string;
  /** Roles that it is a member of. */
  readonly groups: readonly string[];
  /** A prepared transaction is its own, or holds its row. */
  readonly prepared: boolean;
  /** Such as SUPERUSER: no lease gives one. */
  readonly attributes: readonly string[];
  /** Seconds since the time in its name. */
  readonly age: number;
  /** VALID UNTIL; undefined where there is none. */
  readonly until?: string;
  /** Seconds since VALID UNTIL, negative before it; undefined where there is none. */
  readonly past?: number;
}

/** How many objects a line names. */
const NAMED = 3;

/**
 * SQL over pg_prepared_xacts p and the role r: what it prepared, what changed its row, and what holds a lock on it. Who prepares
 * as its group, which owns the transaction then, is as little to stay as the rest.
 */
export const PREPARED_BY_OR_ON = `(
  p.owner = r.rolname
  OR p.transaction IN (
    SELECT xmax FROM pg_authid WHERE oid = r.oid
    UNION ALL
    SELECT own.transactionid FROM pg_locks held JOIN pg_locks own USING (virtualtransaction)
    WHERE held.classid = 'pg_authid'::regclass AND held.objid = r.oid
      AND held.pid IS NULL AND own.pid IS NULL AND own.locktype = 'transactionid'
  )
)`;

/** All that Vault has ever leased for a database and that are still there. */
export async function markedLogins(
  superuser: SuperuserLogin,
  environment: string,
  database: ManifestDatabase,
): Promise<MarkedLogin[]> {
  const mark = leaseMark(environment, database.name);
  const found = await asSuperuser(superuser, (client) =>
    client.query<{ comment: string } & { [Field in keyof MarkedLogin]: MarkedLogin[Field] | null }>(
      `SELECT * FROM (
         SELECT rolname AS name, shobj_description(oid, 'pg_authid') AS comment,
           ARRAY(SELECT DISTINCT pg_get_userbyid(roleid)::text FROM pg_auth_members WHERE member = r.oid ORDER BY 1) AS groups,
           EXISTS (SELECT FROM pg_prepared_xacts p WHERE ${PREPARED_BY_OR_ON}) AS prepared,
           ${attributesHeld(ROLE_ATTRIBUTES)} AS attributes,
           extract(epoch FROM clock_timestamp())::float8 - right(rolname, 10)::float8 AS age,
           CASE WHEN isfinite(rolvaliduntil) THEN rolvaliduntil::timestamptz(0)::text END AS until,
           CASE WHEN isfinite(rolvaliduntil) THEN extract(epoch FROM clock_timestamp() - rolvaliduntil)::float8 END AS past
         FROM pg_roles r WHERE rolname ~ '${LEASED}'
       ) AS logins
       WHERE comment = $1 OR starts_with(comment, $1 || ': ') ORDER BY name`,
      [mark],
    ),
  );
  return found!.rows.map(({ comment, until, past, ...login }) => ({
    ...(login as MarkedLogin),
    revoked: comment.startsWith(mark + REVOKED) ? comment.slice((mark + REVOKED).length) : undefined,
    until: until ?? undefined,
    past: past ?? undefined,
  }));
}

/**
 * Who gets what a login owns: whom its revocation named, else whom its group's leases leave it to.
 * @returns undefined where neither is known
 */
export function heirFor(database: ManifestDatabase, { revoked, groups }: MarkedLogin): string | undefined {
  const { owner, personas, probeGroups } = database;
  const heirs = new Map(personas.map((persona) => [persona.groupRole, heirOf(database, persona)]));
  if (probeGroups) {
    heirs.set(probeGroups.owner, probesActAsOwner(database) ? owner : probeGroups.owner);
    heirs.set(probeGroups.short, probeGroups.short);
  }
  const group = groups.find((name) => heirs.has(name));
  if (group !== undefined) return heirs.get(group);
  // Vault's login may write comments, so only a declared role may inherit.
  const named = /; heir (\S+)$/.exec(revoked ?? "")?.[1];
  return [owner, ...heirs.keys()].find((role) => role === named);
}

/** What keeps logins from being dropped, or ends with them: for people, a line for each way and place. */
export async function heldBy(
  superuser: SuperuserLogin,
  names: readonly string[],
): Promise<Map<string, string[]>> {
  const held = new Map(names.map((name): [string, string[]] => [name, []]));
  const found = await asSuperuser(superuser, async (client) => {
    const others = await client.query<{ name: string; line: string }>(
      `SELECT usename AS name, format('%s open session%s in %s', count(*), CASE WHEN count(*) > 1 THEN 's' END, datname) AS line
         FROM pg_stat_activity WHERE usename = ANY ($1) GROUP BY usename, datname
       UNION ALL
       SELECT rolname, format('the prepared transaction %s in %s', gid, database)
         FROM pg_prepared_xacts p JOIN pg_roles r ON ${PREPARED_BY_OR_ON} WHERE rolname = ANY ($1)
       UNION ALL
       SELECT rolname, format('%s objects in %s, which allows no connections', count(*), datname)
         FROM pg_shdepend JOIN pg_roles r ON r.oid = refobjid JOIN pg_database b ON b.oid = dbid
         WHERE refclassid = 'pg_authid'::regclass AND rolname = ANY ($1) AND NOT datallowconn GROUP BY rolname, datname
       ORDER BY 1, 2`,
      [names],
    );
    const databases = await client.query<{ name: string | null }>(
      `SELECT DISTINCT datname AS name FROM pg_shdepend JOIN pg_roles r ON r.oid = refobjid LEFT JOIN pg_database b ON b.oid = dbid
       WHERE refclassid = 'pg_authid'::regclass AND rolname = ANY ($1) AND datallowconn IS NOT FALSE ORDER BY 1`,
      [names],
    );
    return { others: others.rows, databases: databases.rows };
  });
  const add = (name: string, line: string) => held.get(name)?.push(printable(line));
  for (const { name } of found!.databases)
    await asSuperuser(
      superuser,
      async (client) => {
        const { rows } = await client.query<{ login: string; how: string; count: number; objects: string[] }>(
          `SELECT rolname AS login, how, count(*)::int4, (array_agg(object ORDER BY object))[1:${String(NAMED)}] AS objects
           FROM (
             SELECT rolname, pg_describe_object(classid, objid, objsubid) AS object,
               CASE deptype WHEN 'o' THEN 'owns' WHEN 'r' THEN 'is named by' ELSE 'has privileges in' END AS how
             FROM pg_shdepend JOIN pg_roles r ON r.oid = refobjid
             WHERE refclassid = 'pg_authid'::regclass AND rolname = ANY ($1)
               AND dbid = ${name === null ? "0" : `(SELECT oid FROM pg_database WHERE datname = ${escapeLiteral(name)})`}
           ) AS entries GROUP BY 1, 2 ORDER BY 1, 2`,
          [names],
        );
        for (const { login, how, count, objects } of rows) {
          const more = count > objects.length ? ` and ${String(count - objects.length)} more` : "";
          add(
            login,
            `${name === null ? "on the server" : `in ${name}`}: ${how} ${objects.join(", ")}${more}`,
          );
        }
      },
      name ?? superuser.database,
    );
  for (const { name, line } of found!.others) add(name, line);
  return held;
}
