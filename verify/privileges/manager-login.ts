import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { groupRolesOf, LEASED, RESERVED_SLOTS } from "../../manifest/names";
import { ROLE_ATTRIBUTES } from "../../manifest/object-kinds";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import { membershipColumns, membershipText, type Membership } from "./access";
import { dependenciesOf } from "./dependencies";
import { grantsTo, grantText, isHere } from "./grants";
import { isOfLeaseFunctions } from "./lease-functions";
import { revoking, revokingMembership } from "./mends";

/** Each with its column of pg_roles. */
const ATTRIBUTES = { LOGIN: "rolcanlogin", INHERIT: "rolinherit", ...ROLE_ATTRIBUTES };
/** Those that the stack gives it; an update of them is deploy's matter. Without functions it has CREATEROLE as well. */
const DECLARED = ["LOGIN", "INHERIT"];

const SEARCH_PATHS = ["search_path=pg_catalog", "search_path=pg_catalog, pg_temp"];

/**
 * Vault's own login: attributes, memberships and settings as the stack declares them, nothing owned, and nothing granted beyond
 * CONNECT on its database and the functions through which it leases. Without these it is the most powerful one.
 */
export async function managerLogin(context: DatabaseContext, check: Check): Promise<void> {
  const { manager } = context.database;
  if (manager === undefined) return;
  if (!(await attributesAndSettings(context, manager, check))) return;
  await membershipsOf(context, manager, check);
  await grantedAndOwned(context, manager, check);
}

/** Returns whether there is such a role. */
async function attributesAndSettings(
  { owner: catalogs, database }: DatabaseContext,
  manager: string,
  check: Check,
): Promise<boolean> {
  const columns = Object.entries(ATTRIBUTES).flatMap(([attribute, column]) => [`'${attribute}'`, column]);
  const [found] = await catalogs.read<{
    attributes: Record<string, boolean>;
    limit: number;
    until: string | null;
    settings: string[];
  }>(
    `SELECT jsonb_build_object(${columns.join(", ")}) AS attributes, rolconnlimit AS limit,
       CASE WHEN isfinite(rolvaliduntil) THEN rolvaliduntil::text END AS until,
       ARRAY(
         SELECT setting || coalesce(' in database ' || datname, '')
         FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase, unnest(setconfig) setting
         WHERE setrole = r.oid ORDER BY 1
       ) AS settings
     FROM pg_roles r WHERE rolname = ${literal(manager)}`,
    check,
  );
  if (!found) {
    check.find(`${manager} does not exist: npx leasehold deploy makes it`);
    return false;
  }
  check.note(manager, JSON.stringify(found));
  const alter = `ALTER ROLE ${ident(manager)}`;
  for (const [attribute, has] of Object.entries(found.attributes)) {
    const declared =
      DECLARED.includes(attribute) || (attribute === "CREATEROLE" && database.leases === "createrole");
    if (has === declared) continue;
    const mends = [`${alter} ${declared ? "" : "NO"}${attribute}`];
    check.findWith(`${manager} ${declared ? "is without" : "has"} ${attribute}`, { mends });
  }
  const { limit, until, settings } = found;
  if (limit !== -1)
    check.findWith(`${manager} has the connection limit ${String(limit)}`, {
      mends: [`${alter} CONNECTION LIMIT -1`],
    });
  if (until !== null)
    check.findWith(`${manager} has VALID UNTIL ${until}`, { mends: [`${alter} VALID UNTIL 'infinity'`] });
  if (!settings.some((setting) => SEARCH_PATHS.includes(setting)))
    check.find(`${manager} lacks the setting ${SEARCH_PATHS[0]!}: npx leasehold deploy sets it`);
  for (const setting of settings)
    if (!SEARCH_PATHS.includes(setting))
      check.find(`${manager} has the setting ${setting}, which is not declared`);
  return true;
}

/**
 * From 16 on a reserved slot, and where it leases through functions nothing else. Without them the owner without ADMIN, what it
 * hands out with it, and from 16 on what it made itself.
 */
async function membershipsOf(
  { owner: catalogs, database }: DatabaseContext,
  manager: string,
  check: Check,
): Promise<void> {
  const createRole = database.leases === "createrole";
  const owners = createRole && !database.schemas[0]!.ownerIsSuperuser ? [database.owner] : [];
  const groups = createRole
    ? [...groupRolesOf(database), ...database.staticRoles.map(({ login }) => login)]
    : [];
  const found = await catalogs.read<Membership & { leased: boolean }>(
    `SELECT ${membershipColumns("edge")}, pg_get_userbyid(roleid) ~ '${LEASED}' AS leased
     FROM pg_auth_members edge
     WHERE member = (SELECT oid FROM pg_roles WHERE rolname = ${literal(manager)})
     ORDER BY 1`,
    check,
  );
  for (const membership of found) {
    const { role, admin, leased } = membership;
    // It made them, and joins one to end it; what such a login may not have is another check's.
    if ((createRole && leased) || groups.includes(role)) continue;
    if (!admin && [...owners, RESERVED_SLOTS].includes(role)) continue;
    const option = owners.includes(role) ? "ADMIN OPTION FOR " : "";
    check.findWith(`not declared: ${membershipText(membership)}`, {
      mends: [revokingMembership(membership, option)],
    });
  }
  for (const group of groups)
    if (!found.some(({ role, admin }) => role === group && admin))
      check.find(
        `${manager} is not a member of ${group} WITH ADMIN OPTION, without which it can't lease: npx leasehold deploy grants it`,
      );
  for (const owner of owners)
    if (!found.some(({ role, inherits, sets }) => role === owner && inherits && sets))
      check.find(
        `${manager} is not a member of ${owner} that inherits and may SET ROLE, without which it can't hand over what a lease leaves: npx leasehold deploy grants it`,
      );
}

async function grantedAndOwned(
  { owner: catalogs, database }: DatabaseContext,
  manager: string,
  check: Check,
): Promise<void> {
  for (const grant of await grantsTo(catalogs, [manager])) {
    const { kind, privilege, grantable } = grant;
    if (kind === "database" && privilege === "CONNECT" && !grantable && isHere(grant, database)) continue;
    if (isOfLeaseFunctions(grant, database)) continue;
    check.findWith(`not declared: ${grantText(grant)}`, { mends: [revoking(grant)] });
  }
  for (const { owns, inThisDatabase, object } of await dependenciesOf(catalogs, [manager], check))
    // What is granted in this database is known by now.
    if (owns || !inThisDatabase)
      check.find(`${manager} ${owns ? "owns" : "is granted something on"} ${object}`);
}
