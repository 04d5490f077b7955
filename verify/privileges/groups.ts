import { escapeLiteral as literal } from "pg";
import type { OtherRole } from "./rows";
import type { ManifestDatabase } from "../../manifest/schema";
import { listed } from "../report/check";
import type { Check } from "../report/check";
import { firstText, type Session } from "../session/session";
import type { VaultClient } from "../../clients/vault-client";

/** Names as Vault's database engine gives them to leased logins: v-, who asked, the role, twenty letters, the time. */
export const LEASED = "^v-.{0,8}-.{0,8}-[A-Za-z0-9]{20}-[0-9]{10}$";

/** Past VALID UNTIL Vault has had this long to drop the login; it tries again when it fails. */
const SECONDS_TO_DROP = 60;

/** Every role of the server that is no leased login. */
export function otherRoles(asker: Session, databases: readonly ManifestDatabase[]): Promise<OtherRole[]> {
  const declared = databases.flatMap((database) => [
    database.owner,
    ...(database.manager ? [database.manager] : []),
    ...groupsOf(database),
  ]);
  return asker.query<OtherRole>(
    `SELECT rolname AS name, rolsuper OR rolname IN (${list(declared)}) AS tried FROM pg_roles WHERE rolname !~ '${LEASED}' ORDER BY 1`,
  );
}

export function groupsOf({ personas, probeGroups }: ManifestDatabase): string[] {
  return [...personas.map(({ groupRole }) => groupRole), ...Object.values(probeGroups ?? {})];
}

/**
 * The group roles and the owner can't log in, and have the search path that they were given. Those that no persona's session
 * can act as have no attribute either, and no more memberships than they were given.
 */
export async function groupRoles(
  asker: Session,
  database: ManifestDatabase,
  check: Check,
): Promise<string | undefined> {
  const { owner, personas, probeGroups } = database;
  const names = [owner, ...groupsOf(database)];
  const outcome = await asker.attempt(
    `SELECT rolname AS name, rolcanlogin AS login, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls AS able,
       ARRAY(SELECT setting FROM pg_db_role_setting, unnest(setconfig) setting WHERE setrole = r.oid AND setting <> 'search_path=' || quote_ident(${literal(database.schema)})) AS settings,
       ARRAY(SELECT pg_get_userbyid(roleid)::text FROM pg_auth_members WHERE member = r.oid GROUP BY 1 ORDER BY 1) AS memberships
     FROM pg_roles r WHERE rolname IN (${list(names)})`,
    check,
  );
  if ("sqlstate" in outcome) return outcome.message;
  const found = outcome.rows as unknown as readonly GroupRole[];
  const findings = names
    .filter((name) => !found.some((role) => role.name === name))
    .map((name) => `${name} is not there`);
  const acted = personas.flatMap(({ groupRole, actsAsOwner }) =>
    actsAsOwner ? [groupRole, owner] : [groupRole],
  );
  for (const { name, login, able, settings, memberships } of found) {
    if (login) findings.push(`${name} is a group role and can log in`);
    for (const setting of settings)
      findings.push(`${name} has the setting ${setting}, which is not declared`);
    // The matrix and the memberships of the persona's login say it of the others.
    if (acted.includes(name)) continue;
    if (able) findings.push(`${name} is a group role and has an attribute such as SUPERUSER or CREATEROLE`);
    for (const role of memberships)
      if (name !== probeGroups?.owner || role !== owner)
        findings.push(`not declared: membership of ${name} in ${role}`);
  }
  return listed(findings, check);
}

interface GroupRole {
  readonly name: string;
  readonly login: boolean;
  /** Of an attribute beyond an ordinary role's. */
  readonly able: boolean;
  readonly settings: readonly string[];
  readonly memberships: readonly string[];
}

/**
 * Who is in the group roles: leased logins that are still valid, Vault's own login, and in the owner the groups that act
 * as it. Vault's leases of the personas are not the verifier's to list, so a login that was left over is told by its
 * VALID UNTIL.
 */
