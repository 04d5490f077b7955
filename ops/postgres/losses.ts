import { escapeIdentifier, type Client } from "pg";
import { printable } from "../../clients/text";
import { lastingName, LEASED_PREFIX } from "../../manifest/names";
import { routineName } from "../../manifest/object-kinds";
import type { AccessManifest } from "../../manifest/schema";
import type { Deployment, SuperuserLogin } from "../deployment/deployment";
import { findLockedOut, lockedOutText } from "./other-databases";
import { readStack, type StackContent } from "./stack-content";
import { asSuperuser } from "./superuser";

/** What a login or role that is not ours loses by a deploy. */
export interface Loss {
  /** Made of the rule, the object, and what is lost; the same in each run. */
  readonly id: string;
  /** One line, with what would keep it. */
  readonly text: string;
}

/**
 * What everybody else loses by the next deploy: what the stack postgres takes from PUBLIC, or from roles and schemas that were
 * there before, and what closes the databases that the config does not name. Whoever keeps it by a grant, by ownership or
 * membership, or is a superuser, loses nothing.
 * @throws SetupError when a server does not answer or refuses the login
 */
export async function findLosses(deployment: Deployment, options?: { forPlan?: boolean }): Promise<Loss[]> {
  const stack = await readStack(deployment);
  const losses: Loss[] = [];
  for (const login of deployment.superusers(options)) {
    const onServer = ({ server }: { server: string }) => server === login.server;
    const roles = stack.roles.filter(onServer);
    losses.push(...(await lostLogins(login, roles)));
    const ours = roles.map(({ name }) => name);
    for (const name of new Set(stack.grants.filter(onServer).map(({ database }) => database))) {
      const on = <Item extends { server: string; database: string }>(items: readonly Item[]) =>
        items.filter((item) => onServer(item) && item.database === name);
      const [grants, schemas] = [on(stack.grants), on(stack.schemas)];
      const query = async (client: Client) =>
        (await client.query<Row>(LOST, [JSON.stringify(grants), JSON.stringify(schemas), ours])).rows;
      const rows = await asSuperuser(login, query, name);
      losses.push(...ofLogins(rows ?? []).map((row) => lossOf(name, row)));
    }
  }
  return [
    ...losses,
    ...(await newPasswords(deployment, options)),
    ...(await findLockedOutLosses(deployment, options)),
  ];
}

/** Those of the databases alone that the config does not name. */
export async function findLockedOutLosses(
  deployment: Deployment,
  options?: { forPlan?: boolean },
): Promise<Loss[]> {
  return (await findLockedOut(deployment, options)).map((who) => ({
    id: `loss:database ${who.database}:CONNECT of ${lastingName(who.login)}`,
    text: lockedOutText(who),
  }));
}

/** A line each, with the ids that a config may accept. */
export function lossLines(losses: readonly Loss[], accepted: AccessManifest["accepted"]): string[] {
  return losses.map(({ id, text }) => {
    const reason = accepted.find((one) => one.id === id)?.reason;
    return printable(`${text} (id ${id})${reason === undefined ? "" : `, accepted: ${reason}`}`);
  });
}

/** Roles that the config declares without LOGIN, and that have it now. */
async function lostLogins(login: SuperuserLogin, roles: StackContent["roles"]): Promise<Loss[]> {
  const names = roles.filter((role) => !role.login).map(({ name }) => name);
  const found = await asSuperuser(login, (client) =>
    client.query<{ name: string; sessions: number }>(
      `SELECT rolname AS name, (SELECT count(*)::int FROM pg_stat_activity s WHERE s.usesysid = r.oid) AS sessions
       FROM pg_roles r WHERE rolcanlogin AND rolname = ANY ($1) ORDER BY 1`,
      [names],
    ),
  );
  return found!.rows.map(({ name, sessions }) => {
    const isOwner = roles.some((role) => role.name === name && role.isOwner);
    const as = isOwner ? "the owner of a schema" : "a group role";
    return {
      id: `loss:role ${name}:LOGIN`,
      text: `${name} could no longer log in${sessionsText(sessions, "and")}, as the config has it as ${as}; to keep it: let the config name another role`,
    };
  });
}

