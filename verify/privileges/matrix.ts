import { INSUFFICIENT_PRIVILEGE, LOCK_NOT_AVAILABLE } from "../../clients/sqlstates";
import { Outage } from "../../clients/outage";
import { few, oneLine } from "../../clients/text";
import type { LeasedContext, SessionContext } from "../context";
import { catalogsSay, clearest, compare, type Observation } from "../report/compare";
import { Notes } from "../report/evidence";
import { rowId } from "../report/recorder";
import { withTablesOfAnotherRole } from "../session/probes";
import { describe, type Outcome, type Session } from "../session/session";
import { literals } from "../session/sql";
import type { Target } from "../session/targets";
import { causesOfHeld, causesOfMissing, heldByPublicAlone, type Causes } from "./causes";
import { readsWhole, type MatrixRow } from "./row";
import { OF_ANOTHER_ROLE, sessionRows } from "./rows";
import { lockedNow, lockKey, remarkLocks } from "./users-objects";

/** What findings of the matrix have said already. */
export interface MatrixFindings {
  /** Those that are not as declared, or are PUBLIC's. */
  readonly rows: MatrixRow[];
  /** Grants, memberships and the like that are behind it. */
  readonly causes: string[];
}

/** What the server did. */
export interface Answer {
  readonly sent: string;
  /** Undefined where the answer was neither the privilege's use nor its refusal. */
  readonly allowed?: boolean;
  readonly got: string;
  /** Of an answer that was neither. */
  readonly sqlstate?: string;
}

/** Makes the cells of the persona's session: what is declared, what the catalogs say, what the statements came to. */
export async function exerciseMatrix(context: SessionContext): Promise<void> {
  for (const row of sessionRows(context.version)) await exerciseRow(context, row);
  if (!context.readOnly && context.recorder.wants(rowId(OF_ANOTHER_ROLE)))
    await withTablesOfAnotherRole(context, (targets) =>
      exerciseRow({ ...context, targets }, OF_ANOTHER_ROLE),
    );
}

async function exerciseRow(context: SessionContext, row: MatrixRow): Promise<void> {
  const { persona, recorder, found } = context;
  const targets = row.targets(context);
  // Without probe objects, and where the users have none of the kind, there is nothing to try.
  if (targets.length === 0 || !recorder.wants(rowId(row))) return;
  const [asked, sent] = [new Notes(), new Notes()];
  const start = performance.now();
  const [held, { answers, remarks }] = await Promise.all([
    askCatalogs(context, row, targets, asked),
    send(context, row, targets, sent),
  ]);
  const milliseconds = performance.now() - start;
  const declared = row.declared(persona);
  if (declared && readsWhole(row))
    for (const { name } of targets) if (context.broken.has(name)) held.set(name, false);
  const observations: Observation[] = [];
  for (const [i, target] of targets.entries())
    observations.push(
      await observe(context, row, target, declared, held.get(target.name), answers[i]!, asked),
    );
  const comparison = compare(declared, observations);
  if (comparison.findings.length > 0 || comparison.byPublic) found.rows.push(row);
  found.causes.push(...observations.flatMap(({ causes }) => causes));
  const evidence = [...asked.evidence, ...sent.evidence];
  recorder.cell(row, { ...comparison, remarks, evidence, milliseconds });
}

/** Whether any of the roles holds it, for each target. @param roles default: all that the login can act as */
export async function askCatalogs(
  { owner: catalogs, access, persona }: LeasedContext,
  row: MatrixRow,
  targets: readonly Target[],
  notes: Notes,
  roles = access.roles,
): Promise<Map<string, boolean>> {
  const declared = row.declared(persona);
  const held = new Map<string, boolean>();
  // Of those that are asked in the same way, at once.
  const byQuestion = new Map<string, string[]>();
  for (const target of targets) {
    const question = row.held(declared, persona, target);
    byQuestion.set(question, [...(byQuestion.get(question) ?? []), target.name]);
  }
  for (const [question, names] of byQuestion) {
    const sql = `SELECT target, bool_or(${question}) AS held
FROM unnest(ARRAY[${literals(roles)}]::name[]) role,
  unnest(ARRAY[${literals(names)}]) target
GROUP BY target`;
    const outcome = await catalogs.attempt(sql);
    if ("sqlstate" in outcome) {
      notes.note(sql, describe(outcome));
      continue;
    }
    for (const found of outcome.rows) held.set(String(found["target"]), found["held"] === true);
    const odd = names.filter((name) => held.get(name) !== declared);
    notes.note(sql, odd.length === 0 ? String(declared) : `${String(!declared)}: ${odd.join(", ")}`);
  }
  return held;
}

/** Of the users' objects on which PostgreSQL can't but answer alike, so many are tried; the others are taken to answer so. */
const TRIED_ALIKE = 20;

/** The statements that a row has for a target: none where one would evaluate something of the users'. */
export function statementsFor(row: MatrixRow, target: Target, context: SessionContext): readonly string[] {
  const { users, name, probe } = target;
  if (!probe && (users?.untried !== undefined || context.lockWaits.has(context.database, name))) return [];
  return row.statements(target, context);
}

