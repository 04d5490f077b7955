import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import type { ManifestSchema } from "../../manifest/schema";
import type { Check } from "../report/check";
import { probeName } from "../session/probes";
import { describe, firstText, Session } from "../session/session";
import { asPersona, personaOf, type WorkloadContext } from "./context";

const PEOPLE = ["ada", "grace", "linus"];
/** Marks the table as the example's own: one of the users' with the same name is left alone. */
const COMMENT = "the users example of Leasehold; emptied by each verification";

/** The users example: the admin creates or empties the table as the owner, the writer fills it, the reader compares. */
export interface UsersContext extends WorkloadContext<"users"> {
  /** The table is there, and empty. */
  isPrepared?: boolean;
}

export function prepareTable(context: UsersContext, check: Check): Promise<void> {
  return withSession(context, context.workload.admin, async (session) => {
    context.isPrepared = await prepare(context, session, check);
  });
}

async function prepare(context: UsersContext, session: Session, check: Check): Promise<boolean> {
  const { database, custody, owner } = context;
  const table = tableOf(context);
  if (!isExample(context))
    custody.hold(`probe TABLE ${table}`, () => owner.query(`DROP TABLE IF EXISTS ${table}`));
  const [found] = await session.query<{ comment: string | null }>(
    `SELECT pg_catalog.obj_description(oid, 'pg_class') AS comment
     FROM pg_catalog.pg_class WHERE oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)`,
    [table],
  );
  if (found && found.comment !== COMMENT) {
    check.find(`${table} exists and is not the example's: its comment is not ${literal(COMMENT)}`);
    return false;
  }
  const statements = found
    ? [`TRUNCATE ${table} RESTART IDENTITY`]
    : [
        `CREATE ${isExample(context) ? "" : "UNLOGGED "}TABLE ${table} (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name pg_catalog.text NOT NULL UNIQUE)`,
        `COMMENT ON TABLE ${table} IS ${literal(COMMENT)}`,
      ];
  for (const sql of statements) {
    const outcome = await session.attempt(sql, check);
    if ("sqlstate" in outcome) {
      check.find(`${sql} → ${describe(outcome)}, ${outcome.message}`);
      return false;
    }
  }
  const outcome = await session.attempt(
    `SELECT pg_catalog.pg_get_userbyid(relowner)::pg_catalog.text AS owner
     FROM pg_catalog.pg_class WHERE oid OPERATOR(pg_catalog.=) ${literal(table)}::pg_catalog.regclass`,
    check,
  );
  return check.expect(`owner of ${table}`, database.schemas[0]!.owner, firstText(outcome, "owner"));
}

export function insertPeople(context: UsersContext, check: Check): Promise<void> {
  return withSession(context, context.workload.writer, async (session) => {
    const values = PEOPLE.map((name) => `(${literal(name)})`).join(", ");
    const sql = `INSERT INTO ${tableOf(context)} (name) VALUES ${values}`;
    const outcome = await session.attempt(sql, check);
    if (!("count" in outcome) || outcome.count !== PEOPLE.length)
      check.find(`inserting must give ${String(PEOPLE.length)} rows, received ${describe(outcome)}`);
  });
}

export function listPeople(context: UsersContext, check: Check): Promise<void> {
  return withSession(context, context.workload.reader, async (session) => {
    const sql = `SELECT name FROM ${tableOf(context)} ORDER BY id`;
    const outcome = await session.attempt(sql, check);
    const names =
      "rows" in outcome ? outcome.rows.map(({ name }) => String(name)).join(", ") : describe(outcome);
    if (names !== PEOPLE.join(", "))
      check.find(`the table must list ${PEOPLE.join(", ")}, received ${names || "no row"}`);
  });
}

/** In the first schema, where the users' sessions look first. Elsewhere than in the example it is a probe, and goes with the run. */
function tableOf(context: UsersContext): string {
  const [schema] = context.database.schemas as [ManifestSchema];
  return isExample(context) ? `${ident(schema.name)}.users` : probeName(context.run, schema, "users");
}

/** The environment of the source, whose table it is. */
function isExample({ environment }: UsersContext): boolean {
  return environment === "local";
}

/** Leases the persona's login for as long as its session is used. */
function withSession(
  context: UsersContext,
  personaName: string,
  use: (session: Session) => Promise<void>,
): Promise<void> {
  const { leases, address, database } = context;
  const persona = personaOf(context, personaName);
  return asPersona(context, persona, async ({ vault }) => {
    const lease = await leases.take(vault, persona.databaseRole.name);
    const session = await Session.open(address, database.name, lease);
    await use(session).finally(() => session.close());
    await lease.revoke();
  });
}
