import type { LeasedContext } from "../context";
import type { Check } from "../report/check";
import { compare, type Observation } from "../report/compare";
import { loginRefusal } from "../session/session";
import { loginAnswer } from "./connect";
import { observe } from "./matrix";
import { CONNECT } from "./rows";

/**
 * The server's other databases: a login to those that are declared must be refused. Of the rest it is noted whether the
 * login may connect, and none is tried: a session in template1 keeps others from creating a database.
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
  for (const { name, held } of others) {
    const isDeclared = context.databases.includes(name);
    const where = isDeclared ? name : `${name}, which is not in the manifest`;
    check.note(`has_database_privilege: CONNECT on ${where}`, String(held));
    if (!isDeclared) continue;
    const answer = loginAnswer(lease, await loginRefusal(address, name, lease), check);
    observations.push(await observe(context, CONNECT, { name, probe: false }, false, held, [answer]));
  }
  check.find(...compare(false, observations).findings);
}
