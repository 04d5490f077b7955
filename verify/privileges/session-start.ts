import { heirOf } from "../../manifest/names";
import type { SessionContext } from "../context";
import type { Check } from "../report/check";
import { firstText } from "../session/session";
import { searchPathOf } from "./declared";

/** The roles and the search path with which the persona's session begins. */
export async function startsAs(context: SessionContext, check: Check): Promise<void> {
  const { session, owner: catalogs, persona, database, lease } = context;
  const outcome = await session.attempt(
    `SELECT current_user::pg_catalog.text AS "user", session_user::pg_catalog.text AS login,
       pg_catalog.current_setting('search_path') AS path`,
    check,
  );
  check.expect("user", heirOf(database, persona), firstText(outcome, "user"));
  check.expect("login", lease.username, firstText(outcome, "login"));
  const declared = await catalogs.query<{ path: string }>(`SELECT ${searchPathOf(database)} AS path`);
  check.expect("search path", declared[0]!.path, firstText(outcome, "path"));
}
