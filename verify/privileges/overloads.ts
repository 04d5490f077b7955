import { escapeLiteral as literal } from "pg";
import type { Acceptance, Finding } from "../report/accepted";
import { extensionOf } from "./catalogs";
import type { ManifestDatabase } from "../../manifest/schema";
import { listed } from "../report/check";
import type { Check } from "../report/check";
import type { Outcome, Session } from "../session/session";

/** PostgreSQL's own objects have lower numbers (FirstNormalObjectId). */
const FIRST_OBJECT = "16384";

/**
 * What PostgreSQL could take for its own: functions (aggregates and procedures too), operators and casts in a schema on the
 * search path of a persona or of Vault's login, or in pg_catalog itself, with a name that PostgreSQL has there, since
 * arguments that match better win over the place on the path; and schemas with a name for which `"$user"` stands.
 */
export async function overloads(
  asker: Session,
  database: ManifestDatabase,
  acceptance: Acceptance,
  check: Check,
): Promise<string | undefined> {
  const { schema, manager } = database;
  const path = manager === undefined ? [] : await searchPathOf(asker, manager);
  const places = [...new Set([schema, ...path])].map((name) => literal(name)).join(", ");
  const functions = await asker.attempt(
    `SELECT format('%I.%I(%s)', nspname, proname, oidvectortypes(proargtypes)) AS object, 'pg_catalog.' || quote_ident(proname) AS shadowed, pg_get_userbyid(proowner) AS owner,
       CASE prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE 'function' END AS kind
     FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
     WHERE nspname IN ('pg_catalog', ${places}) AND p.oid >= ${FIRST_OBJECT} AND proname IN (SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND oid < ${FIRST_OBJECT})
       AND NOT EXISTS (${extensionOf("pg_proc", "p.oid", "p.proowner")})
     UNION ALL
     SELECT format('%I.%s(%s, %s)', nspname, oprname, CASE oprleft WHEN 0 THEN 'none' ELSE format_type(oprleft, NULL) END, format_type(oprright, NULL)), 'pg_catalog.' || oprname, pg_get_userbyid(oprowner), 'operator'
     FROM pg_operator o JOIN pg_namespace n ON n.oid = oprnamespace
     WHERE nspname IN ('pg_catalog', ${places}) AND o.oid >= ${FIRST_OBJECT} AND oprname IN (SELECT oprname FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace AND oid < ${FIRST_OBJECT})
       AND NOT EXISTS (${extensionOf("pg_operator", "o.oid", "o.oprowner")})
     ORDER BY 1`,
    check,
  );
  const casts = await asker.attempt(
    `SELECT format('(%s AS %s)', format_type(castsource, NULL), format_type(casttarget, NULL)) AS object, CASE castcontext WHEN 'i' THEN 'implicit' ELSE 'assignment' END AS context
     FROM pg_cast c JOIN pg_type s ON s.oid = castsource JOIN pg_type t ON t.oid = casttarget LEFT JOIN pg_proc f ON f.oid = castfunc
     WHERE castcontext <> 'e' AND NOT (EXISTS (${extensionOf("pg_cast", "c.oid", "s.typowner")}) AND EXISTS (${extensionOf("pg_cast", "c.oid", "t.typowner")}))
       AND EXISTS (SELECT FROM pg_namespace n WHERE n.oid IN (s.typnamespace, t.typnamespace, f.pronamespace) AND nspname IN (${places}) AND nspname <> 'pg_catalog')
     ORDER BY 1`,
    check,
  );
  const schemas = await asker.attempt(
    `SELECT quote_ident(nspname) AS object, pg_get_userbyid(nspowner) AS owner, CASE WHEN r.rolsuper THEN 'superuser' ELSE 'login' END AS kind
     FROM pg_namespace n JOIN pg_roles r ON r.rolname = nspname
     WHERE (r.rolsuper OR r.rolname = ${literal(manager ?? "")}) AND NOT EXISTS (${extensionOf("pg_namespace", "n.oid", "n.nspowner")})
       AND EXISTS (SELECT FROM pg_roles who WHERE NOT who.rolsuper AND has_schema_privilege(who.oid, n.oid, 'CREATE')) ORDER BY 1`,
    check,
  );
  for (const outcome of [functions, casts, schemas]) if ("sqlstate" in outcome) return outcome.message;
  const findings: Finding[] = [
    ...rows(functions, ({ object, shadowed, owner, kind }) => ({
      id: `overload:${object}:${shadowed}`,
      text: `${kind} ${object} of ${owner} has the name of ${shadowed}`,
    })),
    ...rows(casts, ({ object, context }) => ({
      id: `cast:${object}:${context}`,
      text: `cast ${object} is ${context}`,
    })),
    ...rows(schemas, ({ object, owner, kind }) => ({
      id: `schema:${object}:${kind} ${object}`,
      text: `schema ${object} of ${owner} has the name of the ${kind} ${object}, whose search path may begin with it`,
    })),
  ];
  return listed(acceptance.open(findings, check), check);
}

interface Row {
  readonly object: string;
  readonly owner: string;
  readonly kind: string;
  /** Of a cast: implicit or assignment. */
  readonly context: string;
  readonly shadowed: string;
}

function rows(outcome: Outcome, finding: (row: Row) => Finding): Finding[] {
  return "rows" in outcome ? outcome.rows.map((row) => finding(row as unknown as Row)) : [];
}

/** PostgreSQL's default where it has none of its own. */
async function searchPathOf(asker: Session, login: string): Promise<string[]> {
  const found = await asker.query<{ path: string }>(
    "SELECT substr(setting, length('search_path=') + 1) AS path FROM pg_db_role_setting, unnest(setconfig) setting WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = $1) AND starts_with(setting, 'search_path=')",
    [login],
  );
  const paths = found.length > 0 ? found.map(({ path }) => path) : ['"$user", public'];
  return paths.flatMap((path) =>
    [...path.matchAll(/"((?:[^"]|"")*)"|([^\s,"]+)/g)].map(([, inQuotes, bare]) => {
      const name = inQuotes?.replaceAll('""', '"') ?? bare!;
      return name === "$user" ? login : name;
    }),
  );
}
