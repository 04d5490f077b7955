import { escapeLiteral as literal } from "pg";
import { grantText, grantsTo, membershipText, PUBLIC, type Access, type Grant } from "./access";
import { isDeclaredMembership } from "./causes";
import type { Place } from "./columns";
import type { ManifestDatabase } from "./manifest";
import type { Evidence } from "./report";
import type { Session } from "./session";

/** Memberships from the leased login upwards: its group, and for a persona that acts as the owner the owner. */
export function memberships(place: Place, access: Access, evidence: Evidence[]): string | undefined {
  const { persona, database } = place;
  const declared = (role: string, member: string) => isDeclaredMembership(place, access, role, member);
  const findings: string[] = [];
  for (const membership of access.memberships) {
    const { role, member, admin, inherits, sets } = membership;
    evidence.push({ sent: "pg_auth_members", got: membershipText(membership) });
    if (!declared(role, member) || admin) findings.push(`not declared: ${membershipText(membership)}`);
    else if (!inherits || !sets)
      findings.push(`${membershipText(membership)}, is without ${inherits ? "SET" : "INHERIT"}`);
  }
  const edges: readonly (readonly [string, string])[] = [
    [access.login, persona.groupRole],
    ...(persona.actsAsOwner ? [[persona.groupRole, database.owner] as const] : []),
  ];
  for (const [member, role] of edges)
    if (!access.memberships.some((found) => found.member === member && found.role === role))
      findings.push(`declared and missing: membership of ${member} in ${role}`);
  return findings.length ? findings.join("; ") : undefined;
}

/** What the matrix has a row for. */
const IN_MATRIX: Readonly<Record<string, "database" | "schema" | "tables" | "sequences" | "functions">> = {
  database: "database",
  schema: "schema",
  table: "tables",
  sequence: "sequences",
  function: "functions",
};

/**
 * What a persona's roles hold beyond the manifest and beyond what the matrix has shown: grants elsewhere, grants that can
 * be passed on, default privileges, objects that they own, functions that run as somebody else.
 * @param named causes that the matrix's findings name already
 */
export async function undeclaredAccess(
  asker: Session,
  place: Place,
  access: Access,
  named: readonly string[],
  evidence: Evidence[],
): Promise<string | undefined> {
  const own = [access.login, place.persona.groupRole];
  const grants = access.grants
    .filter(({ grantee }) => own.includes(grantee))
    .filter((grant) => !isDeclared(grant, place) && !isShown(grant, place))
    .map(grantText);
  evidence.push({ sent: "aclexplode of every ACL", got: grants.join("; ") || "as declared" });

  const owned = await asker.attempt(
    `SELECT pg_get_userbyid(refobjid) AS owner, coalesce(pg_describe_object(classid, objid, objsubid), 'an object') || CASE WHEN dbid NOT IN (0, d.oid) THEN ' in database ' || (SELECT datname FROM pg_database o WHERE o.oid = dbid) ELSE '' END AS what FROM pg_shdepend, (SELECT oid FROM pg_database WHERE datname = current_database()) d WHERE refclassid = 'pg_authid'::regclass AND classid <> 'pg_auth_members'::regclass AND deptype = 'o' AND refobjid IN (SELECT oid FROM pg_roles WHERE rolname IN (${own.map((name) => literal(name)).join(", ")}))`,
    evidence,
  );
  const definers = await asker.attempt(definersSql(place, access), evidence);
  if ("sqlstate" in owned) return owned.message;
  if ("sqlstate" in definers) return definers.message;
  const findings = [
    ...grants.filter((text) => !named.includes(text)),
    ...owned.rows.map(({ owner, what }) => `${String(owner)} owns ${String(what)}`),
    ...definers.rows.map(
      ({ name, owner }) =>
        `SECURITY DEFINER function ${String(name)} can be executed and runs as ${String(owner)}`,
    ),
  ];
  return findings.length ? `not declared: ${findings.join("; ")}` : undefined;
}

function isDeclared(grant: Grant, { persona, database }: Place): boolean {
  const { kind, owner, schema, object, privilege, grantee, grantable } = grant;
  if (grantee !== persona.groupRole || grantable) return false;
  if (kind === "default privileges") {
    if (owner !== database.owner || schema !== database.schema) return false;
    const [of] = object.split(" ");
    return (["tables", "sequences", "functions"] as const).some(
      (name) => name === of && (persona.privileges[name] as readonly string[]).includes(privilege),
    );
  }
  const declared = IN_MATRIX[kind];
  if (!declared || !isHere(grant, database)) return false;
  return (persona.privileges[declared] as readonly string[]).includes(privilege);
}

/** The matrix has a row for it: if it is too much, that row says so. */
function isShown(grant: Grant, { database }: Place): boolean {
  return IN_MATRIX[grant.kind] !== undefined && isHere(grant, database) && !grant.grantable;
}

/** On the persona's database or schema, or on an object in the schema. */
function isHere({ kind, object, schema }: Grant, database: ManifestDatabase): boolean {
  const unquoted = object.replace(/^"(.*)"$/, (_, name: string) => name.replaceAll('""', '"'));
  if (kind === "database") return unquoted === database.name;
  return schema === database.schema;
}

/** SECURITY DEFINER functions outside what is declared: the owner's own in the schema are EXECUTE's matter. */
function definersSql({ database }: Place, { roles }: Access): string {
  const holders = roles.map((name) => literal(name)).join(", ");
  return `SELECT format('%I.%I(%s)', nspname, proname, oidvectortypes(proargtypes)) AS name, pg_get_userbyid(proowner) AS owner FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE prosecdef AND nspname NOT IN ('pg_catalog', 'information_schema') AND NOT (nspname = ${literal(database.schema)} AND pg_get_userbyid(proowner) = ${literal(database.owner)}) AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e') AND EXISTS (SELECT FROM unnest(ARRAY[${holders}]::name[]) role WHERE has_function_privilege(role, p.oid, 'EXECUTE') AND has_schema_privilege(role, n.oid, 'USAGE'))`;
}

/**
 * What PUBLIC holds: on the database, the schema and its objects nothing is declared for it. Elsewhere in the database it
 * may look up names and execute functions, as PostgreSQL has it from the start.
 */
export async function publicAccess(
  asker: Session,
  database: ManifestDatabase,
  evidence: Evidence[],
): Promise<string | undefined> {
  const found = (await grantsTo(asker, [PUBLIC]))
    .filter((grant) => {
      const { kind, privilege, schema, owner } = grant;
      if (kind === "default privileges")
        return owner === database.owner && (schema === null || schema === database.schema);
      if (kind === "database" || schema === database.schema)
        return isHere(grant, database) && kind !== "type";
      if (kind === "schema") return privilege === "CREATE";
      return [
        "table",
        "column",
        "sequence",
        "parameter",
        "large object",
        "foreign server",
        "tablespace",
      ].includes(kind);
    })
    .map(grantText);
  evidence.push({ sent: "aclexplode of every ACL, for PUBLIC", got: found.join("; ") || "nothing" });
  return found.length ? `not declared: ${found.join("; ")}` : undefined;
}
