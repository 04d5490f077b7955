import { escapeLiteral as literal } from "pg";
import { SET_OR_MEMBER } from "./rows";
import type { Session } from "../session/session";

/** An edge of pg_auth_members. */
export interface Membership {
  readonly role: string;
  readonly member: string;
  readonly grantor: string;
  readonly admin: boolean;
  /** Before PostgreSQL 16 it is the member's matter, and SET always true. */
  readonly inherits: boolean;
  readonly sets: boolean;
}

/** An entry of an access control list. */
export interface Grant {
  /** `table`, `column`, `default privileges` … */
  readonly kind: string;
  /** Qualified, quoted where it has to be; of default privileges, whose and where. */
  readonly object: string;
  readonly oid: number;
  /** Of the object, where it is in one. */
  readonly schema: string | null;
  readonly owner: string;
  readonly privilege: string;
  /** Empty for PUBLIC. */
  readonly grantee: string;
  readonly grantor: string;
  readonly grantable: boolean;
  /** The extension that the object belongs to; of a schema, that all in it belongs to. */
  readonly extension: string | null;
}

/** What a leased login can act as, by the catalogs. */
export interface Access {
  readonly login: string;
  /** The login and each role that it may SET ROLE to. */
  readonly roles: readonly string[];
  /** All memberships from the login upwards. */
  readonly memberships: readonly Membership[];
  /** What is granted to these roles and to PUBLIC, but for what PostgreSQL grants from the start. */
  readonly grants: readonly Grant[];
}

export async function readAccess(asker: Session, login: string): Promise<Access> {
  const memberships = await asker.query<Membership & { reached: boolean }>(
    `WITH RECURSIVE held AS (
       SELECT * FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = $1)
       UNION SELECT m.* FROM pg_auth_members m JOIN held ON m.member = held.roleid
     ) SELECT pg_get_userbyid(roleid) AS role, pg_get_userbyid(member) AS member, pg_get_userbyid(grantor) AS grantor,
         admin_option AS admin,
         coalesce((to_jsonb(held)->>'inherit_option')::boolean, (SELECT rolinherit FROM pg_roles WHERE oid = member)) AS inherits, coalesce((to_jsonb(held)->>'set_option')::boolean, true) AS sets, pg_has_role($1::name, roleid, ${SET_OR_MEMBER}) AS reached
       FROM held ORDER BY 1, 2, 3`,
    [login],
  );
  const roles = [
    ...new Set([login, ...memberships.filter(({ reached }) => reached).map(({ role }) => role)]),
  ];
  return { login, roles, memberships, grants: await grantsTo(asker, [...roles, PUBLIC]) };
}

export const PUBLIC = "";

/** Entries of every ACL of the database, and of the server's shared objects, for these grantees. */
export function grantsTo(asker: Session, grantees: readonly string[]): Promise<Grant[]> {
  const names = grantees.map((name) => literal(name)).join(", ");
  const roles = `grantee IN (SELECT oid FROM pg_roles WHERE rolname IN (${names}))`;
  return readGrants(asker, grantees.includes(PUBLIC) ? `(grantee = 0 OR ${roles})` : roles);
}

/** The same for whoever else there is but PUBLIC and superusers, who need no grant. */
export function grantsToOthers(asker: Session, grantees: readonly string[]): Promise<Grant[]> {
  const names = grantees.map((name) => literal(name)).join(", ");
  return readGrants(
    asker,
    `grantee IN (SELECT oid FROM pg_roles WHERE NOT rolsuper AND rolname NOT IN (${names}))`,
  );
}

