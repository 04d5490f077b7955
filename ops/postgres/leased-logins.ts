import { escapeIdentifier, escapeLiteral, type Client } from "pg";
import { LEASED_PREFIX, leaseMark } from "../../manifest/names";
import { ROLE_ATTRIBUTES, routineName } from "../../manifest/object-kinds";
import { DEFAULT_CONNECTION_LIMIT, type ManifestDatabase } from "../../manifest/schema";
import type { Deployment, SuperuserLogin } from "../deployment/deployment";
import { PREPARED_BY_OR_ON } from "./marked-logins";
import { asSuperuser, whereverNamed, type StatementError } from "./superuser";

interface LeasedLogin {
  readonly name: string;
  /**
   * Who gets what it made.
   * @default - the owner, with its callers' rights
   */
  readonly heir?: string;
}

/** As many objects as one transaction has locks for, beside what else a server has to do. */
const BATCH = 200;
const CLOSE_MILLISECONDS = 10_000;
/** Ten times what a revocation gives all of it: for one statement, which fires the event triggers of others. */
const HAND_OVER_TIMEOUT = "30s";
/** A lock that was not available in time, and a row that another session has just changed. */
const CONTENDED = ["55P03", "XX000"];
const DEPENDENT_OBJECTS = "2BP01";
const LEASED_NAMES = `${LEASED_PREFIX}%`;
/** Of the role `member`. */
const POWERFUL = Object.values(ROLE_ATTRIBUTES)
  .map((column) => `member.${column}`)
  .join(" OR ");

/**
 * Marks the living leases that were made before creation statements did. What a holder could have forged, a login with an
 * attribute, is left for verify to find.
 * @returns their names
 */
export async function markLeases(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const marked: string[] = [];
  await asSuperuser(deployment.superuserOf(database), async (client) => {
    for (const { groupRole, limit } of leasedGroups(database)) {
      const { rows } = await client.query<{ name: string }>(
        `SELECT member.rolname AS name FROM pg_auth_members m
         JOIN pg_roles member ON member.oid = m.member JOIN pg_roles grp ON grp.oid = m.roleid
         WHERE grp.rolname = $1 AND member.rolname LIKE '${LEASED_NAMES}' AND member.rolvaliduntil IS NOT NULL
           AND shobj_description(member.oid, 'pg_authid') IS NULL
           AND NOT (${POWERFUL})
         GROUP BY 1 ORDER BY 1`,
        [groupRole],
      );
      const mark = escapeLiteral(leaseMark(deployment.manifest.environment, database.name));
      for (const { name } of rows) {
        const login = escapeIdentifier(name);
        await client.query(`COMMENT ON ROLE ${login} IS ${mark}`);
        // Its holder may hold its row; the mark does not need that.
        await client.query(`ALTER ROLE ${login} CONNECTION LIMIT ${String(limit)}`).catch(() => undefined);
        marked.push(name);
      }
    }
  });
  return marked;
}

function leasedGroups({ personas, probeGroups }: ManifestDatabase): { groupRole: string; limit: number }[] {
  return [
    ...personas.map(({ groupRole, databaseRole }) => ({ groupRole, limit: databaseRole.connectionLimit })),
    ...Object.values(probeGroups ?? {}).map((groupRole) => ({ groupRole, limit: DEFAULT_CONNECTION_LIMIT })),
  ];
}

/** In the database in which each was prepared, as PostgreSQL demands. */
async function endPrepared(superuser: SuperuserLogin, login: string): Promise<void> {
  const prepared = await asSuperuser(superuser, (client) =>
    client.query<{ gid: string; database: string }>(
      `SELECT gid, database FROM pg_prepared_xacts p JOIN pg_roles r ON ${PREPARED_BY_OR_ON} WHERE rolname = $1`,
      [login],
    ),
  );
  for (const { gid, database } of prepared!.rows)
    await asSuperuser(
      superuser,
      (client) => client.query(`ROLLBACK PREPARED ${escapeLiteral(gid)}`),
      database,
    );
}

/**
 * Drops the leased logins that are members of groups, as the superuser: as long as one is, PostgreSQL 16 and later does not
 * take the group from Vault's login, which has given it on (`dependent privileges exist`).
 * @returns their names
 */
