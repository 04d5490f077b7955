import { escapeIdentifier, type Client } from "pg";
import { LEASED_PREFIX, leaseMark } from "../../manifest/names";
import type { AccessManifest } from "../../manifest/schema";
import type { Deployment, SuperuserLogin } from "../deployment/deployment";
import { changeRecord, readRecord } from "./record";
import { asSuperuser } from "./superuser";

/** A login that may connect to a database by PUBLIC's CONNECT alone. */
export interface LockedOut {
  readonly server: string;
  readonly database: string;
  readonly login: string;
  /** That it has there now. */
  readonly sessions: number;
}

/** Databases that take logins, to which PUBLIC may connect. */
const OPEN = `
  SELECT oid, datname, coalesce(datacl, acldefault('d', datdba)) AS acl FROM pg_database
  WHERE datallowconn AND datname <> ALL ($1) AND EXISTS (
    SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0 AND privilege_type = 'CONNECT'
  )`;

/** Servers whose other databases are closed, with the names of the declared ones. */
function closing(
  deployment: Deployment,
  options?: { forPlan?: boolean },
): { login: SuperuserLogin; declared: string[] }[] {
  const { servers } = deployment.manifest;
  const names = servers.filter((server) => server.otherDatabases === "close").map((server) => server.name);
  if (names.length === 0) return [];
  return deployment
    .superusers(options)
    .filter(({ server }) => names.includes(server))
    .map((login) => ({ login, declared: declaredOn(deployment, login.server) }));
}

function declaredOn({ manifest }: Deployment, server: string): string[] {
  return manifest.databases.filter((database) => database.server === server).map(({ name }) => name);
}

/**
 * Who would be locked out where the config closes the other databases: logins that no grant, no ownership and no superuser's
 * power lets in, but for leased ones and Vault's own, which are to stay out.
 */
export async function findLockedOut(
  deployment: Deployment,
  options?: { forPlan?: boolean },
): Promise<LockedOut[]> {
  const found: LockedOut[] = [];
  for (const { login, declared } of closing(deployment, options)) {
    const ours = deployment.manifest.databases
      .filter(({ server }) => server === login.server)
      .flatMap(({ manager, staticRoles }) => [
        ...[manager ?? []].flat(),
        ...staticRoles.flatMap(({ login, loginExists }) => (loginExists ? [] : login)),
      ]);
    const rows = await asSuperuser(login, (client) =>
      client.query<Omit<LockedOut, "server">>(
        `SELECT datname AS database, rolname AS login, (
           SELECT count(*)::int FROM pg_stat_activity s WHERE s.datid = d.oid AND s.usesysid = r.oid
         ) AS sessions
         FROM (${OPEN}) d, pg_roles r
         WHERE rolcanlogin AND NOT rolsuper AND rolname <> ALL ($2)
           AND NOT (rolname LIKE '${LEASED_PREFIX}%' AND starts_with(shobj_description(r.oid, 'pg_authid'), $3))
           AND NOT EXISTS (
             SELECT FROM aclexplode(acl)
             WHERE privilege_type = 'CONNECT' AND grantee <> 0 AND pg_has_role(r.oid, grantee, 'USAGE')
           )
         ORDER BY 1, 2`,
        [declared, ours, leaseMark(deployment.manifest.environment, "")],
      ),
    );
    found.push(...rows!.rows.map((row) => ({ server: login.server, ...row })));
  }
  return found;
}

/** A line each, with what would keep it. */
export function lockedOutText({ database, login, sessions }: LockedOut): string {
  const now =
    sessions > 0 ? `, where it has ${String(sessions)} ${sessions === 1 ? "session" : "sessions"} now` : "";
  return `${login} could no longer connect to the database ${database}${now}; to keep it: GRANT CONNECT ON DATABASE ${escapeIdentifier(database)} TO ${escapeIdentifier(login)}`;
}

/**
 * Takes CONNECT from PUBLIC where the config says so. Recorded before it is taken.
 * @returns for people, a line each
 */
export async function closeOthers(deployment: Deployment): Promise<string[]> {
  const lines: string[] = [];
  for (const { login, declared } of closing(deployment)) {
    const { rows } = (await asSuperuser(login, (client) =>
      client.query<{ name: string }>(`SELECT datname AS name FROM (${OPEN}) d ORDER BY 1`, [declared]),
    ))!;
    const names = rows.map(({ name }) => name);
    if (names.length === 0) continue;
    await changeRecord(deployment, login, (record) => ({
      ...record,
      closed: [...new Set([...record.closed, ...names])],
    }));
    for (const name of names) {
      await asSuperuser(login, (client) => takeConnect(client, name));
      lines.push(`took CONNECT on the database ${name}, which the config does not name, from PUBLIC`);
    }
  }
  return lines;
}

/** Whoever may grant CONNECT may have granted it to PUBLIC as well, and takes it alone. */
async function takeConnect(client: Client, name: string): Promise<void> {
  const { rows } = await client.query<{ grantor: string }>(
    `SELECT DISTINCT pg_get_userbyid(grantor) AS grantor FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
     WHERE datname = $1 AND grantee = 0 AND privilege_type = 'CONNECT'`,
    [name],
  );
  for (const { grantor } of rows) {
    await client.query(`SET ROLE ${escapeIdentifier(grantor)}`);
    await client.query(`REVOKE CONNECT ON DATABASE ${escapeIdentifier(name)} FROM PUBLIC`);
  }
}

/**
 * Gives PUBLIC CONNECT back where an earlier deploy took it and the config no longer says so, or everywhere.
 * @returns for people, a line each
 */
export async function reopenOthers(deployment: Deployment, { all = false } = {}): Promise<string[]> {
  const stayClosed = all ? [] : closing(deployment).map(({ login }) => login.server);
  const lines: string[] = [];
  for (const login of deployment.superusers()) {
    if (stayClosed.includes(login.server)) continue;
    const { closed } = await readRecord(deployment, login);
    if (closed.length === 0) continue;
    for (const name of closed) {
      const isGiven = await asSuperuser(login, async (client) => {
        const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = $1", [name]);
        if (rowCount === 1)
          await client.query(`GRANT CONNECT ON DATABASE ${escapeIdentifier(name)} TO PUBLIC`);
        return rowCount === 1;
      });
      if (isGiven) lines.push(`gave CONNECT on the database ${name} back to PUBLIC`);
    }
    await changeRecord(deployment, login, (record) => ({ ...record, closed: [] }));
  }
  return lines;
}

/** Whether PUBLIC's CONNECT is where a deploy has left it: closed are those that one took, and where the config closes them, all. */
export async function otherDatabasesNow(
  deployment: Deployment,
  login: SuperuserLogin,
): Promise<AccessManifest["servers"][number]["otherDatabases"]> {
  const { servers } = deployment.manifest;
  if (servers.find(({ name }) => name === login.server)?.otherDatabases === "keep")
    return (await readRecord(deployment, login)).closed.length > 0 ? "close" : "keep";
  const open = await asSuperuser(login, (client) =>
    client.query(`SELECT FROM (${OPEN}) d LIMIT 1`, [declaredOn(deployment, login.server)]),
  );
  return open!.rowCount === 1 ? "keep" : "close";
}
