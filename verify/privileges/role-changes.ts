import { escapeIdentifier as ident } from "pg";
import { columnsOf, type Place } from "./rows";
import { answer, statementsOf } from "./matrix";
import type { Check } from "../report/check";
import { describe, firstText, type Session } from "../session/session";

/**
 * Changes who the session acts as in each way that PostgreSQL lets it, and tries what is not declared again, as whoever
 * that made of it. Returns what was more than is declared.
 * @param shown columns of which the matrix says already that they are not as declared
 */
export async function changesOfRole(
  session: Session,
  place: Place,
  shown: readonly string[],
  check: Check,
): Promise<string | undefined> {
  const { persona, database, login } = place;
  const allowed = [login, persona.groupRole, ...(persona.actsAsOwner ? [database.owner] : [])];
  const findings: string[] = [];
  const start = firstText(await session.attempt(WHO, check), "user");
  const tried = new Set([start]);
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
      findings.push(`${change} makes it ${user ?? describe(outcome)}, declared: ${allowed.join(" or ")}`);
      continue;
    }
    if (tried.has(user)) continue;
    tried.add(user);
    findings.push(...(await undeclaredAfter(session, place, change, shown, check)));
  }
  for (const sql of refused(place)) {
    const { allowed: went, got } = await answer(session, {}, sql, check);
    if (went !== false) findings.push(`${sql} must be refused with 42501, received ${got}`);
  }
  return findings.length ? findings.join("; ") : undefined;
}

const WHO = 'SELECT current_user::pg_catalog.text AS "user"';

async function undeclaredAfter(
  session: Session,
  place: Place,
  change: string,
  shown: readonly string[],
  check: Check,
): Promise<string[]> {
  const findings: string[] = [];
  for (const column of columnsOf(place.version)) {
    if (column.declared(place.persona) || column.alone || shown.includes(column.privilege)) continue;
    const statements = column.on(place).map((target) => statementsOf(column, target, place));
    for (const sql of statements.find(({ length }) => length > 0) ?? []) {
      const { allowed, got } = await answer(session, column, `${change}; ${sql}`, check);
      if (allowed !== false) findings.push(`${change}; ${sql} must be refused with 42501, received ${got}`);
    }
  }
  return findings;
}

/** To become somebody else, to last longer, to give away what it holds. */
function refused({ persona, database, login, roles, readOnly }: Place): string[] {
  const become = roles
    .filter(({ name, tried }) => tried && name !== login)
    .map(({ name }) => `SET SESSION AUTHORIZATION ${ident(name)}`);
  if (readOnly) return become;
  return [
    ...become,
    `ALTER ROLE ${ident(login)} VALID UNTIL 'infinity'`,
    `GRANT ${ident(persona.groupRole)} TO ${ident(login)} WITH ADMIN OPTION`,
    `GRANT ${ident(database.owner)} TO ${ident(persona.groupRole)} WITH ADMIN OPTION`,
  ];
}
