import { escapeLiteral as literal } from "pg";
import {
  groupRolesOf,
  LEASED,
  madeOwnersOf,
  maintainRoleOf,
  maintainRolesOf,
  ownersOf,
  probesActAsOwner,
} from "../../manifest/names";
import { ROLE_ATTRIBUTES } from "../../manifest/object-kinds";
import { maintains } from "../../manifest/privileges";
import type { ManifestDatabase } from "../../manifest/schema";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import type { Session } from "../session/session";
import { literals } from "../session/sql";
import { rolesOf, searchPathOf } from "./declared";

/** Past VALID UNTIL Vault has had this long to drop the login; it tries again when it fails. */
const SECONDS_TO_DROP = 60;

/** Of the roles of other databases, so many: of the rest the catalogs tell, or the work would grow with the square of the databases. */
const TRIED_OF_OTHERS = 20;

export interface OtherRole {
  readonly name: string;
  /** Declared, or a superuser: worth a statement. For the others the catalogs tell. */
  readonly tried: boolean;
}

/** Every role of the server that is not a leased login. @param others databases, in the order in which their roles are tried */
export function otherRoles(
  catalogs: Session,
  others: readonly ManifestDatabase[],
  database: ManifestDatabase,
): Promise<OtherRole[]> {
  const tried = [...rolesOf(database), ...others.flatMap(rolesOf).slice(0, TRIED_OF_OTHERS)];
  return catalogs.query<OtherRole>(
    `SELECT rolname AS name, rolsuper OR rolname IN (${literals(tried)}) AS tried
     FROM pg_roles WHERE rolname !~ '${LEASED}'
     ORDER BY 1`,
  );
}

interface GroupRole {
  readonly name: string;
  readonly canLogIn: boolean;
  /** Of an attribute beyond an ordinary role's. */
  readonly isPowerful: boolean;
  readonly settings: readonly string[];
  readonly memberships: readonly string[];
}

/**
 * The group roles and the owners that were made can't log in, and have the search path that they were given. Those that no persona's session
 * can act as have no attribute either, and no more memberships than they were given.
 */
export async function groupRoles(
  { owner: catalogs, database }: DatabaseContext,
  check: Check,
): Promise<void> {
  const { personas, probeGroups } = database;
  const owners = ownersOf(database);
  const maintainers = maintainRolesOf(database);
  const names = [...owners, ...groupRolesOf(database), ...maintainers];
  const found = await catalogs.read<GroupRole>(
    `SELECT rolname AS name, rolcanlogin AS "canLogIn",
       ${Object.values(ROLE_ATTRIBUTES).join(" OR ")} AS "isPowerful",
       ARRAY(
         SELECT setting FROM pg_db_role_setting, unnest(setconfig) setting
         WHERE setrole = r.oid AND setting <> 'search_path=' || ${searchPathOf(database)}
       ) AS settings,
       ARRAY(
         SELECT pg_get_userbyid(roleid)::text FROM pg_auth_members
         WHERE member = r.oid GROUP BY 1 ORDER BY 1
       ) AS memberships
     FROM pg_roles r
     WHERE rolname IN (${literals(names)})`,
    check,
  );
  for (const name of names)
    if (!found.some((role) => role.name === name)) check.find(`${name} does not exist`);
  const isActedAs = (name: string) =>
    maintainers.includes(name) ||
    personas.some(
      ({ groupRole, actsAsOwner }) => name === groupRole || (actsAsOwner && owners.includes(name)),
    );
  for (const { name, canLogIn, isPowerful, settings, memberships } of found) {
    // One that was there before may log in, and has the settings and memberships that it has.
    if (owners.includes(name) && !madeOwnersOf(database).includes(name)) continue;
    if (canLogIn) check.find(`${name} is a group role and can log in`);
    for (const setting of settings) check.find(`${name} has the setting ${setting}, which is not declared`);
    // The matrix and the memberships of the persona's login say it of the others.
    if (isActedAs(name)) continue;
    if (isPowerful)
      check.find(`${name} is a group role and has an attribute such as SUPERUSER or CREATEROLE`);
    for (const role of memberships)
      if (name !== probeGroups?.owner || !probesActAsOwner(database) || !owners.includes(role))
        check.find(`not declared: membership of ${name} in ${role}`);
  }
}

interface Member {
  readonly role: string;
  readonly member: string;
  readonly grantor: string;
  readonly leased: boolean;
  readonly canLogIn: boolean;
  readonly until: string | null;
  readonly forever: boolean;
  readonly past: boolean;
}

