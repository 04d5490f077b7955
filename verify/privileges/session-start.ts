import { escapeLiteral as literal } from "pg";
import { heirOf } from "../../manifest/names";
import type { SessionContext } from "../context";
import type { Check } from "../report/check";
import { firstText, Session } from "../session/session";
import { searchPathOf, searchPathOfPersona } from "./declared";

/** The roles, the search path and the settings with which the persona's session begins. */
export async function startsAs(context: SessionContext, check: Check): Promise<void> {
  const { session, owner: catalogs, persona, database, lease } = context;
  const outcome = await session.attempt(
    `SELECT current_user::pg_catalog.text AS "user", session_user::pg_catalog.text AS login,
       pg_catalog.current_setting('search_path') AS path,
       pg_catalog.array_to_json(pg_catalog.current_schemas(false))::pg_catalog.text AS used`,
    check,
  );
  check.expect("user", heirOf(database, persona), firstText(outcome, "user"));
  check.expect("login", lease.username, firstText(outcome, "login"));
  const schemas = searchPathOfPersona(database, persona);
  const declared = await catalogs.query<{ path: string }>(
    `SELECT ${searchPathOf(database, schemas)} AS path`,
  );
  const isAsDeclared = check.expect("search path", declared[0]!.path, firstText(outcome, "path"));
  if (persona.databaseRole.searchPath && isAsDeclared) {
    const used = JSON.parse(firstText(outcome, "used") ?? "[]") as string[];
    for (const name of schemas.filter((each) => !used.includes(each)))
      check.find(
        `search path: the schema ${name} is passed over, since the session may not use it, or it is not there`,
      );
  }
  await startsWith(context, check);
}

/** In a session of its own: the verifier's bounds are settings as well. */
async function startsWith(context: SessionContext, check: Check): Promise<void> {
  const { owner: catalogs, persona, database, lease, address } = context;
  const settings = Object.entries(persona.databaseRole.settings);
  if (settings.length === 0) return;
  const session = await Session.open(address, database.name, lease, { plain: true });
  try {
    for (const [name, value] of settings) {
      const outcome = await session.attempt(
        `SELECT pg_catalog.current_setting(${literal(name)}, true) AS value`,
        check,
      );
      // As PostgreSQL spells it, whose session's own it is for this statement alone.
      const [declared] = await catalogs.query<{ value: string }>("SELECT set_config($1, $2, true) AS value", [
        name,
        value,
      ]);
      check.expect(name, declared!.value, firstText(outcome, "value"));
    }
  } finally {
    await session.close();
  }
}
