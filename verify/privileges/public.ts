import { makersOf } from "../../manifest/names";
import { publicMay } from "../../manifest/public";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import { probePrefix } from "../session/probes";
import { literals } from "../session/sql";
import { schemaNames } from "./declared";
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
  const extensions = new Set(all.flatMap(({ extension }) => extension ?? []));
  if (extensions.size > 0)
    check.note("objects of extensions, which PUBLIC may use", [...extensions].join(", "));
  acceptance.find(
    check,
    found.map((grant) => ({
      id: `public:${objectText(grant)}:${grant.privilege}`,
      text: grantText(grant),
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
  if (extension !== null) return false;
  if (kind === "database") return isHere(grant, database);
  // From the start anybody may look into public; up to PostgreSQL 14 anybody may create there too.
  if (kind === "schema" && schema === "public" && privilege === "USAGE") return schemas.includes(schema);
  if (kind === "function") return [...schemas, "pg_catalog", "information_schema"].includes(schema!);
  return true;
}
