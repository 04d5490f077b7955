import { escapeLiteral as literal } from "pg";
import { grantsTo, grantText, membershipText, type Membership } from "./catalogs";
import { groupsOf, LEASED } from "./groups";
import type { ManifestDatabase } from "../../manifest/schema";
import { listed } from "../report/check";
import type { Check } from "../report/check";
import type { Session } from "../session/session";
import { isHere } from "./undeclared";

/** As the stack makes it: an update of it is deploy's matter. */
const ATTRIBUTES = {
  LOGIN: true,
  CREATEROLE: true,
  INHERIT: true,
  SUPERUSER: false,
  CREATEDB: false,
  REPLICATION: false,
  BYPASSRLS: false,
} as const;

const SEARCH_PATHS = ["search_path=pg_catalog", "search_path=pg_catalog, pg_temp"];
/** From PostgreSQL 16 on it keeps a slot of the server's reserved connections, so that it can always revoke. */
const RESERVED = "pg_use_reserved_connections";

interface Found {
  readonly attributes: Readonly<Record<keyof typeof ATTRIBUTES, boolean>>;
  readonly limit: number;
  /** Null where it lasts for ever. */
  readonly until: string | null;
  readonly settings: readonly string[];
}

/**
 * Vault's own login, the most powerful one: attributes, memberships and settings as the stack declares them, nothing owned
 * and nothing granted beyond CONNECT on its database.
 */
export async function managerLogin(
  asker: Session,
  database: ManifestDatabase,
  check: Check,
): Promise<string | undefined> {
  const { manager } = database;
  if (manager === undefined) return undefined;
  const role = literal(manager);
  const attributes = Object.keys(ATTRIBUTES)
    .map((attribute) => `'${attribute}', ${columnOf(attribute)}`)
    .join(", ");
  const outcome = await asker.attempt(
    `SELECT jsonb_build_object(${attributes}) AS attributes, rolconnlimit AS limit, CASE WHEN isfinite(rolvaliduntil) THEN rolvaliduntil::text END AS until,
       ARRAY(SELECT setting || coalesce(' in database ' || datname, '') FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase, unnest(setconfig) setting WHERE setrole = r.oid ORDER BY 1) AS settings
     FROM pg_roles r WHERE rolname = ${role}`,
    check,
  );
  if ("sqlstate" in outcome) return outcome.message;
  const found = outcome.rows[0] as unknown as Found | undefined;
  if (!found) return `${manager} is not there: npx leasehold deploy makes it`;
  check.note(manager, JSON.stringify(found));
  const findings: string[] = [];
  for (const [attribute, declared] of Object.entries(ATTRIBUTES)) {
    if (found.attributes[attribute as keyof typeof ATTRIBUTES] === declared) continue;
    const remedy = `ALTER ROLE ${manager} ${declared ? "" : "NO"}${attribute}`;
    findings.push(`${manager} ${declared ? "is without" : "has"} ${attribute}: ${remedy}`);
  }
  if (found.limit !== -1)
    findings.push(
      `${manager} has the connection limit ${String(found.limit)}: ALTER ROLE ${manager} CONNECTION LIMIT -1`,
    );
  if (found.until !== null)
    findings.push(`${manager} has VALID UNTIL ${found.until}: ALTER ROLE ${manager} VALID UNTIL 'infinity'`);
  const others = found.settings.filter((setting) => !SEARCH_PATHS.includes(setting));
  if (others.length === found.settings.length)
    findings.push(`${manager} has not the setting ${SEARCH_PATHS[0]!}: npx leasehold deploy sets it`);
  findings.push(...others.map((setting) => `${manager} has the setting ${setting}, which is not declared`));

  findings.push(...(await membershipsOf(asker, database, manager, check)));
  const granted = (await grantsTo(asker, [manager])).filter(
    (grant) =>
      grant.kind !== "database" ||
      !isHere(grant, database) ||
      grant.privilege !== "CONNECT" ||
      grant.grantable,
  );
  findings.push(...granted.map((grant) => `not declared: ${grantText(grant)}`));
  const elsewhere = await asker.attempt(
    `SELECT CASE WHEN deptype = 'o' THEN 'owns ' ELSE 'is granted something on ' END
       || CASE WHEN dbid IN (0, d.oid) THEN coalesce(pg_describe_object(classid, objid, objsubid), 'an object') ELSE 'an object in database ' || (SELECT datname FROM pg_database o WHERE o.oid = dbid) END AS what
     FROM pg_shdepend, (SELECT oid FROM pg_database WHERE datname = current_database()) d
     WHERE refclassid = 'pg_authid'::regclass AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = ${role}) AND classid <> 'pg_auth_members'::regclass
       AND (deptype = 'o' OR deptype = 'a' AND dbid NOT IN (0, d.oid)) ORDER BY 1`,
    check,
  );
  if ("sqlstate" in elsewhere) findings.push(elsewhere.message);
  else findings.push(...new Set(elsewhere.rows.map(({ what }) => `${manager} ${String(what)}`)));
  return listed(findings, check);
}

/** The owner without ADMIN, what it hands out with it; from 16 on also what it made itself, and a reserved slot. */
async function membershipsOf(
  asker: Session,
  database: ManifestDatabase,
  manager: string,
  check: Check,
): Promise<string[]> {
  const { owner, staticRoles } = database;
  const groups = [...groupsOf(database), ...staticRoles.map(({ login }) => login)];
  const outcome = await asker.attempt(
    `SELECT g.rolname AS role, m.rolname AS member, pg_get_userbyid(grantor) AS grantor, admin_option AS admin, g.rolname ~ '${LEASED}' AS leased,
       coalesce((to_jsonb(e)->>'inherit_option')::boolean, m.rolinherit) AS inherits, coalesce((to_jsonb(e)->>'set_option')::boolean, true) AS sets
     FROM pg_auth_members e JOIN pg_roles g ON g.oid = roleid JOIN pg_roles m ON m.oid = member WHERE m.rolname = ${literal(manager)} ORDER BY 1`,
    check,
  );
  if ("sqlstate" in outcome) return [outcome.message];
  const found = outcome.rows as unknown as readonly (Membership & { leased: boolean })[];
  const findings: string[] = [];
  for (const membership of found) {
    const { role, admin, leased } = membership;
    // It made them, and joins one to end it; what such a login may not have is another check's.
    if (leased || groups.includes(role)) continue;
    if ((role === owner || role === RESERVED) && !admin) continue;
    const remedy = role === owner ? `REVOKE ADMIN OPTION FOR ${owner} FROM` : `REVOKE ${role} FROM`;
    findings.push(`not declared: ${membershipText(membership)}: ${remedy} ${manager}`);
  }
  for (const role of groups)
    if (!found.some((membership) => membership.role === role && membership.admin))
      findings.push(
        `${manager} is no member of ${role} WITH ADMIN OPTION, without which it can't lease: npx leasehold deploy grants it`,
      );
  if (!found.some(({ role, inherits, sets }) => role === owner && inherits && sets))
    findings.push(
      `${manager} is no member of ${owner} that inherits and may SET ROLE, without which it can't hand over what a lease leaves: npx leasehold deploy grants it`,
    );
  return findings;
}

function columnOf(attribute: string): string {
  return attribute === "LOGIN"
    ? "rolcanlogin"
    : `rol${attribute === "SUPERUSER" ? "super" : attribute.toLowerCase()}`;
}
