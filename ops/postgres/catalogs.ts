import type { ObjectKind } from "../../manifest/object-kinds";
import type { SuperuserLogin } from "../deployment/deployment";
import { asSuperuser } from "./superuser";

/** A privilege by an entry in an access control list, but for an owner's on what is his. */
export interface HeldPrivilege {
  /** null stands for PUBLIC. */
  readonly role: string | null;
  readonly kind: ObjectKind;
  readonly privilege: string;
  /** null of a database. */
  readonly schema: string | null;
  /** null of a database or schema. */
  readonly object: string | null;
  /** null of a whole table. */
  readonly column: string | null;
}

/** Privileges on what a role makes later. */
export interface LaterPrivilege {
  readonly maker: string;
  readonly role: string;
  readonly kind: ObjectKind;
  readonly privilege: string;
  readonly schema: string;
}

/** What PostgreSQL's catalogs say of a database, as far as a deploy of ours writes it. */
export interface Catalogs {
  readonly held: readonly HeldPrivilege[];
  readonly later: readonly LaterPrivilege[];
  /** All there are in the schemas. */
  readonly objects: readonly {
    readonly kind: ObjectKind;
    readonly schema: string;
    readonly object: string;
    readonly owner: string;
  }[];
  readonly schemas: readonly { readonly name: string; readonly owner: string }[];
  readonly roles: readonly {
    readonly name: string;
    readonly createsRoles: boolean;
    readonly memberOf: readonly string[];
  }[];
  /** The body of the function that makes leased logins; null where there is none. */
  readonly open: string | null;
}

/**
 * @param roles whose privileges are read, beside PUBLIC's
 * @param schemas whose objects are
 * @returns undefined where the database is not there
 * @throws SetupError when the server does not answer or refuses the login
 */
export function readCatalogs(
  login: SuperuserLogin,
  database: string,
  roles: readonly string[],
  schemas: readonly string[],
): Promise<Catalogs | undefined> {
  return asSuperuser(
    login,
    async (client) => (await client.query<Catalogs>(CATALOGS, [roles, schemas])).rows[0]!,
    database,
  );
}

/**
 * A routine has an entry where there was a GRANT or REVOKE: what PostgreSQL gives from the start no provider reads. A table is what
 * GRANT … ON ALL TABLES covers.
 */
const CATALOGS = `
  WITH schemas AS (
    SELECT oid, nspname AS schema, nspowner, nspacl FROM pg_namespace WHERE nspname = ANY ($2)
  ), relations AS (
    SELECT c.oid, CASE relkind WHEN 'S' THEN 'sequences' ELSE 'tables' END AS kind, schema, relname, relowner, relacl
    FROM pg_class c JOIN schemas s ON s.oid = relnamespace WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  ), routines AS (
    SELECT schema, p.oid::regprocedure::text AS routine, proowner, proacl FROM pg_proc p JOIN schemas s ON s.oid = pronamespace
  ), lists AS (
    SELECT 'database' AS kind, NULL::text AS schema, NULL::text AS object, NULL::text AS "column", datdba AS owner,
      coalesce(datacl, acldefault('d', datdba)) AS acl
    FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT 'schema', schema, NULL, NULL, nspowner, nspacl FROM schemas
    UNION ALL SELECT kind, schema, relname, NULL, relowner, relacl FROM relations
    UNION ALL SELECT kind, schema, relname, attname, relowner, attacl
      FROM relations r JOIN pg_attribute a ON attrelid = r.oid AND attacl IS NOT NULL AND NOT attisdropped
    UNION ALL SELECT 'functions', schema, routine, NULL, proowner, proacl FROM routines
  ), held AS (
    SELECT rolname AS role, kind, privilege_type AS privilege, schema, object, "column"
    FROM lists CROSS JOIN aclexplode(acl) LEFT JOIN pg_roles r ON r.oid = grantee
    WHERE grantee <> owner AND (grantee = 0 OR rolname = ANY ($1))
  ), later AS (
    SELECT pg_get_userbyid(defaclrole) AS maker, rolname AS role, privilege_type AS privilege, schema,
      CASE defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' END AS kind
    FROM pg_default_acl JOIN schemas s ON s.oid = defaclnamespace CROSS JOIN aclexplode(defaclacl)
      JOIN pg_roles r ON r.oid = grantee
    WHERE rolname = ANY ($1)
  ), objects AS (
    SELECT kind, schema, relname AS object, pg_get_userbyid(relowner) AS owner FROM relations
    UNION ALL SELECT 'functions', schema, routine, pg_get_userbyid(proowner) FROM routines
  ), roles AS (
    SELECT rolname AS name, rolcreaterole AS "createsRoles", ARRAY (
      SELECT pg_get_userbyid(roleid) FROM pg_auth_members WHERE member = r.oid GROUP BY 1 ORDER BY 1
    ) AS "memberOf"
    FROM pg_roles r WHERE rolname = ANY ($1)
  )
  SELECT
    (SELECT coalesce(json_agg(h ORDER BY role, kind, schema, object, privilege, "column"), '[]') FROM held h) AS held,
    (SELECT coalesce(json_agg(l), '[]') FROM later l) AS later,
    (SELECT coalesce(json_agg(o ORDER BY kind, schema, object), '[]') FROM objects o) AS objects,
    (SELECT coalesce(json_agg(json_build_object('name', schema, 'owner', pg_get_userbyid(nspowner))), '[]') FROM schemas) AS schemas,
    (SELECT coalesce(json_agg(r), '[]') FROM roles r) AS roles,
    (SELECT prosrc FROM pg_proc WHERE proname = 'open' AND pronamespace = to_regnamespace('leasehold')) AS open`;