async function send(
  context: SessionContext,
  row: MatrixRow,
  targets: readonly Target[],
  notes: Notes,
): Promise<{ answers: Answer[][]; remarks: string[] }> {
  const answers: Answer[][] = [];
  const alike = new Map<string, Answer[][]>();
  const beside: Beside[] = [];
  const byCatalogs = new Map<string, string[]>();
  for (const target of targets) {
    const { users, name } = target;
    const tried = (users && alike.get(users.alike)) ?? [];
    if (tried.length >= TRIED_ALIKE) {
      answers.push(tried[0]!);
      continue;
    }
    const ofTarget: Answer[] = [];
    answers.push(ofTarget);
    if (users?.untried !== undefined) {
      if (row.kind === "tables" || row.kind === "columns")
        byCatalogs.set(users.untried, [...(byCatalogs.get(users.untried) ?? []), name]);
      continue;
    }
    for (const sql of statementsFor(row, target, context)) {
      if (!users) {
        ofTarget.push(await answer(context.session, row, sql, notes));
        continue;
      }
      const given = await answer(context.session, row, sql, notes, context.lockWaits.usersLimit);
      if (isOfLock(given)) context.lockWaits.waited(context.database, name);
      // The catalogs decide: what answers beside the privilege is neither its use nor its refusal.
      if (given.allowed === undefined) beside.push({ name, ...given });
      else ofTarget.push(given);
    }
    if (users && ofTarget.length > 0) alike.set(users.alike, [...tried, ofTarget]);
  }
  // Somebody took them after the catalogs were asked.
  if (beside.some(isOfLock)) remarkLocks(context, await lockedNow(context, targets));
  for (const [reason, names] of byCatalogs)
    notes.note(`by the catalogs, since there is ${reason}`, names.join(", "));
  return { answers, remarks: besideRemarks(context, row, beside) };
}

function isOfLock({ sqlstate }: Answer): boolean {
  return sqlstate === LOCK_NOT_AVAILABLE;
}

interface Beside extends Answer {
  readonly name: string;
}

/** What answered beside the privilege, and is not known yet: a remark for each SQLSTATE. */
function besideRemarks(
  { remarked }: SessionContext,
  { name: privilege }: MatrixRow,
  beside: readonly Beside[],
) {
  const bySqlstate = new Map<string, Beside[]>();
  for (const each of beside) {
    const key = `${each.sqlstate ?? ""} ${each.name}`;
    if (remarked.has(key) || (isOfLock(each) && remarked.has(lockKey(each.name)))) continue;
    remarked.add(key);
    bySqlstate.set(each.sqlstate ?? "", [...(bySqlstate.get(each.sqlstate ?? "") ?? []), each]);
  }
  return [...bySqlstate.values()].map(
    (all) =>
      `${privilege} on ${few(all.map(({ name }) => name))} is decided by the catalogs, since the server answers ${all[0]!.got}`,
  );
}

/** Sends a statement and takes its effect back. */
export async function answer(
  session: Session,
  { alone = false, passed = [] }: Pick<MatrixRow, "alone" | "passed">,
  sql: string,
  notes: Notes,
  lockTimeout?: number,
): Promise<Answer> {
  let outcome: Outcome;
  try {
    outcome = await (alone
      ? session.attempt(sql, notes)
      : session.attemptAndRollBack(sql, notes, lockTimeout));
  } catch (error) {
    if (error instanceof Outage) throw error;
    return { sent: sql, got: oneLine(error) };
  }
  if (!("sqlstate" in outcome)) return { sent: sql, allowed: true, got: describe(outcome) };
  const got = `${describe(outcome)}, ${outcome.message}`;
  if (outcome.sqlstate === INSUFFICIENT_PRIVILEGE) return { sent: sql, allowed: false, got };
  const { sqlstate } = outcome;
  return { sent: sql, allowed: passed.includes(sqlstate) ? true : undefined, got, sqlstate };
}

/** One target of a row, with what is behind a difference. */
export async function observe(
  context: LeasedContext,
  row: MatrixRow,
  target: Target,
  declared: boolean,
  catalogued: boolean | undefined,
  answers: readonly Answer[],
  notes: Notes,
): Promise<Observation> {
  const exercised = answers.map(({ allowed }) => allowed);
  const isTooMuch = !declared && [catalogued, ...exercised].includes(true);
  const publics = isTooMuch ? await heldByPublicAlone(context, row, target) : undefined;
  if (publics !== undefined) notes.note(`${row.name} on ${target.name} is PUBLIC's`, publics);
  const clear = clearest(declared, exercised);
  const shown = answers.find(({ allowed }) => allowed === clear) ?? answers[0];
  return {
    what: row.says?.(target) ?? `${row.name} on ${target.name}`,
    short: target.name,
    catalogued,
    exercised,
    said: catalogsSay(catalogued),
    byPublic: publics !== undefined,
    ...(publics === undefined && [catalogued, ...exercised].includes(!declared)
      ? await (declared ? causesOfMissing : causesOfHeld)(context, row, target).catch(unknownCause)
      : { causes: [] }),
    example: shown && `${shown.sent} → ${shown.got}`,
  };
}

function unknownCause(error: unknown): Causes {
  if (error instanceof Outage) throw error;
  return { causes: [`its cause can't be looked up: ${oneLine(error)}`], mends: [] };
}
