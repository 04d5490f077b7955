import { escapeIdentifier as ident } from "pg";
import { INSUFFICIENT_PRIVILEGE } from "../../clients/sqlstates";
import { ownersOf } from "../../manifest/names";
import type { SessionContext } from "../context";
import type { Check } from "../report/check";
import { describe, firstText } from "../session/session";
import { actingRoles } from "./declared";
import { answer, statementsFor } from "./matrix";
import { sessionRows } from "./rows";

const WHO = 'SELECT current_user::pg_catalog.text AS "user"';

/**
 * Changes the session's role in each way that PostgreSQL lets it, and tries what is not declared again, as whichever role
 * that gives it.
 */
export async function roleChanges(context: SessionContext, check: Check): Promise<void> {
  const { session, persona } = context;
  const allowed = actingRoles(context);
  const tried = new Set([firstText(await session.attempt(WHO, check), "user")]);
  for (const change of [
    "RESET ROLE",
    "SET ROLE NONE",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET ALL",
    `SET ROLE ${ident(persona.groupRole)}`,
  ]) {
    const outcome = await session.attemptAndRollBack(`${change}; ${WHO}`, check);
    const user = firstText(outcome, "user");
    if (user === undefined || !allowed.includes(user)) {
      check.find(`${change} makes it ${user ?? describe(outcome)}, declared: ${allowed.join(" or ")}`);
      continue;
    }
    if (tried.has(user)) continue;
    tried.add(user);
    await tryUndeclared(context, change, check);
  }
  for (const sql of forbidden(context)) await expectRefused(context, sql, check);
}

/** After a change of role, one statement for each row that is not declared, unless the matrix has a finding on it. */
async function tryUndeclared(context: SessionContext, change: string, check: Check): Promise<void> {
  const { version, persona, found } = context;
  for (const row of sessionRows(version)) {
    if (row.declared(persona) || row.alone || found.rows.includes(row)) continue;
    const statements = row.targets(context).map((target) => statementsFor(row, target, context));
    for (const sql of statements.find(({ length }) => length > 0) ?? [])
      await expectRefused(context, `${change}; ${sql}`, check);
  }
}

async function expectRefused({ session }: SessionContext, sql: string, check: Check): Promise<void> {
  const { allowed, got } = await answer(session, {}, sql, check);
  if (allowed !== false) check.find(`${sql} must be refused with ${INSUFFICIENT_PRIVILEGE}, received ${got}`);
}

/** Statements that would make it another role, prolong its login, or give away what it holds. */
function forbidden({ persona, database, lease, roles, readOnly }: SessionContext): string[] {
  const login = ident(lease.username);
  const authorizations = roles
    .filter(({ name, tried }) => tried && name !== lease.username)
    .map(({ name }) => `SET SESSION AUTHORIZATION ${ident(name)}`);
  if (readOnly) return authorizations;
  const group = ident(persona.groupRole);
  return [
    ...authorizations,
    `ALTER ROLE ${login} VALID UNTIL 'infinity'`,
    `GRANT ${group} TO ${login} WITH ADMIN OPTION`,
    ...ownersOf(database).map((owner) => `GRANT ${ident(owner)} TO ${group} WITH ADMIN OPTION`),
  ];
}
