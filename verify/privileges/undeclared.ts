import { escapeLiteral as literal } from "pg";
import type { Acceptance, Finding } from "../report/accepted";
import {
  extensionOf,
  grantText,
  grantsTo,
  grantsToOthers,
  membershipText,
  PUBLIC,
  type Access,
  type Grant,
} from "./catalogs";
import { isDeclaredMembership } from "./causes";
import type { Place } from "./rows";
import { DEFINER_BODY, DEFINER_PATH } from "../session/probes";
import type { ManifestDatabase } from "../../manifest/schema";
import { groupsOf } from "./groups";
import { listed } from "../report/check";
import type { Check } from "../report/check";
import type { Session } from "../session/session";

/** Memberships from the leased login upwards: its group, and for a persona that acts as the owner the owner. */
export function memberships(place: Place, access: Access, check: Check): string | undefined {
  const { persona, database } = place;
  const declared = (role: string, member: string) => isDeclaredMembership(place, access, role, member);
  const findings: string[] = [];
  for (const membership of access.memberships) {
    const { role, member, admin, inherits, sets } = membership;
    check.note("pg_auth_members", membershipText(membership));
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
  acceptance: Acceptance,
  check: Check,
): Promise<string | undefined> {
  const own = [access.login, place.persona.groupRole];
  const grants = access.grants
    .filter(({ grantee }) => own.includes(grantee))
    .filter((grant) => !isDeclared(grant, place) && !isShown(grant, place))
    .map(grantText);
  check.note("aclexplode of every ACL", grants.join("; ") || "as declared");

  const owned = await asker.attempt(
    `SELECT pg_get_userbyid(refobjid) AS owner, coalesce(pg_describe_object(classid, objid, objsubid), 'an object') || CASE WHEN dbid NOT IN (0, d.oid) THEN ' in database ' || (SELECT datname FROM pg_database o WHERE o.oid = dbid) ELSE '' END AS what FROM pg_shdepend, (SELECT oid FROM pg_database WHERE datname = current_database()) d WHERE refclassid = 'pg_authid'::regclass AND classid <> 'pg_auth_members'::regclass AND deptype = 'o' AND refobjid IN (SELECT oid FROM pg_roles WHERE rolname IN (${own.map((name) => literal(name)).join(", ")}))`,
    check,
  );
  const definers = await asker.attempt(definersSql(place, access), check);
  if ("sqlstate" in owned) return owned.message;
  if ("sqlstate" in definers) return definers.message;
  const findings = [
    ...grants.filter((text) => !named.includes(text)),
    ...owned.rows.map(({ owner, what }) => `${String(owner)} owns ${String(what)}`),
    ...acceptance.open(
      definers.rows.map(({ name, owner }) => ({
        id: `definer:${String(name)}:${place.persona.groupRole} as ${String(owner)}`,
        text: `SECURITY DEFINER function ${String(name)} can be executed and runs as ${String(owner)}`,
      })),
      check,
    ),
  ];
  return findings.length ? `not declared: ${listed(findings, check)!}` : undefined;
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
export function isHere({ kind, object, schema }: Grant, database: ManifestDatabase): boolean {
  const unquoted = object.replace(/^"(.*)"$/, (_, name: string) => name.replaceAll('""', '"'));
  if (kind === "database") return unquoted === database.name;
  return schema === database.schema;
}

/**
 * SECURITY DEFINER functions that one of the persona's roles may execute and that run as none of them, but for extensions'
 * and for probes, which tell who they run as and no more.
 */
function definersSql({ database }: Place, { roles }: Access): string {
  const holders = roles.map((name) => literal(name)).join(", ");
  return `SELECT format('%I.%I(%s)', nspname, proname, oidvectortypes(proargtypes)) AS name, pg_get_userbyid(proowner) AS owner
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
    WHERE prosecdef AND pg_get_userbyid(proowner) NOT IN (${holders})
      AND NOT (nspname = ${literal(database.schema)} AND pg_get_userbyid(proowner) = ${literal(database.owner)} AND ${IS_PROBE})
      AND NOT EXISTS (${extensionOf("pg_proc", "p.oid", "p.proowner")})
      AND EXISTS (SELECT FROM unnest(ARRAY[${holders}]::name[]) role WHERE has_function_privilege(role, p.oid, 'EXECUTE') AND has_schema_privilege(role, n.oid, 'USAGE'))
    ORDER BY 1`;
}

/** As makeProbes makes it: a name alone proves nothing. */
const IS_PROBE = `(starts_with(proname, 'leasehold_probe_') AND prosrc = ${literal(DEFINER_BODY)} AND pronargs = 0 AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'sql') AND proconfig IS NOT DISTINCT FROM ARRAY[${literal(`search_path=${DEFINER_PATH}`)}])`;

/**
 * What PUBLIC holds: on the database, the schema and its objects nothing is declared for it. Elsewhere in the database it
 * may execute functions, as PostgreSQL has it from the start; what is an extension's is the extension's.
 */
export async function publicAccess(
  asker: Session,
  database: ManifestDatabase,
  acceptance: Acceptance,
  check: Check,
): Promise<string | undefined> {
  const all = await grantsTo(asker, [PUBLIC]);
  const found = all.filter((grant) => {
    const { kind, privilege, schema, owner, object, extension } = grant;
    if (kind === "default privileges") {
      if (schema !== null) return schema === database.schema;
      // From the start each role's functions are everybody's; the owner's are not.
      return owner === database.owner || privilege !== "EXECUTE" || !object.startsWith("functions of ");
    }
    if (extension !== null) return false;
    if (kind === "database") return isHere(grant, database);
    if (kind === "function") return [database.schema, "pg_catalog", "information_schema"].includes(schema!);
    return true;
  });
  const texts = found.map(grantText);
  check.note("aclexplode of every ACL, for PUBLIC", texts.join("; ") || "nothing");
  const extensions = new Set(all.flatMap(({ extension }) => extension ?? []));
  if (extensions.size > 0)
    check.note("objects of extensions, which PUBLIC may use", [...extensions].join(", "));
  const findings = acceptance.open(
    found.map((grant, i) => ({ id: `public:${grantId(grant)}`, text: texts[i]! })),
    check,
  );
  return findings.length ? `not declared: ${listed(findings, check)!}` : undefined;
}

/** Whoever holds something on the database, in the schema or on what is the owner's, now or later, without being declared. */
export async function grantsToUndeclared(
  asker: Session,
  database: ManifestDatabase,
  acceptance: Acceptance,
  check: Check,
): Promise<string | undefined> {
  const { owner, manager, schema } = database;
  const declared = [owner, ...(manager === undefined ? [] : [manager]), ...groupsOf(database)];
  const found = (await grantsToOthers(asker, declared)).filter(
    (grant) =>
      grant.extension === null &&
      (grant.schema === schema ||
        // Who else may connect is the server's matter, and what they can do there is found by the rest.
        (grant.kind === "database" && grant.privilege === "CREATE" && isHere(grant, database)) ||
        grant.owner === owner ||
        (grant.kind === "default privileges" && grant.schema === null)),
  );
  check.note(
    "aclexplode of every ACL, for roles that are not declared",
    found.map(grantText).join("; ") || "nothing",
  );
  // One finding for what a role holds on all objects of a kind: its id stays when tables come and go.
  const byId = new Map<string, Grant[]>();
  for (const grant of found) {
    const { kind, object, grantee, privilege, grantable } = grant;
    const on =
      kind === "default privileges"
        ? `later ${object}`
        : kind === "database"
          ? `database ${object}`
          : `${kind} in ${grant.schema ?? "the database"}`;
    const id = `grant:${on}:${privilege} to ${grantee}${grantable ? " WITH GRANT OPTION" : ""}`;
    byId.set(id, [...(byId.get(id) ?? []), grant]);
  }
  const findings: Finding[] = [...byId].map(([id, grants]) => {
    const [first] = grants as [Grant];
    const more = grants.length > 1 ? ` and ${String(grants.length - 1)} more` : "";
    return { id, text: `${grantText(first)}${more}` };
  });
  const open = acceptance.open(findings, check);
  return open.length ? `not declared: ${listed(open, check)!}` : undefined;
}

function grantId({ kind, object, privilege }: Grant): string {
  return `${kind === "default privileges" ? "later" : kind} ${object}:${privilege}`;
}
