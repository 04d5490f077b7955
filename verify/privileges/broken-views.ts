import { escapeIdentifier as ident } from "pg";
import type { LeasedContext } from "../context";
import { FIRST_OBJECT, literals } from "../session/sql";
import { schemaNames } from "./declared";

/** Why a view can't be read by who may select from it, and what mends that. */
export interface Broken {
  readonly causes: readonly string[];
  readonly mends: readonly string[];
}

/**
 * Views in the schemas that no role of the persona's session can read though it may select from them: what a view reads is asked of its
 * owner, or with security_invoker of whoever selects; a function that it calls of whoever selects. By the names of the views.
 */
export async function brokenViews({
  owner: catalogs,
  database,
  persona,
  access: { login, roles },
}: Pick<LeasedContext, "owner" | "database" | "persona" | "access">): Promise<Map<string, Broken>> {
  const found = await catalogs.query<{
    schema: string;
    name: string;
    causes: string[];
    mends: string[];
  }>(
    sql(
      literals(schemaNames(database)),
      // The login has what its group has.
      literals(roles.includes(persona.groupRole) ? roles.filter((role) => role !== login) : roles),
    ),
  );
  return new Map(found.map(({ schema, name, ...broken }) => [`${ident(schema)}.${name}`, broken]));
}

function sql(schemas: string, roles: string): string {
  return `
    WITH RECURSIVE acting AS (
      SELECT oid, rolname FROM pg_roles WHERE rolname IN (${roles})
    ),
    walk(root, view) AS (
      SELECT c.oid, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
      WHERE nspname IN (${schemas}) AND relkind = 'v'
      UNION
      SELECT root, refobjid
      FROM walk JOIN pg_rewrite r ON ev_class = view AND ev_type = '1'
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND refclassid = 'pg_class'::regclass
        JOIN pg_class c ON c.oid = refobjid AND relkind = 'v'
    ),
    views AS (
      SELECT c.oid, c.oid::regclass AS view, relowner,
        coalesce((
          SELECT split_part(o, '=', 2)::boolean FROM unnest(reloptions) o WHERE starts_with(o, 'security_invoker=')
        ), false) AS invoker
      FROM pg_class c WHERE c.oid IN (SELECT view FROM walk)
    ),
    reads AS (
      SELECT ev_class AS view, refclassid AS class, refobjid AS oid,
        array_remove(array_agg(DISTINCT refobjsubid), 0) AS columns
      FROM views JOIN pg_rewrite r ON ev_class = views.oid AND ev_type = '1'
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
      WHERE refobjid <> ev_class AND (
        refclassid = 'pg_class'::regclass AND refobjid >= ${FIRST_OBJECT}
        OR refclassid = 'pg_proc'::regclass AND refobjid >= ${FIRST_OBJECT}
      )
      GROUP BY 1, 2, 3
    ),
    asked AS (
      SELECT root, a.oid AS acting, v.view, class, reads.oid, columns, invoker,
        CASE WHEN invoker OR class = 'pg_proc'::regclass THEN a.oid ELSE relowner END AS role
      FROM walk JOIN views v ON v.oid = walk.view JOIN reads ON reads.view = walk.view CROSS JOIN acting a
      WHERE has_table_privilege(a.oid, root, 'SELECT')
    ),
    lacking AS (
      SELECT * FROM asked
      WHERE CASE class
        WHEN 'pg_proc'::regclass THEN
          EXISTS (SELECT FROM pg_proc p WHERE p.oid = asked.oid) AND NOT has_function_privilege(role, oid, 'EXECUTE')
        ELSE
          EXISTS (SELECT FROM pg_class c WHERE c.oid = asked.oid AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S'))
          AND NOT has_table_privilege(role, oid, 'SELECT')
          AND CASE WHEN columns = '{}' THEN NOT has_any_column_privilege(role, oid, 'SELECT') ELSE EXISTS (
            SELECT FROM unnest(columns) number WHERE NOT has_column_privilege(role, oid, number::int2, 'SELECT')
          ) END
      END
    ),
    told AS (
      SELECT root, acting,
        format(
          '%s has no %s, which the view %s needs of %s',
          pg_get_userbyid(role),
          CASE class
            WHEN 'pg_proc'::regclass THEN 'EXECUTE on ' || oid::regprocedure
            ELSE 'SELECT on ' || oid::regclass
          END,
          view,
          CASE WHEN invoker OR class = 'pg_proc'::regclass THEN 'who selects from it' ELSE 'its owner' END
        ) AS cause,
        format(
          'GRANT %s TO %I',
          CASE class
            WHEN 'pg_proc'::regclass THEN 'EXECUTE ON ROUTINE ' || oid::regprocedure
            ELSE 'SELECT ON TABLE ' || oid::regclass
          END,
          pg_get_userbyid(role)
        ) AS mend
      FROM lacking
    )
    SELECT nspname AS schema, quote_ident(relname) AS name,
      array_agg(DISTINCT cause) AS causes, array_agg(DISTINCT mend) AS mends
    FROM told JOIN pg_class c ON c.oid = root JOIN pg_namespace n ON n.oid = relnamespace
    -- One that can read it is enough.
    WHERE NOT EXISTS (
      SELECT FROM acting a
      WHERE has_table_privilege(a.oid, told.root, 'SELECT')
        AND NOT EXISTS (SELECT FROM told other WHERE other.root = told.root AND other.acting = a.oid)
    )
    GROUP BY 1, 2`;
}
