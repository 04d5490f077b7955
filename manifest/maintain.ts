import { maintainRoleOf } from "./names";
import { maintains, privilegesIn } from "./privileges";
import type { ManifestDatabase } from "./schema";

/** From when on PostgreSQL has MAINTAIN: the major version. */
export const MAINTAIN_SINCE = 17;

/** A query, in a database, whose rows are statements. */
export interface MaintainQuery {
  readonly role: string;
  readonly text: string;
  readonly values: readonly unknown[];
}

/**
 * For each persona with MAINTAIN, the statements that bring what its own role for it has on tables, and by default privileges, to
 * exactly what is declared: Terraform's provider refuses MAINTAIN, and reads it back as a difference on the persona's group. Each may
 * be run again. The session's search_path is to be pg_catalog.
 */
export function maintainQueries(database: Pick<ManifestDatabase, "personas" | "schemas">): MaintainQuery[] {
  return database.personas.filter(maintains).map((persona) => {
    const sets = database.schemas.map((schema) => ({ schema, set: privilegesIn(persona, schema.name) }));
    const onAll = sets.filter(({ set }) => set.tables.includes("MAINTAIN")).map(({ schema }) => schema);
    const named = sets.flatMap(({ schema, set }) =>
      set.namedTables
        .filter(({ privileges }) => privileges.includes("MAINTAIN"))
        .map(({ name }) => ({ schema: schema.name, name })),
    );
    const later = onAll.flatMap(({ name, owner, creators = [] }) =>
      [...new Set([owner, ...creators])].map((maker) => ({ schema: name, maker })),
    );
    const role = maintainRoleOf(persona);
    return {
      ...{ role, text: STATEMENTS },
      values: [
        ...[role, onAll.map(({ name }) => name)],
        ...[named.map(({ schema }) => schema), named.map(({ name }) => name)],
        ...[later.map(({ maker }) => maker), later.map(({ schema }) => schema)],
      ],
    };
  });
}

/** What GRANT … ON ALL TABLES covers. A superuser grants as the owner; another acts as it, as a member for that long where it may only make members. */
const STATEMENTS = `
  WITH role AS (SELECT oid FROM pg_roles WHERE rolname = $1),
  tables AS (
    SELECT c.oid, relowner, relacl, nspname = ANY ($2) OR EXISTS (
      SELECT FROM unnest($3::text[], $4::text[]) named(schema, name) WHERE nspname = named.schema AND relname = named.name
    ) AS declared
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
  ),
  held AS (
    SELECT t.oid, privilege_type, grantor,
      declared AND privilege_type = 'MAINTAIN' AND grantor = relowner AND NOT is_grantable AS declared
    FROM tables t, aclexplode(relacl) WHERE grantee = (SELECT oid FROM role)
  ),
  makers AS (
    SELECT r.oid AS maker, n.oid AS schema
    FROM unnest($5::text[], $6::text[]) declared(maker, schema)
      JOIN pg_roles r ON rolname = declared.maker JOIN pg_namespace n ON nspname = declared.schema
  ),
  later AS (
    SELECT defaclrole, defaclnamespace, privilege_type,
      privilege_type = 'MAINTAIN' AND NOT is_grantable AND (defaclrole, defaclnamespace) IN (SELECT maker, schema FROM makers) AS declared
    FROM pg_default_acl, aclexplode(defaclacl) WHERE defaclobjtype = 'r' AND grantee = (SELECT oid FROM role)
  ),
  statements AS (
    SELECT 1 AS place, grantor AS actor,
      format('REVOKE %s ON TABLE %s FROM %I CASCADE', privilege_type, oid::regclass, $1::text) AS sql
    FROM held WHERE NOT declared
    UNION ALL
    SELECT 2, CASE current_setting('is_superuser') WHEN 'off' THEN relowner END,
      format('GRANT MAINTAIN ON TABLE %s TO %I', oid::regclass, $1::text)
    FROM tables t
    WHERE declared AND pg_has_role(relowner, 'MEMBER') AND EXISTS (SELECT FROM role)
      AND NOT EXISTS (SELECT FROM held WHERE held.oid = t.oid AND held.declared)
    UNION ALL
    SELECT 1, CASE current_setting('is_superuser') WHEN 'off' THEN defaclrole END, format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE %s ON TABLES FROM %I', pg_get_userbyid(defaclrole),
      CASE defaclnamespace WHEN 0 THEN '' ELSE format(' IN SCHEMA %s', defaclnamespace::regnamespace) END, privilege_type, $1::text)
    FROM later WHERE NOT declared
    UNION ALL
    SELECT 2, CASE current_setting('is_superuser') WHEN 'off' THEN maker END, format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %s GRANT MAINTAIN ON TABLES TO %I',
      pg_get_userbyid(maker), schema::regnamespace, $1::text)
    FROM makers
    WHERE EXISTS (SELECT FROM role) AND NOT EXISTS (
      SELECT FROM later WHERE (defaclrole, defaclnamespace) = (maker, schema) AND declared
    )
  )
  SELECT CASE WHEN actor IS NULL THEN sql
    WHEN pg_has_role(actor, 'SET') THEN format('SET LOCAL ROLE %I; %s; RESET ROLE', pg_get_userbyid(actor), sql)
    ELSE format('GRANT %1$I TO CURRENT_USER; SET LOCAL ROLE %1$I; %2$s; RESET ROLE; REVOKE %1$I FROM CURRENT_USER',
      pg_get_userbyid(actor), sql) END AS sql
  FROM statements ORDER BY place`;

/** Of a server that has no MAINTAIN, whose personas declare it: a line, for people. */
export function withoutMaintain(
  { name, personas }: Pick<ManifestDatabase, "name" | "personas">,
  major: number,
): string | undefined {
  const persona = personas.find(maintains);
  if (persona === undefined || major >= MAINTAIN_SINCE) return undefined;
  return `PostgreSQL ${String(major)} has no MAINTAIN, which the persona ${persona.name} of the database ${name} declares: upgrade the server to ${String(MAINTAIN_SINCE)} or later, or correct the config`;
}
