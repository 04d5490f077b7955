import { escapeLiteral as literal } from "pg";
import { heirOf } from "../../manifest/names";
import type { DatabaseContext, LeasedContext } from "../context";
import { schemasToLeaveIn } from "../privileges/declared";
import type { Check } from "../report/check";
import { PROBE_COLUMNS, probeName } from "../session/probes";
import { describe, firstText, Session } from "../session/session";
import { BACKGROUND_MILLISECONDS, expectGone, expectSessionEnded } from "./gone";
import type { LoggedInPersona } from "./logged-in";

/** Revokes the persona's lease while its session is open. */
export async function revokeWithSession(context: LeasedContext, check: Check): Promise<void> {
  const { lease, session } = context;
  await lease.revoke(check);
  if (session) await expectSessionEnded(context, session, check);
  else check.find("there was no session to end");
}

/** What the login owned is its heir's from then on. */
export async function handOver(context: LeasedContext, check: Check): Promise<void> {
  const { persona, database, left, tablesLeft } = context;
  for (const table of tablesLeft) {
    const isHeirs = await expectOwner(context, table.name, heirOf(database, persona), check);
    if (isHeirs && persona.actsAsOwner) left.push(table);
  }
}

/** Vault ends a token's leases with it. */
export async function endToken(
  context: DatabaseContext,
  persona: LoggedInPersona,
  check: Check,
): Promise<void> {
  const { token } = persona;
  const lease = await context.leases.take(persona.token.vault, persona.databaseRole.name);
  const session = await Session.open(context.address, context.database.name, lease);
  await token.revoke();
  check.note(`POST auth/token/revoke (${token.name}'s)`, "revoked");
  await expectSessionEnded(context, session, check);
  await expectGone(context, lease, check, BACKGROUND_MILLISECONDS);
  // Of a lease that is gone this only ends the custody.
  await lease.revoke();
}

/** What is unfinished is rolled back; what the login owns is its heir's from then on. */
export async function revokeInTransaction(
  context: DatabaseContext,
  persona: LoggedInPersona,
  check: Check,
): Promise<void> {
  const { database, owner, custody, run } = context;
  const number = String(database.personas.findIndex(({ name }) => name === persona.name));
  const tables = (what: string) =>
    schemasToLeaveIn(database, persona).map((schema) => probeName(run, schema, `${what}_${number}`));
  const [own, unfinished] = [tables("own"), tables("unfinished")];
  // In custody before the lease is, as the owner can only drop them once revocation has made them the owner's.
  const drops = [...own, ...unfinished].map((name) =>
    custody.hold(`probe TABLE ${name}`, () => owner.query(`DROP TABLE IF EXISTS ${name}`)),
  );
  const lease = await context.leases.take(persona.token.vault, persona.databaseRole.name);
  const session = await Session.open(context.address, database.name, lease);
  for (const sql of [
    // As itself, so that what it makes is not the owner's from the start.
    "SET ROLE NONE",
    ...own.map((name) => `CREATE UNLOGGED TABLE ${name} ${PROBE_COLUMNS}`),
    "BEGIN",
    ...own.map((name) => `INSERT INTO ${name} VALUES (1, 'not committed')`),
    ...unfinished.map((name) => `CREATE UNLOGGED TABLE ${name} ${PROBE_COLUMNS}`),
  ]) {
    const outcome = await session.attempt(sql, check);
    if ("sqlstate" in outcome) {
      check.find(`${sql} → ${describe(outcome)}, ${outcome.message}`);
      return;
    }
  }
  for (const name of own) await expectOwner(context, name, lease.username, check);
  await lease.revoke(check);
  await expectSessionEnded(context, session, check);
  await expectGone(context, lease, check);
  for (const [i, name] of own.entries()) {
    await expectOwner(context, name, heirOf(database, persona), check);
    const isGone = (await ownerOf(context, unfinished[i]!, check)) === undefined;
    // A table of the group's is not the owner's to read; what was in one transaction has one end.
    const rows = persona.actsAsOwner ? await owner.attempt(`SELECT FROM ${name}`, check) : { count: 0 };
    if (!isGone || !("count" in rows) || rows.count > 0)
      check.find(`what was in the transaction on ${name} and ${unfinished[i]!} must be rolled back`);
  }
  for (const drop of drops) await drop();
}

async function ownerOf({ owner }: DatabaseContext, table: string, check: Check): Promise<string | undefined> {
  const outcome = await owner.attempt(
    `SELECT pg_get_userbyid(relowner)::text AS owner FROM pg_class WHERE oid = to_regclass(${literal(table)})`,
    check,
  );
  return firstText(outcome, "owner");
}

/** @param table quoted and qualified */
async function expectOwner(
  context: DatabaseContext,
  table: string,
  declared: string,
  check: Check,
): Promise<boolean> {
  const found = await ownerOf(context, table, check);
  if (found !== declared)
    check.find(`${table} must belong to ${declared}, it belongs to ${found ?? "nobody: it is not there"}`);
  return found === declared;
}
