import { OBJECT_KINDS, type ObjectKind } from "../../manifest/object-kinds";
import type { ManifestDatabase } from "../../manifest/schema";
import { constructorOf, extensionOf, isOwn, literals, procedureOf } from "../session/sql";
import type { Session } from "../session/session";
import { schemaNames } from "./declared";

/** An entry of an access control list. */
export interface Grant {
  /** `table`, `column`, `foreign server` …; of later objects `tables` and the like. */
  readonly kind: string;
  /** By default privileges. */
  readonly later: boolean;
  /** Qualified, quoted where it has to be; of later objects, whose and where. */
  readonly object: string;
  readonly oid: number;
  /** A procedure, as a statement about it names it. */
  readonly procedure: string | null;
  /** Of the object, where it is in one. */
  readonly schema: string | null;
  /** Of a table, and of a table's column: their names alone. */
  readonly relation: string | null;
  readonly column: string | null;
  readonly owner: string;
  readonly privilege: string;
  /** Empty for PUBLIC. */
  readonly grantee: string;
  readonly grantor: string;
  readonly grantable: boolean;
  /** The extension that the object belongs to; of a schema, that all in it belongs to. */
  readonly extension: string | null;
}

export const PUBLIC = "";

/** Entries of every access control list of the database, and of the server's shared objects, for these grantees. */
export function grantsTo(catalogs: Session, grantees: readonly string[]): Promise<Grant[]> {
  const roles = `grantee IN (SELECT oid FROM pg_roles WHERE rolname IN (${literals(grantees)}))`;
  return readGrants(catalogs, grantees.includes(PUBLIC) ? `(grantee = 0 OR ${roles})` : roles);
}

/** The same for whoever else there is but PUBLIC and superusers, who need no grant. */
export function grantsToOthers(catalogs: Session, grantees: readonly string[]): Promise<Grant[]> {
  return readGrants(
    catalogs,
    `grantee IN (SELECT oid FROM pg_roles WHERE NOT rolsuper AND rolname NOT IN (${literals(grantees)}))`,
  );
}

/** Kinds of objects that have a name and no schema: their catalogs, and what the columns there begin with. */
const WITHOUT_SCHEMA = [
  ["language", "pg_language", "lan"],
  ["foreign server", "pg_foreign_server", "srv"],
  ["foreign-data wrapper", "pg_foreign_data_wrapper", "fdw"],
  ["tablespace", "pg_tablespace", "spc"],
]
  .map(
    ([kind, catalog, prefix]) =>
      `SELECT '${kind!}', '${catalog!}', oid, 0, NULL, quote_ident(${prefix!}name), ${prefix!}owner, ${prefix!}acl
       FROM ${catalog!}`,
  )
  .join(" UNION ALL ");

/** An ACL that is NULL stands for the owner's privileges and, on databases and functions, PUBLIC's. */
const ACLS = `
  SELECT 'database', 'pg_database'::regclass, oid, 0, NULL::name, quote_ident(datname), datdba,
    coalesce(datacl, acldefault('d', datdba))
  FROM pg_database
  UNION ALL
  SELECT 'schema', 'pg_namespace', oid, 0, nspname, quote_ident(nspname), nspowner, nspacl
  FROM pg_namespace
  UNION ALL
  SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, 'pg_class', c.oid, 0, nspname,
    format('%I.%I', nspname, relname), relowner, relacl
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relacl IS NOT NULL
  UNION ALL
  SELECT 'column', 'pg_class', c.oid, attnum, nspname,
    format('%I of %I.%I', attname, nspname, relname), relowner, attacl
  FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
  WHERE attacl IS NOT NULL
  UNION ALL
  SELECT 'function', 'pg_proc', p.oid, 0, nspname,
    format('%I.%I(%s)', nspname, proname, oidvectortypes(proargtypes)), proowner,
    coalesce(proacl, acldefault('f', proowner))
  FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
  WHERE proacl IS NOT NULL OR nspname NOT IN ('pg_catalog', 'information_schema')
  UNION ALL
  SELECT 'type', 'pg_type', t.oid, 0, nspname, format('%I.%I', nspname, typname), typowner, typacl
  FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
  WHERE typacl IS NOT NULL
  UNION ALL
  ${WITHOUT_SCHEMA}
  UNION ALL
  SELECT 'large object', 'pg_largeobject_metadata', oid, 0, NULL, oid::text, lomowner, lomacl
  FROM pg_largeobject_metadata
  UNION ALL
  SELECT 'parameter', 'pg_parameter_acl', oid, 0, NULL, parname, 10, paracl
  FROM pg_parameter_acl
  UNION ALL
  SELECT
    CASE defaclobjtype
      WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
      WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects'
    END,
    'pg_default_acl', d.oid, 0, nspname,
    format('%I%s', pg_get_userbyid(defaclrole), coalesce(' in schema ' || quote_ident(nspname), '')),
    defaclrole, defaclacl
  FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = defaclnamespace`;

