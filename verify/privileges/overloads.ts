import { escapeLiteral as literal } from "pg";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import type { Session } from "../session/session";
import { extensionOf, FIRST_OBJECT, isOwn, literals } from "../session/sql";
import { schemaNames, searchPathOfPersona } from "./declared";

/**
 * What PostgreSQL could take for its own: functions (aggregates and procedures too), operators and casts in a schema on the
 * search path of a persona or of Vault's login, or in pg_catalog itself, with a name that PostgreSQL has there, since
 * arguments that match better win over the place on the path; and schemas with a name for which `"$user"` stands.
 */
export async function overloads(context: DatabaseContext, check: Check): Promise<void> {
  const { owner: catalogs, database, acceptance } = context;
  const { manager = "" } = database;
  const path = await searchPath(catalogs, manager);
  const personas = database.personas.flatMap((persona) => searchPathOfPersona(database, persona));
  const schemas = literals([...new Set([...schemaNames(database), ...personas, ...path])]);
  const routines = await catalogs.read<Record<"object" | "shadowed" | "owner" | "kind", string>>(
    routinesSql(schemas),
    check,
  );
  const casts = await catalogs.read<Record<"object" | "context", string>>(castsSql(schemas), check);
  const namesakes = await catalogs.read<Record<"object" | "owner" | "kind", string>>(
    namesakesSql(manager),
    check,
  );
  acceptance.find(check, [
    ...routines.map(({ object, shadowed, owner, kind }) => ({
      id: `overload:${object}:${shadowed}`,
      text: `${kind} ${object} of ${owner} has the name of ${shadowed}`,
    })),
    ...casts.map(({ object, context }) => ({
      id: `cast:${object}:${context}`,
      text: `cast ${object} is ${context}`,
    })),
    ...namesakes.map(({ object, owner, kind }) => ({
      id: `schema:${object}:${kind} ${object}`,
      text: `schema ${object} of ${owner} has the name of the ${kind} ${object}, whose search path may begin with it`,
    })),
  ]);
}

function routinesSql(schemas: string): string {
  return `
    SELECT format('%I.%I(%s)', nspname, proname, oidvectortypes(proargtypes)) AS object,
      'pg_catalog.' || quote_ident(proname) AS shadowed, pg_get_userbyid(proowner) AS owner,
      CASE prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE 'function' END AS kind
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
    WHERE nspname IN ('pg_catalog', ${schemas}) AND p.oid >= ${FIRST_OBJECT}
      AND proname IN (
        SELECT proname FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND oid < ${FIRST_OBJECT}
      )
      AND ${isOwn("pg_proc", "p", "proowner")}
    UNION ALL
    SELECT
      format(
        '%I.%s(%s, %s)', nspname, oprname,
        CASE oprleft WHEN 0 THEN 'none' ELSE format_type(oprleft, NULL) END, format_type(oprright, NULL)
      ),
      'pg_catalog.' || oprname, pg_get_userbyid(oprowner), 'operator'
    FROM pg_operator o JOIN pg_namespace n ON n.oid = oprnamespace
    WHERE nspname IN ('pg_catalog', ${schemas}) AND o.oid >= ${FIRST_OBJECT}
      AND oprname IN (
        SELECT oprname FROM pg_operator
        WHERE oprnamespace = 'pg_catalog'::regnamespace AND oid < ${FIRST_OBJECT}
      )
      AND ${isOwn("pg_operator", "o", "oprowner")}
    ORDER BY 1`;
}

/** A cast is an extension's where both of its types are of a superuser's. */
function castsSql(schemas: string): string {
  const extension = (type: string) => extensionOf("'pg_cast'::regclass", "c.oid", `${type}.typowner`);
  return `
    SELECT format('(%s AS %s)', format_type(castsource, NULL), format_type(casttarget, NULL)) AS object,
      CASE castcontext WHEN 'i' THEN 'implicit' ELSE 'assignment' END AS context
    FROM pg_cast c
      JOIN pg_type s ON s.oid = castsource JOIN pg_type t ON t.oid = casttarget
      LEFT JOIN pg_proc f ON f.oid = castfunc
    WHERE castcontext <> 'e' AND NOT (EXISTS (${extension("s")}) AND EXISTS (${extension("t")}))
      AND EXISTS (
        SELECT FROM pg_namespace n
        WHERE n.oid IN (s.typnamespace, t.typnamespace, f.pronamespace)
          AND nspname IN (${schemas}) AND nspname <> 'pg_catalog'
      )
    ORDER BY 1`;
}

/** Schemas with a superuser's name or that of Vault's login, where others can create. */
function namesakesSql(manager: string): string {
  return `
    SELECT quote_ident(nspname) AS object, pg_get_userbyid(nspowner) AS owner,
      CASE WHEN r.rolsuper THEN 'superuser' ELSE 'login' END AS kind
    FROM pg_namespace n JOIN pg_roles r ON r.rolname = nspname
    WHERE (r.rolsuper OR r.rolname = ${literal(manager)})
      AND ${isOwn("pg_namespace", "n", "nspowner")}
      AND EXISTS (
        SELECT FROM pg_roles other
        WHERE NOT other.rolsuper AND has_schema_privilege(other.oid, n.oid, 'CREATE')
      )
    ORDER BY 1`;
}

/** A login's, or PostgreSQL's default where it has none of its own; nothing where there is no such login. */
async function searchPath(catalogs: Session, login: string): Promise<string[]> {
  const found = await catalogs.query<{ path: string | null }>(
    `SELECT (
       SELECT string_agg(substr(setting, length('search_path=') + 1), ', ')
       FROM pg_db_role_setting, unnest(setconfig) setting
       WHERE setrole = r.oid AND starts_with(setting, 'search_path=')
     ) AS path
     FROM pg_roles r WHERE rolname = $1`,
    [login],
  );
  return found.flatMap(({ path }) =>
    [...(path ?? '"$user", public').matchAll(/"((?:[^"]|"")*)"|([^\s,"]+)/g)].map(([, quoted, bare]) => {
      const name = quoted?.replaceAll('""', '"') ?? bare!;
      return name === "$user" ? login : name;
    }),
  );
}