export async function dropLogins(
  deployment: Deployment,
  database: ManifestDatabase,
  groups: readonly string[],
): Promise<string[]> {
  if (groups.length === 0) return [];
  const superuser = deployment.superuserOf(database);
  const found = await asSuperuser(superuser, async (client) => {
    const { rows } = await client.query<LeasedLogin>(
      `SELECT member.rolname AS name, min(CASE WHEN acts.member IS NULL THEN grp.rolname ELSE $2 END) AS heir
       FROM pg_auth_members m JOIN pg_roles member ON member.oid = m.member JOIN pg_roles grp ON grp.oid = m.roleid
       LEFT JOIN pg_auth_members acts ON acts.member = grp.oid AND acts.roleid = (SELECT oid FROM pg_roles WHERE rolname = $2)
       WHERE grp.rolname = ANY ($1) AND member.rolname LIKE '${LEASED_NAMES}' GROUP BY 1 ORDER BY 1`,
      [groups, database.owner],
    );
    return rows;
  });
  for (const login of found ?? []) await dropLogin(superuser, login, database);
  return (found ?? []).map(({ name }) => name);
}

/** @throws StatementError, 57014 where a statement takes longer than its bound */
export async function dropLogin(
  superuser: SuperuserLogin,
  { name, heir }: LeasedLogin,
  database: ManifestDatabase,
): Promise<void> {
  await closeLogin(superuser, name);
  await whereverNamed(superuser, heir ? [name, heir] : [name], database.name, async (client, existing) => {
    await client.query(`SET statement_timeout = '${HAND_OVER_TIMEOUT}'`);
    if (heir && existing.includes(heir)) await handOver(client, name, heir);
    else await emptyGroup(client, name, database.owner);
  });
  await asSuperuser(superuser, (client) => client.query(`DROP ROLE ${escapeIdentifier(name)}`));
}

/**
 * Ends the sessions of a login and stops it from logging in again. Where it locks its own row, in a transaction that is open or
 * prepared, its sessions are ended until the lock is free.
 * @throws StatementError (55P03) where that takes longer than its bound
 */
async function closeLogin(superuser: SuperuserLogin, name: string): Promise<void> {
  const end = performance.now() + CLOSE_MILLISECONDS;
  const endSessions = (milliseconds: number) =>
    asSuperuser(superuser, (client) =>
      client.query("SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity WHERE usename = $1", [
        name,
        milliseconds,
      ]),
    );
  for (;;) {
    const closing = { isWaiting: true };
    const closed = asSuperuser(superuser, (client) =>
      client.query(`SET lock_timeout = '1s'; ALTER ROLE ${escapeIdentifier(name)} NOLOGIN`),
    )
      .then(
        () => undefined,
        (error: unknown) => error as StatementError,
      )
      .finally(() => (closing.isWaiting = false));
    // While ALTER ROLE waits, it is the next to get the row, before any new session of the login.
    do {
      await endSessions(0);
      await endPrepared(superuser, name);
    } while (closing.isWaiting);
    const error = await closed;
    if (!error) break;
    if (!CONTENDED.includes(error.code ?? "") || performance.now() > end) throw error;
  }
  await endSessions(5000);
  await endPrepared(superuser, name);
}

/**
 * Drops roles that go, in all databases, and gives what they own to the owner. Terraform's provider would give what they make until
 * it drops them to the superuser, a SECURITY DEFINER function too.
 * @returns their names
 */
export async function dropRoles(
  deployment: Deployment,
  database: ManifestDatabase,
  roles: readonly string[],
): Promise<string[]> {
  const superuser = deployment.superuserOf(database);
  const found = await asSuperuser(superuser, async (client) => {
    // Logins first: they are members of the others.
    const { rows } = await client.query<{ name: string }>(
      "SELECT rolname AS name FROM pg_roles WHERE rolname = ANY ($1) AND NOT rolsuper ORDER BY rolcanlogin DESC, 1",
      [roles],
    );
    return rows.map(({ name }) => name);
  });
  const dropped: string[] = [];
  for (const name of found ?? []) {
    try {
      await dropLogin(superuser, { name }, database);
      dropped.push(name);
    } catch (error) {
      // A database that allows no connection depends on it. Terraform will fail on it too, and says so.
      if ((error as StatementError).code !== DEPENDENT_OBJECTS) throw error;
    }
  }
  return dropped;
}

/**
 * Gives what group roles own in a database to its owner, before the groups go.
 * @returns those that owned something
 */
export async function emptyGroups(
  deployment: Deployment,
  database: ManifestDatabase,
  groups: readonly string[],
): Promise<string[]> {
  const emptied = await asSuperuser(
    deployment.superuserOf(database),
    async (client) => {
      const { rows } = await client.query<{ name: string }>(
        `SELECT DISTINCT rolname AS name FROM pg_shdepend JOIN pg_roles r ON r.oid = refobjid
         WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o' AND rolname = ANY ($1) AND rolname <> $2
           AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1`,
        [groups, database.owner],
      );
      for (const { name } of rows) await emptyGroup(client, name, database.owner);
      return rows.map(({ name }) => name);
    },
    database.name,
  );
  return emptied ?? [];
}

