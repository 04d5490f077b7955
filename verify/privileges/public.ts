import { makersOf } from "../../manifest/names";
import { publicMay } from "../../manifest/public";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import { probePrefix } from "../session/probes";
import { literals } from "../session/sql";
import { schemaNames } from "./declared";
import { revoking } from "./mends";
import { declarableKind, grantsTo, grantText, isHere, objectText, PUBLIC, type Grant } from "./grants";

/**
 * What PUBLIC holds: on the database, its schemas and their objects no more than it may keep. Elsewhere in the database it
 * may execute functions, as PostgreSQL has it from the start; what is an extension's is the extension's.
 */
export async function publicAccess(context: DatabaseContext, check: Check): Promise<void> {
  const { owner: catalogs, acceptance } = context;
  const all = await grantsTo(catalogs, [PUBLIC]);
  const isOwnProbe = ({ object }: Grant) => object.includes(probePrefix(context.run));
  const found = all.filter((grant) => isTooMuch(grant, context) && !isOwnProbe(grant));
  check.note("aclexplode of every ACL, for PUBLIC", found.map(grantText).join("; ") || "nothing");
  await remarkExtensions(context, all, check);
  acceptance.find(
    check,
    found.map((grant) => ({
      id: `public:${objectText(grant)}:${grant.privilege}`,
      text: grantText(grant),
      mends: [revoking(grant)],
    })),
    "not declared: ",
  );
  if (publicMay(context.database, "functions", "EXECUTE")) return;
  const makers = await catalogs.read<{ name: string }>(builtInSql(makersOf(context.database)), check);
  acceptance.find(
    check,
    makers.map(({ name }) => ({
      id: `public:later functions of ${name}:EXECUTE`,
      text: `granted to PUBLIC by PostgreSQL's own default privileges: EXECUTE on later functions of ${name}`,
    })),
    "not declared: ",
  );
}

/** One line on the extensions with objects in schemas: what there is, and what PUBLIC and the personas may do with it. */
async function remarkExtensions(
  { owner: catalogs, database }: DatabaseContext,
  toPublic: readonly Grant[],
  check: Check,
): Promise<void> {
  const found = await catalogs.read<{
    name: string;
    schemas: string[];
    objects: string;
    mayPublic: string[];
  }>(
    `WITH members AS (
       SELECT refobjid AS extension, relnamespace AS schema, CASE relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' ELSE 'table' END AS kind,
         coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) AS acl
       FROM pg_depend JOIN pg_class c ON c.oid = objid
       WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_extension'::regclass AND deptype = 'e'
         AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
       UNION ALL
       SELECT refobjid, pronamespace, 'function', coalesce(proacl, acldefault('f', proowner))
       FROM pg_depend JOIN pg_proc p ON p.oid = objid
       WHERE classid = 'pg_proc'::regclass AND refclassid = 'pg_extension'::regclass AND deptype = 'e'
     ),
     outside AS (SELECT * FROM members WHERE schema <> 'pg_catalog'::regnamespace),
     counted AS (SELECT extension, kind, count(*) FROM outside GROUP BY 1, 2)
     SELECT quote_ident(extname) AS name,
       ARRAY(SELECT DISTINCT schema::regnamespace::text FROM outside WHERE extension = x.oid ORDER BY 1) AS schemas,
       (
         SELECT string_agg(format('%s %s%s', count, kind, CASE count WHEN 1 THEN '' ELSE 's' END), ', ' ORDER BY kind)
         FROM counted WHERE extension = x.oid
       ) AS objects,
       ARRAY(
         SELECT DISTINCT privilege_type FROM outside, aclexplode(acl) WHERE extension = x.oid AND grantee = 0 ORDER BY 1
       ) AS "mayPublic"
     FROM pg_extension x
     WHERE EXISTS (SELECT FROM outside WHERE extension = x.oid)
     ORDER BY 1`,
    check,
  );
  if (found.length === 0) return;
  const granted = await grantsTo(
    catalogs,
    database.personas.map(({ groupRole }) => groupRole),
  );
  const lines = found.map(({ name, schemas, objects, mayPublic }) => {
    const own = [...granted, ...toPublic].filter(
      ({ extension, kind }) => extension === name && kind !== "schema",
    );
    const byGrantee = new Map<string, Set<string>>(
      mayPublic.length > 0 ? [["PUBLIC", new Set(mayPublic)]] : [],
    );
    for (const { grantee, privilege } of own) {
      const who = grantee === PUBLIC ? "PUBLIC" : grantee;
      byGrantee.set(who, (byGrantee.get(who) ?? new Set()).add(privilege));
    }
    const may = [...byGrantee].map(([who, privileges]) => `${who} ${[...privileges].sort().join(", ")}`);
    return `${name} in ${schemas.join(", ")} (${objects}; ${may.join("; ") || "nobody may use them"})`;
  });
  check.remark(`objects of extensions: ${lines.join(", ")}`);
}

/** Roles without default privileges for functions: PostgreSQL keeps no entry where they are its own. */
function builtInSql(makers: readonly string[]): string {
  return `
    SELECT rolname AS name FROM pg_roles r
    WHERE rolname IN (${literals(makers)}) AND NOT EXISTS (
      SELECT FROM pg_default_acl WHERE defaclrole = r.oid AND defaclnamespace = 0 AND defaclobjtype = 'f'
    )`;
}

/** Kinds of objects that no database keeps for itself. */
const OF_THE_SERVER = ["parameter", "tablespace"];

function isTooMuch(grant: Grant, { database }: DatabaseContext): boolean {
  const { kind, later, privilege, schema, owner, extension } = grant;
  const schemas = schemaNames(database);
  if (database.public === "keep") return OF_THE_SERVER.includes(kind);
  const declarable = declarableKind(grant);
  const isPlace = later ? schema === null || schemas.includes(schema) : isHere(grant, database);
  if (declarable && isPlace && publicMay(database, declarable, privilege, schema ?? undefined)) return false;
  if (later) {
    if (schema !== null) return schemas.includes(schema);
    // From the start each role's functions are everybody's; those of owners and creators are not.
    return makersOf(database).includes(owner) || privilege !== "EXECUTE" || kind !== "functions";
  }
  // An extension's functions are whoever's it lets use them; of its data nobody is to have what it did not give.
  if (extension !== null) return ["table", "column", "sequence"].includes(kind) && schemas.includes(schema!);
  if (kind === "database") return isHere(grant, database);
  // From the start anybody may look into public; up to PostgreSQL 14 anybody may create there too.
  if (kind === "schema" && schema === "public" && privilege === "USAGE") return schemas.includes(schema);
  if (kind === "function") return [...schemas, "pg_catalog", "information_schema"].includes(schema!);
  return true;
}