/** The extension that all in a schema belongs to: whoever may use the extension may look into it. */
const EXTENSION_OF_SCHEMA = `
  SELECT extname FROM pg_extension
  WHERE extnamespace = entries.oid AND entries.privilege_type = 'USAGE'
    AND NOT EXISTS (
      SELECT FROM pg_class r
      WHERE relnamespace = entries.oid AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND ${isOwn("pg_class", "r", "relowner")}
    )
    AND NOT EXISTS (
      SELECT FROM pg_proc p WHERE pronamespace = entries.oid AND ${isOwn("pg_proc", "p", "proowner")}
    )
  ORDER BY 1 LIMIT 1`;

/** What PostgreSQL grants PUBLIC from the start and keeps no list of. */
const FROM_THE_START = `
  grantee = 0 AND (
    kind IN ('type', 'language')
    OR coalesce(schema = 'information_schema', false) AND privilege_type IN ('SELECT', 'USAGE')
    OR kind = 'function' AND EXISTS (${constructorOf("entries.oid")})
    OR kind = 'function' AND schema IN ('pg_catalog', 'information_schema') AND NOT EXISTS (
      SELECT FROM pg_init_privs i WHERE i.objoid = entries.oid AND i.classoid = entries.class
    )
    OR kind = 'types' AND schema IS NULL
  )`;

/** What PostgreSQL, or an extension of a superuser's, has granted since it was made. */
const INITIAL = `
  SELECT FROM pg_init_privs i, aclexplode(initprivs) initial
  WHERE i.objoid = entries.oid AND i.classoid = entries.class AND i.objsubid = entries.sub
    AND initial.grantee = entries.grantee AND initial.privilege_type = entries.privilege_type
    -- Where the schema public is declared it is taken.
    AND NOT (entries.kind = 'schema' AND entries.schema = 'public' AND entries.grantee = 0)
    -- Whoever owns an extension can write down anything as its own.
    AND (
      i.privtype = 'i' OR EXISTS (SELECT FROM pg_roles holder WHERE holder.oid = entries.owner AND rolsuper)
    )`;

/** @param grantee SQL over the column `grantee` */
function readGrants(catalogs: Session, grantee: string): Promise<Grant[]> {
  return catalogs.query<Grant>(
    `WITH acls(kind, class, oid, sub, schema, object, owner, acl) AS (${ACLS}),
     entries AS (
       SELECT acls.*, e.grantor, e.grantee, e.privilege_type, e.is_grantable
       FROM acls, aclexplode(acl) e
       WHERE ${grantee}
     )
     SELECT kind, class = 'pg_default_acl'::regclass AS later, object, oid::int8::float8 AS oid, schema,
       CASE kind WHEN 'function' THEN (${procedureOf("entries.oid")}) END AS procedure,
       CASE WHEN kind IN ('table', 'column') THEN (
         SELECT relname::text FROM pg_class r WHERE r.oid = entries.oid
       ) END AS relation,
       CASE kind WHEN 'column' THEN (
         SELECT attname::text FROM pg_attribute WHERE attrelid = entries.oid AND attnum = entries.sub
       ) END AS column,
       pg_get_userbyid(owner) AS owner, privilege_type AS privilege,
       CASE grantee WHEN 0 THEN '' ELSE pg_get_userbyid(grantee)::text END AS grantee,
       pg_get_userbyid(grantor) AS grantor, is_grantable AS grantable,
       CASE kind
         WHEN 'schema' THEN (${EXTENSION_OF_SCHEMA})
         ELSE (${extensionOf("entries.class", "entries.oid", "entries.owner")})
       END AS extension
     FROM entries
     WHERE grantee <> owner AND NOT (${FROM_THE_START}) AND NOT EXISTS (${INITIAL})
     ORDER BY 1, 3, grantee, privilege`,
  );
}

/** The object of a grant, and what it is. */
export function objectText({ kind, object, later }: Grant): string {
  return later ? `later ${kind} of ${object}` : `${kind} ${object}`;
}

export function grantText(grant: Grant): string {
  const { later, privilege, grantee, grantor, grantable } = grant;
  const by = later ? "by default privileges" : `by ${grantor}`;
  const option = grantable ? " WITH GRANT OPTION" : "";
  return `granted to ${grantee === PUBLIC ? "PUBLIC" : grantee} ${by}: ${privilege} on ${objectText(grant)}${option}`;
}

/** The kind of object that a grant is about, where privileges on it can be declared; a single column's can't. */
export function declarableKind({ kind, later }: Grant): ObjectKind | undefined {
  const kinds = Object.entries(OBJECT_KINDS) as [ObjectKind, (typeof OBJECT_KINDS)[ObjectKind]][];
  return kinds.find(([name, { grants }]) => (later ? name : grants[0]) === kind)?.[0];
}

/** On the database, on a schema of its, or on an object in one. */
export function isHere({ kind, object, schema }: Grant, database: ManifestDatabase): boolean {
  const unquoted = object.replace(/^"(.*)"$/, (_, name: string) => name.replaceAll('""', '"'));
  if (kind === "database") return unquoted === database.name;
  return schema !== null && schemaNames(database).includes(schema);
}
