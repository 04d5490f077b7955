import { escapeLiteral as literal } from "pg";
import type { SessionContext } from "../context";
import type { Check } from "../report/check";
import { firstText } from "./session";

/** The roles and the search path with which the persona's session begins. */
export async function startsAs(
  { session, persona, database, lease }: SessionContext,
  check: Check,
): Promise<void> {
  const outcome = await session.attempt(
    `SELECT current_user::pg_catalog.text AS "user", session_user::pg_catalog.text AS login,
       pg_catalog.current_setting('search_path') AS path, pg_catalog.quote_ident(${literal(database.schema)}) AS schema`,
    check,
  );
  const user = persona.actsAsOwner ? database.owner : lease.username;
  check.expect("user", user, firstText(outcome, "user"));
  check.expect("login", lease.username, firstText(outcome, "login"));
  const declared = firstText(outcome, "schema") ?? database.schema;
  check.expect("search path", declared, firstText(outcome, "path"));
}
