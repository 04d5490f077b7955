import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import type { ManifestWorkload } from "../../manifest/schema";
import type { Check } from "../report/check";
import { describe, firstText, Session } from "../session/session";
import { personaOf, type WorkloadScene } from "./context";

const PEOPLE = ["ada", "grace", "linus"];
/** Marks the table as the example's own: one of the users' with the same name is left alone. */
const COMMENT = "the users example of Leasehold; emptied by each verification";

/** The users example: the admin creates or empties the table as the owner, the writer fills it, the reader compares. */
export async function usersWorkload(
  scene: WorkloadScene,
  workload: ManifestWorkload<"users">,
): Promise<void> {
  const { leases, address, database, recorder } = scene;
  const table = `${ident(database.schema)}.users`;

  const phase = (
    name: string,
    personaName: string,
    run: (session: Session, check: Check) => Promise<string | undefined>,
  ) =>
    recorder.check(`users example: ${personaName} ${name}`, async (check) => {
      const persona = personaOf(scene, personaName);
      const token = await leases.logIn(persona);
      const lease = await leases.take(token.vault, database.vault.mount, persona.databaseRole.name);
      const session = await Session.open(address, database.name, lease);
      try {
        return await run(session, check);
      } finally {
        await session.close();
        await lease.revoke();
        await token.revoke();
      }
    });

  const created = await phase("creates or empties the table", workload.admin, async (session, check) => {
    const [found] = await session.query<{ comment: string | null }>(
      "SELECT pg_catalog.obj_description(oid, 'pg_class') AS comment FROM pg_catalog.pg_class WHERE oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)",
      [table],
    );
    if (found && found.comment !== COMMENT)
      return `${table} exists and is not the example's: its comment is not ${literal(COMMENT)}`;
    const statements = found
      ? [`TRUNCATE ${table} RESTART IDENTITY`]
      : [
          `CREATE TABLE ${table} (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name pg_catalog.text NOT NULL UNIQUE)`,
          `COMMENT ON TABLE ${table} IS ${literal(COMMENT)}`,
        ];
    for (const sql of statements) {
      const outcome = await session.attempt(sql, check);
      if ("sqlstate" in outcome) return `${sql} → ${describe(outcome)}, ${outcome.message}`;
    }
    const outcome = await session.attempt(
      `SELECT pg_catalog.pg_get_userbyid(relowner) AS owner FROM pg_catalog.pg_class WHERE oid OPERATOR(pg_catalog.=) ${literal(table)}::pg_catalog.regclass`,
      check,
    );
    const owner = firstText(outcome, "owner");
    return owner === database.owner
      ? undefined
      : `${table} must belong to ${database.owner}, it belongs to ${owner ?? "nobody"}`;
  });
  if (!created) return;

  await phase(`inserts ${PEOPLE.join(", ")}`, workload.writer, async (session, check) => {
    const outcome = await session.attempt(
      `INSERT INTO ${table} (name) VALUES ${PEOPLE.map((name) => `(${literal(name)})`).join(", ")}`,
      check,
    );
    return "count" in outcome && outcome.count === PEOPLE.length
      ? undefined
      : `inserting must give ${String(PEOPLE.length)} rows, received ${describe(outcome)}`;
  });
  await phase("lists them", workload.reader, async (session, check) => {
    const outcome = await session.attempt(`SELECT name FROM ${table} ORDER BY id`, check);
    const names =
      "rows" in outcome ? outcome.rows.map(({ name }) => String(name)).join(", ") : describe(outcome);
    return names === PEOPLE.join(", ")
      ? undefined
      : `the table must list ${PEOPLE.join(", ")}, received ${names || "no row"}`;
  });
}