/**
 * Who is in the group roles, and in owners that were made: leased logins that are still valid, Vault's own login, and in the owner the groups that act
 * as it. Vault's leases of the personas are not the verifier's to list, so a login that was left over is told by its
 * VALID UNTIL.
 */
export async function groupMembers(
  { owner: catalogs, database }: DatabaseContext,
  check: Check,
): Promise<void> {
  const { manager, personas } = database;
  if (manager === undefined) return;
  const groups = groupRolesOf(database);
  const longest = Math.max(...personas.map(({ databaseRole }) => databaseRole.maxTtl)) + SECONDS_TO_DROP;
  const found = await catalogs.read<Member>(
    `WITH RECURSIVE edges AS (
       SELECT roleid, member, grantor FROM pg_auth_members
       WHERE roleid IN (SELECT oid FROM pg_roles WHERE rolname IN (${literals([...madeOwnersOf(database), ...groups, ...maintainRolesOf(database)])}))
       UNION
       SELECT m.roleid, m.member, m.grantor FROM pg_auth_members m JOIN edges ON m.roleid = edges.member
     ),
     named AS (
       SELECT g.rolname AS role, m.rolname AS member, pg_get_userbyid(grantor) AS grantor,
         m.rolname ~ '${LEASED}' AS leased, m.rolcanlogin AS can_log_in, m.rolvaliduntil AS until,
         m.rolvaliduntil IS NULL OR NOT isfinite(m.rolvaliduntil) AS forever,
         m.rolvaliduntil < now() - interval '${String(SECONDS_TO_DROP)} s' AS past,
         m.rolvaliduntil > now() + interval '${String(longest)} s' AS late
       FROM edges JOIN pg_roles g ON g.oid = roleid JOIN pg_roles m ON m.oid = member
     )
     SELECT role, member, grantor, leased, can_log_in AS "canLogIn", until::text, forever, past
     FROM named
     WHERE member <> ${literal(manager)}
       AND NOT (${declaredMembers(database)})
       AND NOT (role IN (${literals(groups)}) AND leased AND NOT forever AND NOT past AND NOT late)
     ORDER BY 1, 2`,
    check,
  );
  for (const { role, member, grantor, leased, canLogIn, until, forever, past } of found) {
    const who = `${member}, a member of ${role}`;
    if (!leased || !groups.includes(role)) {
      const and = canLogIn ? " and can log in" : "";
      check.find(`${who}, granted by ${grantor}, is not declared${and}: Vault did not lease it`);
    } else if (forever)
      check.find(`${who}, is a leased login without an end: VALID UNTIL ${until ?? "is not set"}`);
    else if (past)
      check.find(
        `${who}, is a leased login that was left over: VALID UNTIL ${until!} is past; npx leasehold sweep drops what Vault leased`,
      );
    else check.find(`${who}, is a leased login beyond any lease: VALID UNTIL ${until!}`);
  }
}

/** SQL over `role` and `member`: groups that act as the owner, and static logins in their persona's group. */
function declaredMembers(database: ManifestDatabase): string {
  const { personas, probeGroups, staticRoles } = database;
  const acting = personas.filter(({ actsAsOwner }) => actsAsOwner).map(({ groupRole }) => groupRole);
  if (probeGroups && probesActAsOwner(database)) acting.push(probeGroups.owner);
  const logins = staticRoles.map(({ login, persona }) => {
    const group = personas.find(({ name }) => name === persona)?.groupRole ?? "";
    return `role = ${literal(group)} AND member = ${literal(login)}`;
  });
  const maintaining = personas
    .filter(maintains)
    .map(
      (persona) => `role = ${literal(maintainRoleOf(persona))} AND member = ${literal(persona.groupRole)}`,
    );
  const owned = `role IN (${literals(ownersOf(database))}) AND member IN (${literals(acting)})`;
  return [owned, ...maintaining, ...logins].join(" OR ");
}

/** Each schema that was made is the declared owner's, so that nobody else can drop what is in it. */
export async function schemaOwner(
  { owner: catalogs, database }: DatabaseContext,
  check: Check,
): Promise<void> {
  for (const { name, owner, exists } of database.schemas) {
    const [found] = await catalogs.read<{ owner: string }>(
      `SELECT pg_get_userbyid(nspowner) AS owner FROM pg_namespace WHERE nspname = ${literal(name)}`,
      check,
    );
    if (!found) check.find(`the schema ${name} must belong to ${owner}, it does not exist`);
    else if (!exists && found.owner !== owner)
      check.find(`the schema ${name} must belong to ${owner}, it belongs to ${found.owner}`);
  }
}
