import type { SessionContext } from "../context";
import { searchPathOf } from "../privileges/declared";
import type { Check } from "../report/check";
import { firstText } from "./session";

/** Who the persona's session acts as from the start, and where it finds names. */
export async function startsAs(
  { session, owner, persona, database, lease }: SessionContext,
  check: Check,
): Promise<void> {
  const outcome = await session.attempt(
    `SELECT current_user::pg_catalog.text AS "user", session_user::pg_catalog.text AS login,
       pg_catalog.current_setting('search_path') AS path`,
    check,
  );
  const declared = await owner.attempt(`SELECT ${searchPathOf(database)} AS path`);
  check.expect("user", persona.actsAsOwner ? database.owner : lease.username, firstText(outcome, "user"));
  check.expect("login", lease.username, firstText(outcome, "login"));
  check.expect("search path", firstText(declared, "path") ?? "", firstText(outcome, "path"));
}