const ROUTINE = routineName("p");
/** A dependency on a user's function or operator: pg_depend has no rows for PostgreSQL's own. */
const CALLS = (catalog: string, oid: string) =>
  `EXISTS (SELECT FROM pg_depend WHERE classid = '${catalog}'::regclass AND objid = ${oid}
     AND refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass))`;

/**
 * Gives all that a group role owns in the session's database to the owner; Terraform's provider would give it to the superuser. What
 * runs or reads with its owner's rights does so with its caller's from then on, since the group's members wrote it; a rule, which can't,
 * is disabled, what ANALYZE, autovacuum's too, evaluates with the table's owner's rights is dropped, and nobody else refreshes a
 * materialized view.
 */
export async function emptyGroup(client: Client, group: string, owner: string | undefined): Promise<void> {
  await asOwnStatements(
    client,
    `SELECT format('ALTER ROUTINE %s SECURITY INVOKER', ${ROUTINE}) AS sql
       FROM pg_proc p JOIN pg_roles r ON r.oid = proowner WHERE rolname = $1 AND prosecdef
     UNION ALL
     SELECT format('ALTER VIEW %s SET (security_invoker = true)', c.oid::regclass)
       FROM pg_class c JOIN pg_roles r ON r.oid = relowner WHERE rolname = $1 AND relkind = 'v'
     UNION ALL
     SELECT format('ALTER TABLE %s DISABLE RULE %I', c.oid::regclass, w.rulename)
       FROM pg_rewrite w JOIN pg_class c ON c.oid = ev_class JOIN pg_roles r ON r.oid = relowner
       WHERE rolname = $1 AND rulename <> '_RETURN'
     UNION ALL
     SELECT CASE WHEN n.oid IS NULL THEN format('DROP INDEX %s', i.oid::regclass)
         ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', n.conrelid::regclass, n.conname) END
       FROM pg_class i JOIN pg_roles r ON r.oid = relowner
       LEFT JOIN pg_constraint n ON conindid = i.oid AND contype IN ('p', 'u', 'x')
       WHERE rolname = $1 AND relkind IN ('i', 'I') AND NOT relispartition AND ${CALLS("pg_class", "i.oid")}
     UNION ALL
     SELECT format('DROP STATISTICS %I.%I', stxnamespace::regnamespace::name, stxname)
       FROM pg_statistic_ext s JOIN pg_class c ON c.oid = stxrelid JOIN pg_roles r ON r.oid = relowner
       WHERE rolname = $1 AND ${CALLS("pg_statistic_ext", "s.oid")}
     UNION ALL
     SELECT format('REVOKE MAINTAIN ON %s FROM %s CASCADE', c.oid::regclass,
         CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
       FROM pg_class c JOIN pg_roles r ON r.oid = relowner, aclexplode(relacl)
       WHERE rolname = $1 AND relkind = 'm' AND privilege_type = 'MAINTAIN' AND grantee <> relowner`,
    [group],
  );
  if (owner !== undefined) await handOver(client, group, owner);
}

/** In the session's database. In parts, since one statement for all could take more locks than a server has room for. */
async function handOver(client: Client, from: string, to: string): Promise<void> {
  await asOwnStatements(
    client,
    `SELECT format('ALTER TABLE %s OWNER TO %I', c.oid::regclass, $2::text) AS sql
       FROM pg_class c JOIN pg_roles r ON r.oid = relowner
       WHERE rolname = $1 AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND NOT EXISTS (
         SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype IN ('a', 'i') AND relkind = 'S')
     UNION ALL
     SELECT format('ALTER ROUTINE %s OWNER TO %I', ${ROUTINE}, $2::text)
       FROM pg_proc p JOIN pg_roles r ON r.oid = proowner WHERE rolname = $1 AND prokind <> 'a'
     UNION ALL
     SELECT format('ALTER LARGE OBJECT %s OWNER TO %I', l.oid, $2::text)
       FROM pg_largeobject_metadata l JOIN pg_roles r ON r.oid = lomowner WHERE rolname = $1`,
    [from, to],
  );
  await client.query(
    `REASSIGN OWNED BY ${escapeIdentifier(from)} TO ${escapeIdentifier(to)}; DROP OWNED BY ${escapeIdentifier(from)}`,
  );
}

/** Runs the statements that a query writes. @returns how many there were */
export async function asOwnStatements(client: Client, query: string, values: unknown[]): Promise<number> {
  const { rows } = await client.query<{ sql: string }>(query, values);
  for (let i = 0; i < rows.length; i += BATCH) {
    const statements = rows.slice(i, i + BATCH).map(({ sql }) => sql);
    await client.query(statements.join(";\n"));
  }
  return rows.length;
}
