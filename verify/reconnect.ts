import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { leftOf, revoke, takeLease, together, type Life } from "./lives";
import { Outage } from "./outage";
import type { Scene } from "./persona";
import { oneLine, type Evidence } from "./report";
import { LOGIN_REFUSED, Session } from "./session";

/** Each holds a session while it opens the next. */
const CLIENTS = 4;
const BOUND_MILLISECONDS = 10_000;

/**
 * Revokes a lease while clients reconnect in a loop, some with a role SET from the start, which a session keeps when its own
 * is gone. All have to be refused in the end, and no session may be left with which anything can be done.
 */
export async function revokeWhileReconnecting(
  scene: Scene,
  life: Life,
  evidence: Evidence[],
): Promise<string | undefined> {
  const { address, database } = scene;
  const lease = await takeLease(scene, life);
  const end = performance.now() + BOUND_MILLISECONDS;
  const open = new Set<Session>();
  let logins = 0;

  /** Returns the SQLSTATE with which it was refused for good, or what kept it from being. */
  const reconnect = async (options: string, onTried: () => void): Promise<string> => {
    let last: Session | undefined;
    while (performance.now() < end) {
      try {
        const session = await Session.open(address, database.name, lease, options);
        logins += 1;
        open.add(session);
        if (last) {
          open.delete(last);
          await last.close();
        }
        last = session;
      } catch (error) {
        const { code } = (error instanceof Outage ? error.cause : error) as { code?: string };
        // Ended on its way in, or its role was gone before it was SET: what counts is what the next one meets.
        const isLast = code !== undefined && LOGIN_REFUSED.includes(code);
        if (isLast || code === undefined) return code ?? oneLine(error);
      } finally {
        onTried();
      }
    }
    return `still not refused after ${String(BOUND_MILLISECONDS / 1000)} s`;
  };
  const loops = Array.from({ length: CLIENTS }, (_, i) => {
    const options = i % 2 === 0 ? "" : `-c role=${life.persona.groupRole.replace(/[\\\s]/g, "\\$&")}`;
    let onTried!: () => void;
    const tried = new Promise<void>((resolve) => (onTried = resolve));
    return { refusal: reconnect(options, onTried), tried };
  });
  await Promise.all(loops.map(({ tried }) => tried));
  await revoke(lease, evidence);
  const refusals = await Promise.all(loops.map(({ refusal }) => refusal));
  evidence.push({
    sent: `logins of ${String(CLIENTS)} clients in a loop: ${String(logins)} went through, then`,
    got: [...new Set(refusals)].join(", "),
  });

  const able: string[] = [];
  const sql = `SELECT has_schema_privilege(${literal(ident(database.schema))}, 'USAGE') AS held`;
  for (const session of open) {
    // One that was ended answers with that.
    const outcome = await session.attempt(sql, []).catch(() => undefined);
    if (outcome && "rows" in outcome && outcome.rows[0]?.["held"] === true)
      able.push("a session is open still, and has USAGE on the schema");
    await session.close();
  }
  evidence.push({ sent: `${sql} (${String(open.size)} sessions)`, got: `${String(able.length)} held` });
  const loose = refusals.filter((refusal) => !LOGIN_REFUSED.includes(refusal));
  return together(
    loose.length > 0
      ? `each client must be refused with ${LOGIN_REFUSED.join(" or ")} in the end, received ${loose.join(", ")}`
      : undefined,
    able.length > 0 ? `${String(able.length)} × ${able[0]!}` : undefined,
    await leftOf(scene, lease, evidence),
  );
}