/** Logins that were there before, and whose password Vault is about to set for the first time. */
async function newPasswords(deployment: Deployment, options?: { forPlan?: boolean }): Promise<Loss[]> {
  const known = await deployment.state(deployment.stack("vault")!);
  const losses: Loss[] = [];
  for (const { server, vault, staticRoles } of deployment.manifest.databases)
    for (const { name, login, loginExists, skipImportRotation } of staticRoles) {
      const id = `${vault.mount}/static-roles/${name}`;
      if (!loginExists || skipImportRotation || known.some(({ attributes }) => attributes["id"] === id))
        continue;
      const superuser = deployment.superusers(options).find((candidate) => candidate.server === server);
      const found =
        superuser &&
        (await asSuperuser(superuser, (client) =>
          client.query<{ sessions: number }>(
            "SELECT count(*)::int AS sessions FROM pg_stat_activity WHERE usename = $1",
            [login],
          ),
        ));
      losses.push({
        id: `loss:role ${login}:PASSWORD`,
        text: `${login} loses the password that it has${sessionsText(found?.rows[0]?.sessions ?? 0, "while")}, and has from then on the one at ${vault.mount}/static-creds/${name}; to keep it: let the config name another login`,
      });
    }
  return losses;
}

interface Row {
  readonly role: string;
  readonly kind: string;
  readonly schema: string | null;
  readonly privileges: readonly string[];
  /** As they stand in a GRANT. */
  readonly objects: readonly string[];
  /** Whether these are all of the schema. */
  readonly isAll: boolean;
  /** Of a schema, whose owner's privileges go to its next owner. */
  readonly isFormerOwner: boolean;
  readonly sessions: number;
}

/** Leases of one database role that others have as one: no config could accept what the next one loses. */
function ofLogins(rows: readonly Row[]): Row[] {
  const byName = new Map<string, Row>();
  for (const { sessions, ...row } of rows) {
    const one = { ...row, role: lastingName(row.role) };
    const key = JSON.stringify(one);
    byName.set(key, { ...one, sessions: sessions + (byName.get(key)?.sessions ?? 0) });
  }
  return [...byName.values()];
}

function lossOf(database: string, row: Row): Loss {
  const { role, kind, schema, objects } = row;
  const isRoutine = schema !== null && kind !== "schema";
  const privileges = row.privileges.join(", ");
  const all = `ALL ${kind.toUpperCase()}S IN SCHEMA ${escapeIdentifier(schema ?? "")}`;
  const on = isRoutine && row.isAll ? all : `${kind.toUpperCase()} ${objects.join(", ")}`;
  const where = isRoutine
    ? `${String(objects.length)} ${kind}${objects.length === 1 ? "" : "s"} of the schema ${schema}`
    : `the ${kind} ${schema ?? database}`;
  const of = isRoutine || kind === "schema" ? ` of the database ${database}` : "";
  // What its owner is granted before goes to the next owner as well.
  const when = row.isFormerOwner ? ", after the deploy" : "";
  const object = isRoutine ? `${kind}s in ${schema}` : `${kind} ${schema ?? database}`;
  return {
    id: `loss:${object}:${privileges} of ${role}`,
    text: `${role} loses ${privileges} on ${where}${of}${sessionsText(row.sessions, "where")}; to keep it${when}: GRANT ${privileges} ON ${on} TO ${grantee(role)}`,
  };
}

/** As it stands in a GRANT. A lease gets it from the creation statements of its database role. */
function grantee(login: string): string {
  const isLease = login.startsWith(LEASED_PREFIX) && login.endsWith("-*");
  return isLease ? '"{{name}}" in the creation statements of its database role' : escapeIdentifier(login);
}

function sessionsText(sessions: number, join: string): string {
  return sessions > 0
    ? `, ${join} it has ${String(sessions)} ${sessions === 1 ? "session" : "sessions"} now`
    : "";
}

/**
 * What is in an access control list before and not after the deploy, by who has it by nothing else: $1 the grants of the stack,
 * $2 its schemas, $3 its roles. A role that cannot log in counts where a login gets at its privileges by SET ROLE alone.
 */