export async function groupMembers(
  asker: Session,
  database: ManifestDatabase,
  check: Check,
): Promise<string | undefined> {
  const { owner, manager, personas, probeGroups, staticRoles } = database;
  if (manager === undefined) return undefined;
  const groups = groupsOf(database);
  const acting = personas.filter(({ actsAsOwner }) => actsAsOwner).map(({ groupRole }) => groupRole);
  if (probeGroups) acting.push(probeGroups.owner);
  const kept = staticRoles.map(({ login, persona }) => {
    const group = personas.find(({ name }) => name === persona)?.groupRole ?? "";
    return `(${literal(group)}, ${literal(login)})`;
  });
  const longest = Math.max(...personas.map(({ databaseRole }) => databaseRole.maxTtl)) + SECONDS_TO_DROP;
  const outcome = await asker.attempt(
    `WITH RECURSIVE edges AS (
       SELECT roleid, member, grantor FROM pg_auth_members WHERE roleid IN (SELECT oid FROM pg_roles WHERE rolname IN (${list([owner, ...groups])}))
       UNION SELECT m.roleid, m.member, m.grantor FROM pg_auth_members m JOIN edges ON m.roleid = edges.member
     ), named AS (
       SELECT g.rolname AS role, m.rolname AS member, pg_get_userbyid(grantor) AS grantor, m.rolname ~ '${LEASED}' AS leased, m.rolcanlogin AS login,
         m.rolvaliduntil AS until, m.rolvaliduntil IS NULL OR NOT isfinite(m.rolvaliduntil) AS forever,
         m.rolvaliduntil < now() - interval '${String(SECONDS_TO_DROP)} s' AS past, m.rolvaliduntil > now() + interval '${String(longest)} s' AS late
       FROM edges JOIN pg_roles g ON g.oid = roleid JOIN pg_roles m ON m.oid = member
     ) SELECT role, member, grantor, leased, login, until::text, forever, past FROM named
     WHERE member <> ${literal(manager)}
       AND NOT (role = ${literal(owner)} AND member IN (${list(acting)}))
       AND NOT (${kept.length ? `(role, member) IN (${kept.join(", ")})` : "false"})
       AND NOT (role IN (${list(groups)}) AND leased AND NOT forever AND NOT past AND NOT late)
     ORDER BY 1, 2`,
    check,
  );
  if ("sqlstate" in outcome) return outcome.message;
  const findings = outcome.rows.map(({ role, member, grantor, leased, login, until, forever, past }) => {
    const who = `${String(member)}, a member of ${String(role)}`;
    if (!leased || !groups.includes(String(role)))
      return `${who}, granted by ${String(grantor)}, is not declared${login ? " and can log in" : ""}: Vault did not lease it`;
    if (forever)
      return `${who}, is a leased login without an end: VALID UNTIL ${typeof until === "string" ? until : "is not set"}`;
    if (past) return `${who}, is a leased login that was left over: VALID UNTIL ${String(until)} is past`;
    return `${who}, is a leased login beyond any lease: VALID UNTIL ${String(until)}`;
  });
  return listed(findings, check);
}

/** Listings and catalogs are read one after the other, with leases made and revoked in between by others. */
const ATTEMPTS = 3;

/** Vault's leases of the probe roles, which the verifier may list, and PostgreSQL's logins in their groups. */
export async function probeLeases(
  asker: Session,
  vault: VaultClient,
  { probes, probeGroups, vault: at }: ManifestDatabase,
  check: Check,
): Promise<string | undefined> {
  const findings: string[] = [];
  for (const which of ["owner", "short"] as const) {
    const group = probeGroups?.[which];
    if (!probes || group === undefined) continue;
    const prefix = `${at.mount}/creds/${probes[which]}`;
    const leases = async () => {
      const answer = await vault.request("LIST", `sys/leases/lookup/${prefix}/`);
      check.noteAnswer(answer);
      return (answer.body.data?.["keys"] ?? []) as string[];
    };
    let finding: string | undefined;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const before = await leases();
      const outcome = await asker.attempt(
        `SELECT m.rolname AS name FROM pg_auth_members JOIN pg_roles g ON g.oid = roleid JOIN pg_roles m ON m.oid = member WHERE g.rolname = ${literal(group)} AND m.rolname ~ '${LEASED}' ORDER BY 1`,
        check,
      );
      if ("sqlstate" in outcome) return outcome.message;
      const logins = outcome.rows.map(({ name }) => String(name));
      const after = await leases();
      // What was there before and after was there in between.
      const steady = before.filter((id) => after.includes(id));
      const any = new Set([...before, ...after]);
      finding = undefined;
      if (steady.length > logins.length)
        finding = `a lease without a login: Vault has ${steady.map((id) => `${prefix}/${id}`).join(", ")}; PostgreSQL has ${logins.join(", ") || "none"} in ${group}`;
      else if (logins.length > any.size)
        finding = `a login without a lease: PostgreSQL has ${logins.join(", ")} in ${group}; Vault has ${[...any].map((id) => `${prefix}/${id}`).join(", ") || "no lease"}`;
      if (finding === undefined) break;
    }
    if (finding !== undefined) findings.push(finding);
  }
  return findings.length ? findings.join("; ") : undefined;
}

/** The schema is the declared owner's, or no default privilege of its holds. */
export async function schemaOwner(
  asker: Session,
  { schema, owner }: ManifestDatabase,
  check: Check,
): Promise<string | undefined> {
  const outcome = await asker.attempt(
    `SELECT pg_get_userbyid(nspowner) AS owner FROM pg_namespace WHERE nspname = ${literal(schema)}`,
    check,
  );
  if ("sqlstate" in outcome) return outcome.message;
  const found = firstText(outcome, "owner");
  if (found === owner) return undefined;
  return `the schema ${schema} must belong to ${owner}, it ${found === undefined ? "is not there" : `belongs to ${found}`}`;
}

function list(names: readonly string[]): string {
  return names.map((name) => literal(name)).join(", ") || "NULL";
}