/** @param grantee SQL over the column `grantee` */
function readGrants(asker: Session, grantee: string): Promise<Grant[]> {
  // An ACL that is NULL stands for the owner's privileges and, on databases and functions, PUBLIC's.
  return asker.query<Grant>(
    `WITH acls(kind, class, oid, sub, schema, object, owner, acl) AS (
       SELECT 'database', 'pg_database'::regclass, oid, 0, NULL::name, quote_ident(datname), datdba, coalesce(datacl, acldefault('d', datdba)) FROM pg_database
       UNION ALL SELECT 'schema', 'pg_namespace', oid, 0, nspname, quote_ident(nspname), nspowner, nspacl FROM pg_namespace
       UNION ALL SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, 'pg_class', c.oid, 0, nspname, format('%I.%I', nspname, relname), relowner, relacl
         FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relacl IS NOT NULL
       UNION ALL SELECT 'column', 'pg_class', c.oid, attnum, nspname, format('%I of %I.%I', attname, nspname, relname), relowner, attacl
         FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE attacl IS NOT NULL
       UNION ALL SELECT 'function', 'pg_proc', p.oid, 0, nspname, format('%I.%I(%s)', nspname, proname, oidvectortypes(proargtypes)), proowner, coalesce(proacl, acldefault('f', proowner))
         FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE proacl IS NOT NULL OR nspname NOT IN ('pg_catalog', 'information_schema')
       UNION ALL SELECT 'type', 'pg_type', t.oid, 0, nspname, format('%I.%I', nspname, typname), typowner, typacl
         FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE typacl IS NOT NULL
       UNION ALL SELECT 'language', 'pg_language', oid, 0, NULL, quote_ident(lanname), lanowner, lanacl FROM pg_language
       UNION ALL SELECT 'foreign server', 'pg_foreign_server', oid, 0, NULL, quote_ident(srvname), srvowner, srvacl FROM pg_foreign_server
       UNION ALL SELECT 'foreign-data wrapper', 'pg_foreign_data_wrapper', oid, 0, NULL, quote_ident(fdwname), fdwowner, fdwacl FROM pg_foreign_data_wrapper
       UNION ALL SELECT 'tablespace', 'pg_tablespace', oid, 0, NULL, quote_ident(spcname), spcowner, spcacl FROM pg_tablespace
       UNION ALL SELECT 'large object', 'pg_largeobject_metadata', oid, 0, NULL, oid::text, lomowner, lomacl FROM pg_largeobject_metadata
       UNION ALL SELECT 'parameter', 'pg_parameter_acl', oid, 0, NULL, parname, 10, paracl FROM pg_parameter_acl
       UNION ALL SELECT 'default privileges', 'pg_default_acl', d.oid, 0, nspname,
           format('%s of %I%s', CASE defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects' END,
             pg_get_userbyid(defaclrole), coalesce(' in schema ' || quote_ident(nspname), '')), defaclrole, defaclacl
         FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = defaclnamespace
     ), entries AS (
       SELECT acls.*, e.grantor, e.grantee, e.privilege_type, e.is_grantable FROM acls, aclexplode(acl) e
       WHERE ${grantee}
     ) SELECT kind, object, oid::int8::float8 AS oid, schema, pg_get_userbyid(owner) AS owner, privilege_type AS privilege,
         CASE grantee WHEN 0 THEN '' ELSE pg_get_userbyid(grantee)::text END AS grantee, pg_get_userbyid(grantor) AS grantor, is_grantable AS grantable,
         CASE WHEN kind <> 'schema' THEN (SELECT extname FROM pg_depend m JOIN pg_extension x ON x.oid = m.refobjid WHERE m.classid = entries.class AND m.objid = entries.oid AND m.refclassid = 'pg_extension'::regclass AND m.deptype = 'e' AND EXISTS (SELECT FROM pg_roles holder WHERE holder.oid = entries.owner AND rolsuper))
           WHEN privilege_type = 'USAGE' AND NOT EXISTS (SELECT FROM pg_class r WHERE relnamespace = entries.oid AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT EXISTS (${extensionOf("pg_class", "r.oid", "r.relowner")}))
             AND NOT EXISTS (SELECT FROM pg_proc p WHERE pronamespace = entries.oid AND NOT EXISTS (${extensionOf("pg_proc", "p.oid", "p.proowner")}))
           THEN (SELECT extname FROM pg_extension WHERE extnamespace = entries.oid ORDER BY 1 LIMIT 1)
         END AS extension
       FROM entries WHERE grantee <> owner
       -- What PostgreSQL grants PUBLIC from the start and keeps no list of.
       AND NOT (grantee = 0 AND (
         kind IN ('type', 'language')
         OR coalesce(schema = 'information_schema', false) AND privilege_type IN ('SELECT', 'USAGE')
         OR kind = 'function' AND EXISTS (${constructorOf("entries.oid")})
         OR kind = 'function' AND schema IN ('pg_catalog', 'information_schema') AND NOT EXISTS (SELECT FROM pg_init_privs i WHERE i.objoid = entries.oid AND i.classoid = entries.class)
         OR kind = 'default privileges' AND schema IS NULL AND object LIKE 'types of %'
       ))
       AND NOT EXISTS (
         SELECT FROM pg_init_privs i, aclexplode(initprivs) d
         WHERE i.objoid = entries.oid AND i.classoid = entries.class AND i.objsubid = entries.sub AND d.grantee = entries.grantee AND d.privilege_type = entries.privilege_type
           -- Who owns an extension writes down what they please as its own.
           AND (i.privtype = 'i' OR EXISTS (SELECT FROM pg_roles holder WHERE holder.oid = entries.owner AND rolsuper))
       ) ORDER BY 1, 2, grantee, privilege`,
  );
}

/** SQL that gives a row where a function is a range type's constructor: PostgreSQL's first superuser owns it, and all may use it. */
export function constructorOf(oid: string): string {
  return `SELECT FROM pg_depend m WHERE m.classid = 'pg_proc'::regclass AND m.objid = ${oid} AND m.refclassid = 'pg_type'::regclass AND m.deptype = 'i'`;
}

/**
 * SQL that gives the extension which an object belongs to. One that is no superuser's is its owner's alone: who installed a
 * trusted extension can have it take what is theirs.
 */
export function extensionOf(catalog: string, oid: string, owner: string): string {
  return `SELECT extname FROM pg_depend m JOIN pg_extension x ON x.oid = m.refobjid WHERE m.classid = '${catalog}'::regclass AND m.objid = ${oid} AND m.refclassid = 'pg_extension'::regclass AND m.deptype = 'e' AND EXISTS (SELECT FROM pg_roles holder WHERE holder.oid = ${owner} AND rolsuper)`;
}

export function grantText({ kind, object, privilege, grantee, grantor, grantable }: Grant): string {
  const to = grantee === PUBLIC ? "PUBLIC" : grantee;
  const option = grantable ? " WITH GRANT OPTION" : "";
  if (kind === "default privileges")
    return `granted to ${to} by default privileges: ${privilege} on later ${object}${option}`;
  return `granted to ${to} by ${grantor}: ${privilege} on ${kind} ${object}${option}`;
}

export function membershipText({ role, member, grantor, admin }: Membership): string {
  return `membership of ${member} in ${role}, granted by ${grantor}${admin ? " WITH ADMIN OPTION" : ""}`;
}
