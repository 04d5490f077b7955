import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { Outage } from "../../clients/outage";
import { LOGIN_REFUSED, TOO_MANY_CONNECTIONS } from "../../clients/sqlstates";
import { oneLine } from "../../clients/text";
import { publicMay } from "../../manifest/public";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import { describe, Session } from "../session/session";
import { expectGone } from "./gone";
import type { LoggedInPersona } from "./logged-in";

/** Each holds a session while it opens the next, as far as the login's connection limit allows. */
const CLIENTS = 6;
/** Until then they have fallen out of step, so that at any moment some are on their way in. */
const LOGINS_BEFORE = 4 * CLIENTS;
const BOUND_MILLISECONDS = 10_000;

/**
 * Revokes a lease while clients reconnect in a loop, some with a role SET from the start, which a session keeps when its own
 * is gone. All have to be refused in the end, and no session may be left with which anything can be done.
 */
export async function revokeWhileReconnecting(
  context: DatabaseContext,
  persona: LoggedInPersona,
  check: Check,
): Promise<void> {
  const { address, database, vault } = context;
  if (address.pooler) {
    check.remark("clients that reconnect through a pooler are the pooler's: not tried");
    return;
  }
  const lease = await context.leases.take(persona.token.vault, persona.databaseRole.name);
  const end = vault.run.pace.now() + BOUND_MILLISECONDS;
  const open = new Set<Session>();
  const closing: Promise<void>[] = [];
  let logins = 0;
  let onEnough!: () => void;
  const enough = new Promise<void>((resolve) => (onEnough = resolve));

  /** Returns the SQLSTATE with which it was refused for good, or what kept it from being. */
  const reconnect = async (options: string): Promise<string> => {
    let last: Session | undefined;
    while (vault.run.pace.now() < end) {
      try {
        const session = await Session.open(address, database.name, lease, { options });
        logins += 1;
        if (logins === LOGINS_BEFORE) onEnough();
        open.add(session);
        if (last) {
          open.delete(last);
          closing.push(last.close());
        }
        last = session;
      } catch (error) {
        const { code } = (error instanceof Outage ? error.cause : error) as { code?: string };
        // Ended on its way in, or its role was gone before it was SET: what counts is what the next one meets.
        const isLast = code !== undefined && LOGIN_REFUSED.includes(code);
        if (isLast || code === undefined) return code ?? oneLine(error);
        if (code === TOO_MANY_CONNECTIONS && last) {
          open.delete(last);
          await last.close();
          last = undefined;
        }
      }
    }
    return `still not refused after ${String(BOUND_MILLISECONDS / 1000)} s`;
  };
  const loops = Array.from({ length: CLIENTS }, (_, i) =>
    reconnect(i % 2 === 0 ? "" : `-c role=${persona.groupRole.replace(/[\\\s]/g, "\\$&")}`),
  );
  await Promise.race([enough, Promise.all(loops)]);
  await lease.revoke(check);
  const refusals = await Promise.all(loops);
  await Promise.all(closing);
  check.note(
    `logins of ${String(CLIENTS)} clients in a loop: ${String(logins)} went through, then`,
    [...new Set(refusals)].join(", "),
  );
  const notRefused = refusals.filter((refusal) => !LOGIN_REFUSED.includes(refusal));
  if (notRefused.length > 0)
    check.find(
      `each client must be refused with ${LOGIN_REFUSED.join(" or ")} in the end, received ${notRefused.join(", ")}`,
    );

  const able: string[] = [];
  const held = database.schemas
    .filter(({ name }) => !publicMay(database, "schema", "USAGE", name))
    .map(
      ({ name }) =>
        `pg_catalog.has_schema_privilege(${literal(ident(name))}::pg_catalog.regnamespace, 'USAGE')`,
    );
  // Everybody's, where PUBLIC has USAGE on each of them.
  if (held.length === 0) held.push(`pg_catalog.pg_has_role(${literal(persona.groupRole)}, 'USAGE')`);
  const sql = `SELECT ${held.join(" OR ")} AS held`;
  for (const session of open) {
    // One that was ended answers with that.
    const outcome = await session.attempt(sql).catch((error: unknown) => {
      if (error instanceof Outage) return undefined;
      throw error;
    });
    if (outcome && ("sqlstate" in outcome || outcome.rows[0]?.["held"] !== false))
      able.push("sqlstate" in outcome ? describe(outcome) : "has USAGE on the schema");
    await session.close();
  }
  check.note(`${sql} (${String(open.size)} sessions)`, able.length === 0 ? "none held" : able.join(", "));
  if (able.length > 0)
    check.find(`${String(able.length)} of ${String(logins)} sessions outlive it: ${able[0]!}`);
  await expectGone(context, lease, check);
}
