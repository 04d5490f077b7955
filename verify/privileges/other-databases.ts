import { DatabaseError } from "pg";
import { oneLine } from "../../clients/text";
import { groupRolesOf, LEASED, ownersOf } from "../../manifest/names";
import { publicMay } from "../../manifest/public";
import type { ManifestDatabase } from "../../manifest/schema";
import type { DatabaseContext, LeasedContext } from "../context";
import type { Check } from "../report/check";
import { compare, type Observation } from "../report/compare";
import { loginRefusal } from "../session/session";
import { loginAnswer } from "./connect";
import { literals } from "../session/sql";
import { observe } from "./matrix";
import { CONNECT } from "./rows";

/** So many logins are tried, or the work would grow with the square of the databases. */
const LOGINS = 5;

/** The declared databases of the same server, from the next one on: so that each is some other's next. */
export function othersAfter(
  database: ManifestDatabase,
  databases: readonly ManifestDatabase[],
): ManifestDatabase[] {
  const at = databases.findIndex(({ name }) => name === database.name);
  return [...databases.slice(at + 1), ...databases.slice(0, at)];
}

/** A database that is not in the manifest. */
interface OtherDatabase {
  readonly name: string;
  readonly isTemplate: boolean;
  /** PUBLIC's, on the database. */
  readonly privileges: readonly string[];
}

/**
 * The server's other databases: a login to those that are declared must be refused, unless PUBLIC may keep CONNECT there. The
 * catalogs tell of all of them, and some are tried. Of the rest it is noted whether the login may connect, and none is tried: a
 * session in template1 keeps others from creating a database.
 */
export async function otherDatabases(context: LeasedContext, check: Check): Promise<void> {
  const { owner: catalogs, address, lease } = context;
  const others = await catalogs.query<{ name: string; held: boolean }>(
    `SELECT datname AS name, has_database_privilege($1, oid, 'CONNECT') AS held
     FROM pg_database
     WHERE datallowconn AND datname <> current_database()
     ORDER BY 1`,
    [lease.username],
  );
  const observations: Observation[] = [];
  const tried = othersAfter(context.database, context.databases)
    .slice(0, LOGINS)
    .map(({ name }) => name);
  for (const { name, held } of others) {
    const declared = context.databases.find((database) => database.name === name);
    const isPublics = declared !== undefined && publicMay(declared, "database", "CONNECT");
    const where = `${name}${declared ? "" : ", which is not in the manifest"}${isPublics ? ", where PUBLIC may keep it" : ""}`;
    check.note(`has_database_privilege: CONNECT on ${where}`, String(held));
    if (!declared || isPublics) continue;
    // A pooler does not pass the server's refusal on, and keeps the client waiting.
    const answers =
      address.pooler || !tried.includes(name)
        ? []
        : [loginAnswer(lease, await loginRefusal(address, name, lease), check)];
    observations.push(await observe(context, CONNECT, { name, probe: false }, false, held, answers, check));
  }
  check.find(...compare(false, observations).findings);
}

/**
 * What PUBLIC, and with it each leased login, may do in databases that are not declared. A login may make large objects and
 * default privileges wherever it may connect.
 */
export async function closedToPublic(context: DatabaseContext, check: Check): Promise<void> {
  const { owner: catalogs, databases, otherDatabases } = context;
  const others = await catalogs.read<OtherDatabase>(
    `SELECT datname AS name, datistemplate AS "isTemplate",
       ARRAY(
         SELECT privilege_type FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0 ORDER BY 1
       ) AS privileges
     FROM pg_database
     WHERE datallowconn AND datname NOT IN (${literals(databases.map(({ name }) => name))})
     ORDER BY 1`,
    check,
  );
  const open = others.filter(({ privileges }) => privileges.includes("CONNECT"));
  await remarkLeft(context, check);
  if (open.length === 0) return;
  const count = `${String(open.length)} ${open.length === 1 ? "database" : "databases"}`;
  const where = `${count} that the config does not name (${few(open.map(({ name }) => name))})`;
  if (otherDatabases === "close") {
    check.find(`PUBLIC may connect to ${where}: npx leasehold deploy takes CONNECT there`);
    return;
  }
  const temporary = open.filter(({ privileges }) => privileges.includes("TEMPORARY"));
  const creatable = await schemasOpenToPublic(context, open, check);
  const more = [
    "large objects and default privileges in each",
    temporary.length > 0 && `temporary tables in ${few(temporary.map(({ name }) => name))}`,
    creatable.length > 0 && `objects in schemas (${few(creatable)})`,
  ].filter((part) => part !== false);
  check.remark(
    `a leased login may connect to ${where} and make ${more.join(", ")}; otherDatabases: "close" of the server ends it`,
  );
}

/** Schemas in which PUBLIC may create. A template is not looked into: a session there keeps others from copying it. */
async function schemasOpenToPublic(
  { owner: catalogs }: DatabaseContext,
  databases: readonly OtherDatabase[],
  check: Check,
): Promise<string[]> {
  const found: string[] = [];
  for (const { name } of databases.filter(({ isTemplate }) => !isTemplate)) {
    try {
      const session = await catalogs.openIn(name);
      const schemas = await session
        .query<{ name: string }>(
          "SELECT quote_ident(nspname) AS name FROM pg_namespace WHERE has_schema_privilege('public', oid, 'CREATE') ORDER BY 1",
        )
        .finally(() => session.close());
      found.push(...schemas.map((schema) => `${schema.name} of ${name}`));
    } catch (error) {
      // Such as one that pg_hba.conf does not let in.
      if (!(error instanceof DatabaseError)) throw error;
      check.note(`login to ${name}`, oneLine(error));
    }
  }
  return found;
}

/** What roles of the database own or are granted in databases that are not declared. */
async function remarkLeft(
  { owner: catalogs, database, databases }: DatabaseContext,
  check: Check,
): Promise<void> {
  const roles = [...ownersOf(database), ...groupRolesOf(database)];
  const left = await catalogs.read<{ role: string; name: string; entries: number }>(
    `SELECT rolname AS role, datname AS name, count(*)::int AS entries
     FROM pg_shdepend d JOIN pg_roles r ON r.oid = refobjid JOIN pg_database b ON b.oid = dbid
     WHERE refclassid = 'pg_authid'::regclass AND datname NOT IN (${literals(databases.map(({ name }) => name))})
       AND (rolname IN (${literals(roles)}) OR rolname ~ '${LEASED}')
     GROUP BY 1, 2 ORDER BY 1, 2`,
    check,
  );
  if (left.length > 0)
    check.remark(
      `in databases that the config does not name, leased logins left ${few(
        left.map(({ role, name, entries }) => `${String(entries)} of ${role} in ${name}`),
      )} (what they own there, and what is granted to them)`,
    );
}

/** The first three. */
function few(texts: readonly string[]): string {
  return `${texts.slice(0, 3).join(", ")}${texts.length > 3 ? ", …" : ""}`;
}