const LOST = `
  WITH grants AS (
    SELECT kind, schema, coalesce(r.oid, 0) AS grantee, privileges
    FROM jsonb_to_recordset($1) AS g (kind text, schema text, role text, privileges text[])
    LEFT JOIN pg_roles r ON rolname = role
    WHERE role = 'public' OR r.oid IS NOT NULL
  ), schemas AS (
    SELECT n.nspname AS name, nspowner AS former, r.oid AS owner
    FROM jsonb_to_recordset($2) AS s (name text, owner text)
    JOIN pg_namespace n ON nspname = name LEFT JOIN pg_roles r ON rolname = owner
    WHERE r.oid IS DISTINCT FROM nspowner
  ), objects AS (
    SELECT 'database' AS kind, NULL::text AS schema, quote_ident(datname) AS object,
      coalesce(datacl, acldefault('d', datdba)) AS acl
    FROM pg_database WHERE datname = current_database()
    UNION ALL
    SELECT 'schema', nspname, quote_ident(nspname), coalesce(nspacl, acldefault('n', nspowner))
    FROM pg_namespace
    WHERE nspname IN (SELECT name FROM schemas UNION SELECT schema FROM grants WHERE kind = 'schema')
    UNION ALL
    SELECT kind, nspname, CASE prokind WHEN 'p' THEN ${routineName("p")} ELSE p.oid::regprocedure::text END,
      coalesce(proacl, acldefault('f', proowner))
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace JOIN grants ON schema = nspname AND grantee = 0
    WHERE CASE kind WHEN 'function' THEN prokind <> 'p' WHEN 'procedure' THEN prokind = 'p' ELSE kind = 'routine' END
  ), before AS (
    SELECT kind, schema, object, privilege_type AS privilege, grantee FROM objects, aclexplode(acl)
  ), after AS (
    SELECT kind, schema, object, privilege, CASE WHEN name IS NULL THEN grantee ELSE owner END AS grantee
    FROM before b LEFT JOIN schemas ON kind = 'schema' AND name = schema AND former = grantee
    WHERE NOT EXISTS (
      SELECT FROM grants g WHERE g.kind = b.kind AND g.schema IS NOT DISTINCT FROM b.schema AND g.grantee = b.grantee
    )
    UNION
    SELECT o.kind, o.schema, object, privilege, grantee
    FROM grants g JOIN objects o ON g.kind = o.kind AND g.schema IS NOT DISTINCT FROM o.schema, unnest(privileges) privilege
  ), others AS (
    SELECT oid, rolname, rolcanlogin FROM pg_roles
    WHERE NOT rolsuper AND rolname <> ALL ($3) AND NOT starts_with(rolname, 'pg_')
      AND NOT (
        starts_with(rolname, '${LEASED_PREFIX}')
        AND starts_with(coalesce(shobj_description(oid, 'pg_authid'), ''), 'leasehold ')
      )
  ), roles AS (
    SELECT * FROM others r
    WHERE rolcanlogin OR EXISTS (
      SELECT FROM others l
      WHERE l.rolcanlogin AND pg_has_role(l.oid, r.oid, 'MEMBER') AND NOT pg_has_role(l.oid, r.oid, 'USAGE')
    )
  ), taken AS (
    SELECT * FROM before EXCEPT SELECT * FROM after
  ), lost AS (
    SELECT oid, kind, schema, object, privilege
    FROM roles JOIN taken ON grantee = 0 OR pg_has_role(oid, grantee, 'USAGE')
    EXCEPT
    SELECT oid, kind, schema, object, privilege
    FROM roles JOIN after ON grantee = 0 OR pg_has_role(oid, grantee, 'USAGE')
    WHERE (kind, object, privilege) IN (SELECT kind, object, privilege FROM taken)
  ), usable AS (
    SELECT l.*, rolname, rolcanlogin FROM lost l JOIN roles USING (oid)
    WHERE CASE WHEN privilege = 'CONNECT' THEN rolcanlogin
      ELSE NOT rolcanlogin OR has_database_privilege(oid, current_database(), 'CONNECT') END
      AND (kind IN ('database', 'schema') OR has_schema_privilege(oid, schema, 'USAGE'))
  ), each AS (
    SELECT oid, rolname, kind, schema, object, array_agg(privilege ORDER BY privilege) AS privileges
    FROM usable GROUP BY oid, rolname, kind, schema, object
  )
  SELECT rolname AS role, kind, schema, privileges, array_agg(object ORDER BY object) AS objects,
    kind = 'schema' AND oid IN (SELECT former FROM schemas WHERE name = schema) AS "isFormerOwner",
    count(*) = (SELECT count(*) FROM objects o WHERE o.kind = e.kind AND o.schema = e.schema) AS "isAll",
    CASE WHEN kind = 'database' THEN (
      SELECT count(*)::int FROM pg_stat_activity WHERE usesysid = e.oid AND datname = current_database()
    ) ELSE 0 END AS sessions
  FROM each e GROUP BY oid, rolname, kind, schema, privileges
  ORDER BY 1, 2, 3`;
