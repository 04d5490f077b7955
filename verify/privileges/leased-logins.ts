import { escapeLiteral as literal } from "pg";
import { groupRolesOf, LEASED, leaseMark, ownersOf } from "../../manifest/names";
import { attributesHeld, ROLE_ATTRIBUTES } from "../../manifest/object-kinds";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import type { Session } from "../session/session";
import { FIRST_OBJECT, literals } from "../session/sql";

interface LeasedLogin {
  readonly name: string;
  readonly canLogIn: boolean;
  /** Of CREATEROLE and the like. */
  readonly attributes: readonly string[];
  /** The roles that it is a member of. */
  readonly groups: readonly string[];
  /** PostgreSQL's own among these. */
  readonly predefined: readonly string[];
  readonly comment: string | null;
}

/**
 * Logins that are called like a lease's, in whatever group they are: no attribute, no role of PostgreSQL's own. Those in a
 * group of the database have the comment that a lease gives its login, which its holder can't write, and are in that group
 * alone. What a revocation could not drop has a comment of its own.
 */
export async function leasedLogins(context: DatabaseContext, check: Check): Promise<void> {
  const { owner: catalogs, environment, database } = context;
  const mark = leaseMark(environment, database.name);
  const found = await catalogs.read<LeasedLogin>(
    `WITH roles AS (SELECT *, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles),
     held AS (
       SELECT member, rolname::text AS name, roleid < ${FIRST_OBJECT} AS predefined
       FROM pg_auth_members JOIN pg_roles g ON g.oid = roleid
     )
     SELECT rolname AS name, rolcanlogin AS "canLogIn",
       ${attributesHeld(ROLE_ATTRIBUTES)} AS attributes,
       ARRAY(SELECT name FROM held WHERE member = oid GROUP BY name ORDER BY 1) AS groups,
       ARRAY(SELECT name FROM held WHERE member = oid AND predefined GROUP BY name ORDER BY 1) AS predefined,
       comment
     FROM roles
     WHERE rolname ~ '${LEASED}' OR starts_with(comment, ${literal(`${mark}: `)})
     ORDER BY 1`,
    check,
  );
  const ours = groupRolesOf(database);
  for (const { name, canLogIn, comment, attributes, predefined, ...login } of found) {
    const [group] = login.groups.filter((each) => ours.includes(each));
    const beyond = group === undefined ? predefined : login.groups.filter((each) => each !== group);
    if (comment?.startsWith(`${mark}: `)) {
      const state = canLogIn ? "can still log in" : "is closed";
      const why = comment.slice(mark.length + 2);
      check.find(
        `${name} is what a revocation could not drop and ${state} (${why}): npx leasehold sweep drops it, and so does the next deploy`,
      );
    } else if (group !== undefined && comment !== mark)
      check.find(
        `${name}, a member of ${group}, lacks the comment that a lease gives its login: DROP ROLE, or npx leasehold deploy where it was leased before the last upgrade`,
      );
    if (comment === mark && group === undefined)
      check.find(
        `${name} was leased and is in no group: a revocation took it out and could not end it; npx leasehold sweep does`,
      );
    const powers = [...attributes, ...beyond.map((role) => `membership in ${role}`)];
    if (powers.length > 0)
      check.find(`${name} is called like a leased login and has ${powers.join(", ")}: no lease gives that`);
  }
  await findPreparedTransactions(context, check);
  await remarkOnPreparedTransactions(catalogs, check);
}

/**
 * Each session acts as its heir, so that what a lease prepares is mostly its group's or the owner's, and is no finding as long as a
 * lease may still be about to end it. What holds a leased login, or has changed a role, is one at once: the login can't be dropped.
 */
async function findPreparedTransactions(
  { owner: catalogs, environment, database }: DatabaseContext,
  check: Check,
): Promise<void> {
  const mark = leaseMark(environment, database.name);
  const ours = [...ownersOf(database), ...groupRolesOf(database)];
  const longest = Math.max(...database.personas.map(({ databaseRole }) => databaseRole.maxTtl));
  const found = await catalogs.read<{
    gid: string;
    database: string;
    owner: string;
    holds: string | null;
    changes: boolean;
  }>(
    `WITH leased AS (
       SELECT oid, rolname FROM pg_roles, shobj_description(oid, 'pg_authid') AS comment
       WHERE rolname ~ '${LEASED}' AND (comment = ${literal(mark)} OR starts_with(comment, ${literal(`${mark}: `)}))
     ),
     locks AS (
       SELECT own.transactionid AS transaction, held.classid, held.objid, held.relation
       FROM pg_locks held JOIN pg_locks own USING (virtualtransaction)
       WHERE held.pid IS NULL AND own.pid IS NULL AND own.locktype = 'transactionid'
         AND (held.classid = 'pg_authid'::regclass OR held.relation = 'pg_authid'::regclass AND held.mode = 'RowExclusiveLock')
     ),
     prepared AS (
       SELECT gid, database, owner, prepared,
         (SELECT min(rolname) FROM leased JOIN locks ON objid = oid AND classid = 'pg_authid'::regclass
          WHERE locks.transaction::text = p.transaction::text) AS holds,
         EXISTS (SELECT FROM locks WHERE relation IS NOT NULL AND locks.transaction::text = p.transaction::text)
           AS changes,
         owner IN (${literals(ours)}) OR owner IN (SELECT rolname FROM leased) AS ours
       FROM pg_prepared_xacts p
     )
     SELECT gid, database, owner, holds, changes FROM prepared
     WHERE holds IS NOT NULL OR ours AND (changes OR prepared < now() - interval '${String(longest)} s')
     ORDER BY 2, 1`,
    check,
  );
  for (const { gid, database: where, owner, holds, changes } of found) {
    const why =
      holds !== null
        ? `holds the leased login ${holds}`
        : changes
          ? "has changed a role, such as its own login"
          : "is older than any lease can be";
    check.find(
      `the prepared transaction ${literal(gid)} in ${where}, of ${owner}, ${why}: ROLLBACK PREPARED ${literal(gid)} in that database ends it`,
    );
  }
}

/** A prepared transaction has no session that could be ended, and keeps its locks. */
async function remarkOnPreparedTransactions(catalogs: Session, check: Check): Promise<void> {
  const [server] = await catalogs.query<{ most: string; open: number }>(
    `SELECT current_setting('max_prepared_transactions') AS most,
       (SELECT count(*)::int FROM pg_prepared_xacts WHERE owner ~ '${LEASED}') AS open`,
  );
  if (!server || server.most === "0") return;
  check.remark(
    `max_prepared_transactions is ${server.most}: a leased login can prepare a transaction on its own role, which then can't be dropped, only closed, until npx leasehold sweep; leased logins have ${String(server.open)} prepared now`,
  );
}
