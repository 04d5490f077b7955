import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { each, endOf, leftOf, revoke, takeLease, together, type Life } from "./logged-in";
import type { DatabaseContext } from "../context";
import { heirOf } from "../../manifest/schema";
import { PROBE_COLUMNS, probePrefix } from "../session/probes";
import { revokeWhileReconnecting } from "./reconnect";
import { renewLeaseOfSeconds, renewTokenAndLease } from "./renewal";
import type { Check } from "../report/check";
import type { Recorder } from "../report/recorder";
import { limitsOfSecretIds, wrappingOpenedByAnother } from "../login/secret-ids";
import { firstText, Session } from "../session/session";

/**
 * The life of a lease, from renewal to each of its ends but the one that takes its time, which is in expiry.ts. A check
 * goes over all personas of the database.
 */
export async function verifyLife(scene: DatabaseContext, recorder: Recorder): Promise<void> {
  const personas = scene.database.personas.map((persona) => ({ persona }));
  const lives: Life[] = [];
  await recorder.check("secret ids: uses, TTL and ranges as declared", (check) =>
    each(personas, ({ persona }) => limitsOfSecretIds(scene.leases, persona, check)),
  );
  await recorder.check("a wrapping that another opened is noticed", (check) =>
    each(personas, async ({ persona }) => {
      const { token, finding } = await wrappingOpenedByAnother(scene.leases, persona, check);
      lives.push({ persona, token });
      return finding;
    }),
  );
  await recorder.check("renewed: VALID UNTIL follows; cut at the maximum", async (check) =>
    together(
      await each(lives, (life) => renewTokenAndLease(scene, life, check)),
      await renewLeaseOfSeconds(scene, check),
    ),
  );
  await recorder.check("revoked while clients reconnect: nobody stays", (check) =>
    each(lives, (life) => revokeWhileReconnecting(scene, life, check)),
  );
  const makers = lives.filter(({ persona }) => persona.privileges.schema.includes("CREATE"));
  if (!scene.readOnly && makers.length > 0) {
    await recorder.check("revoked in a transaction: rolled back, objects handed over", (check) =>
      each(makers, (life) => revokeInTransaction(scene, life, check)),
    );
  }
  await recorder.check("a token's end is its lease's, session's and role's", (check) =>
    each(lives, (life) => endToken(scene, life, check)),
  );
}

/** Vault ends a token's leases with it. */
async function endToken(scene: DatabaseContext, life: Life, check: Check): Promise<string | undefined> {
  const lease = await takeLease(scene, life);
  const session = await Session.open(scene.address, scene.database.name, lease);
  await life.token.revoke();
  check.note(`POST auth/token/revoke (${life.persona.appRole.name}'s)`, "revoked");
  const finding = (await endOf(session, check)) ?? (await leftOf(scene, lease, check));
  // Of a lease that is gone this only ends the custody.
  await lease.revoke();
  return finding;
}

/** What is unfinished is rolled back; what the login owns is its heir's from then on. */
async function revokeInTransaction(
  scene: DatabaseContext,
  life: Life,
  check: Check,
): Promise<string | undefined> {
  const { database, owner, custody, run } = scene;
  const number = String(database.personas.indexOf(life.persona));
  const [own, unfinished] = ["own", "unfinished"].map(
    (what) => `${ident(database.schema)}.${ident(`${probePrefix(run)}${what}_${number}`)}`,
  ) as [string, string];
  const ownerOf = async (table: string) => {
    const sql = `SELECT pg_get_userbyid(relowner)::text AS owner FROM pg_class WHERE oid = to_regclass(${literal(table)})`;
    return firstText(await owner.attempt(sql, check), "owner") ?? "nobody: it is not there";
  };
  // In custody before the lease is, as the owner can only drop them once revocation has made them the owner's.
  const drops = [own, unfinished].map((table) =>
    custody.hold(`probe TABLE ${table}`, () => owner.query(`DROP TABLE IF EXISTS ${table}`)),
  );
  const lease = await takeLease(scene, life);
  const session = await Session.open(scene.address, database.name, lease);
  for (const sql of [
    // As itself, so that what it makes is not the owner's from the start.
    "SET ROLE NONE",
    `CREATE TABLE ${own} ${PROBE_COLUMNS}`,
    "BEGIN",
    `INSERT INTO ${own} VALUES (1, 'not committed')`,
    `CREATE TABLE ${unfinished} ${PROBE_COLUMNS}`,
  ]) {
    const outcome = await session.attempt(sql, check);
    if ("sqlstate" in outcome) return `${sql} → SQLSTATE ${outcome.sqlstate}, ${outcome.message}`;
  }
  const before = await ownerOf(own);
  await revoke(lease, check);
  const ended = together(await endOf(session, check), await leftOf(scene, lease, check));
  const after = await ownerOf(own);
  const heir = heirOf(database, life.persona);
  const isGone = (await ownerOf(unfinished)).startsWith("nobody");
  // A table of the group's is not the owner's to read; what was in one transaction has one end.
  const rows = heir === database.owner ? await owner.attempt(`SELECT FROM ${own}`, check) : { count: 0 };
  const rolledBack = isGone && "count" in rows && rows.count === 0;
  for (const drop of drops) await drop();
  return together(
    before === lease.username
      ? undefined
      : `${own} must belong to ${lease.username}, it belongs to ${before}`,
    ended,
    after === heir ? undefined : `${own} must belong to ${heir}, it belongs to ${after}`,
    rolledBack ? undefined : `what was in the transaction on ${own} and ${unfinished} must be rolled back`,
  );
}
