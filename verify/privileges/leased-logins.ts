import { escapeLiteral as literal } from "pg";
import { leaseMark } from "../../manifest/mark";
import { groupsOf, LEASED } from "./groups";
import type { ManifestDatabase } from "../../manifest/schema";
import { listed } from "../report/check";
import type { Check } from "../report/check";
import type { Session } from "../session/session";

interface LeasedLogin {
  readonly name: string;
  readonly login: boolean;
  /** Of CREATEROLE and the like. */
  readonly attributes: readonly string[];
  /** The roles that it is a member of. */
  readonly groups: readonly string[];
  /** PostgreSQL's own among these. */
  readonly predefined: readonly string[];
  readonly comment: string | null;
}

/**
 * Logins that are called like a lease's, wherever they are: no attribute, no role of PostgreSQL's own. Those in a group of
 * the database have the comment that a lease gives its login, which who holds it can't write, and are in that group alone.
 * What a revocation could not drop has a comment of its own.
 */
export async function leasedLogins(
  asker: Session,
  environment: string,
  database: ManifestDatabase,
  check: Check,
): Promise<string | undefined> {
  const mark = leaseMark(environment, database.name);
  const attributes = ["super", "createrole", "createdb", "replication", "bypassrls"]
    .map((name) => `CASE WHEN rol${name} THEN '${name === "super" ? "SUPERUSER" : name.toUpperCase()}' END`)
    .join(", ");
  const outcome = await asker.attempt(
    `WITH roles AS (SELECT *, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles),
       held AS (SELECT member, rolname AS name, roleid < 16384 AS predefined FROM pg_auth_members JOIN pg_roles g ON g.oid = roleid)
     SELECT rolname AS name, rolcanlogin AS login, array_remove(ARRAY[${attributes}], NULL) AS attributes,
       ARRAY(SELECT name::text FROM held WHERE member = oid GROUP BY name ORDER BY 1) AS groups,
       ARRAY(SELECT name::text FROM held WHERE member = oid AND predefined GROUP BY name ORDER BY 1) AS predefined, comment
     FROM roles WHERE rolname ~ '${LEASED}' OR starts_with(comment, ${literal(`${mark}: `)}) ORDER BY 1`,
    check,
  );
  if ("sqlstate" in outcome) return outcome.message;
  const ours = groupsOf(database);
  const findings: string[] = [];
  for (const role of outcome.rows as unknown as LeasedLogin[]) {
    const { name, login, comment } = role;
    const groups = role.groups.filter((group) => ours.includes(group));
    const beyond = groups.length > 0 ? role.groups.filter((group) => group !== groups[0]) : role.predefined;
    if (comment?.startsWith(`${mark}: `)) {
      const state = login ? "can still log in" : "is closed";
      findings.push(
        `${name} is what a revocation could not drop and ${state} (${comment.slice(mark.length + 2)}): npx leasehold deploy drops it`,
      );
    } else if (groups.length > 0 && comment !== mark) {
      findings.push(
        `${name}, a member of ${groups[0]!}, has not the comment that a lease gives its login: DROP ROLE, or npx leasehold deploy where it was leased before the last upgrade`,
      );
    }
    if (comment === mark && groups.length === 0)
      findings.push(
        `${name} was leased and is in no group: a revocation took it out and could not end it; npx leasehold deploy does`,
      );
    const powers = [...role.attributes, ...beyond.map((group) => `membership in ${group}`)];
    if (powers.length > 0)
      findings.push(
        `${name} is called like a leased login and has ${powers.join(", ")}: no lease gives that`,
      );
  }
  await noteOfPreparedTransactions(asker, check);
  return listed(findings, check);
}

/** A prepared transaction has no session that could be ended, and keeps its locks. */
async function noteOfPreparedTransactions(asker: Session, check: Check): Promise<void> {
  const [server] = await asker.query<{ most: string; open: number }>(
    `SELECT current_setting('max_prepared_transactions') AS most, (SELECT count(*)::int FROM pg_prepared_xacts WHERE owner ~ '${LEASED}') AS open`,
  );
  if (!server || server.most === "0") return;
  check.remark(
    `max_prepared_transactions is ${server.most}: a leased login can prepare a transaction on its own role, which then can't be dropped, only closed, until ROLLBACK PREPARED and the next npx leasehold deploy; leased logins have prepared ${String(server.open)} now`,
  );
}
