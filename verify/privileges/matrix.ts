import { escapeLiteral as literal } from "pg";
import type { Access } from "./catalogs";
import { causesOfHeld, causesOfMissing } from "./causes";
import type { Column, Place } from "./rows";
import type { ManifestPersona } from "../../manifest/schema";
import { Outage } from "../../clients/outage";
import type { Target } from "../session/probes";
import { oneLine } from "../../clients/text";
import { catalogsSay, compare, type Observation } from "../report/compare";
import { Notes } from "../report/evidence";
import type { Recorder } from "../report/recorder";
import { describe, INSUFFICIENT_PRIVILEGE, type Outcome, type Session } from "../session/session";

/** What is known of one object or place in one column. */
interface Sides {
  readonly target: Target;
  /** By the catalogs. Undefined where they could not be asked. */
  readonly held?: boolean;
  /** What came of the statements; empty where there is none to send. */
  readonly answers: readonly Answer[];
}

interface Answer {
  readonly sql: string;
  /** Undefined where the answer was neither the privilege's use nor its refusal. */
  readonly allowed?: boolean;
  readonly got: string;
}

interface Parties {
  /** The persona's, as it was opened. */
  readonly session: Session;
  /** Reads the catalogs. */
  readonly asker: Session;
  readonly access: Access;
}

/** What findings of the matrix have said already. */
export interface Shown {
  /** Columns that are not as declared. */
  readonly privileges: readonly string[];
  /** Grants, memberships and the like that are behind it. */
  readonly causes: readonly string[];
}

/** Fills the persona's cells: what is declared, what the catalogs say, what the statements came to. */
export async function exercise(
  parties: Parties,
  place: Place,
  columns: readonly Column[],
  recorder: Recorder,
): Promise<Shown> {
  const shown = { privileges: [] as string[], causes: [] as string[] };
  for (const column of columns) {
    const targets = column.on(place);
    // Without probe objects, and where the users have none of the kind, there is nothing to try.
    if (targets.length === 0) continue;
    const { privilege } = column;
    const declared = column.declared(place.persona);
    const asked = new Notes();
    const sent = new Notes();
    const start = performance.now();
    const [held, answers] = await Promise.all([
      ask(parties, column, targets, place.persona, asked),
      send(parties.session, column, targets, place, sent),
    ]);
    const milliseconds = performance.now() - start;
    const observations: Observation[] = [];
    for (const [i, target] of targets.entries()) {
      const sides = { target, held: held.get(target.name), answers: answers[i]! };
      const causes = await causesOf(parties, column, sides, place, declared);
      shown.causes.push(...causes);
      const odd = sides.answers.find(({ allowed }) => allowed !== declared) ?? sides.answers[0];
      observations.push({
        what: subject(column, target),
        short: target.name,
        catalogued: sides.held,
        exercised: sides.answers.map(({ allowed }) => allowed),
        said: catalogsSay(sides.held),
        causes,
        example: odd && `${odd.sql} → ${odd.got}`,
      });
    }
    const comparison = compare(declared, observations);
    if (comparison.findings.length > 0) shown.privileges.push(privilege);
    const [kind, name] = privilege.split(".") as [string, string];
    const evidence = [...asked.evidence, ...sent.evidence];
    recorder.cell({ kind, name }, { ...comparison, remarks: [], evidence, milliseconds });
  }
  return shown;
}

/** Whether any role that the login can act as holds it, for each target. */
async function ask(
  { asker, access }: Parties,
  column: Column,
  targets: readonly Target[],
  persona: ManifestPersona,
  notes: Notes,
): Promise<Map<string, boolean>> {
  const declared = column.declared(persona);
  const list = (names: readonly string[]) => names.map((name) => literal(name)).join(", ");
  const sql = `SELECT target, bool_or(${column.held(declared, persona)}) AS held FROM unnest(ARRAY[${list(access.roles)}]::name[]) role, unnest(ARRAY[${list(targets.map(({ name }) => name))}]) target GROUP BY target`;
  const outcome = await asker.attempt(sql);
  if ("sqlstate" in outcome) {
    notes.note(sql, describe(outcome));
    return new Map();
  }
  const held = new Map(outcome.rows.map((row) => [String(row["target"]), row["held"] === true]));
  const odd = targets.filter(({ name }) => held.get(name) !== declared).map(({ name }) => name);
  const got = odd.length === 0 ? String(declared) : `${String(!declared)}: ${odd.join(", ")}`;
  notes.note(sql, got);
  return held;
}

async function send(
  session: Session,
  column: Column,
  targets: readonly Target[],
  place: Place,
  notes: Notes,
): Promise<Answer[][]> {
  const answers: Answer[][] = [];
  for (const target of targets) {
    const of: Answer[] = [];
    for (const sql of statementsOf(column, target, place)) of.push(await answer(session, column, sql, notes));
    answers.push(of);
  }
  return answers;
}

export function statementsOf(column: Column, target: Target, place: Place): string[] {
  const statements = column.use(target, place);
  return statements === undefined ? [] : [statements].flat();
}

/** Sends a statement and takes its effect back. */
export async function answer(
  session: Session,
  { alone = false, passed = [] }: Pick<Column, "alone" | "passed">,
  sql: string,
  notes: Notes,
): Promise<Answer> {
  let outcome: Outcome;
  try {
    outcome = await (alone ? session.attempt(sql, notes) : session.attemptAndRollBack(sql, notes));
  } catch (error) {
    if (error instanceof Outage) throw error;
    return { sql, got: oneLine(error) };
  }
  if (!("sqlstate" in outcome)) return { sql, allowed: true, got: describe(outcome) };
  const got = `${describe(outcome)}, ${outcome.message}`;
  if (outcome.sqlstate === INSUFFICIENT_PRIVILEGE) return { sql, allowed: false, got };
  return { sql, allowed: passed.includes(outcome.sqlstate) ? true : undefined, got };
}

function causesOf(
  { access, asker }: Parties,
  column: Column,
  { target, held, answers }: Sides,
  place: Place,
  declared: boolean,
): Promise<string[]> {
  const about = { column, target, place, access, asker };
  const deviates = [held, ...answers.map(({ allowed }) => allowed)].includes(!declared);
  if (!deviates) return Promise.resolve([]);
  return (declared ? causesOfMissing(about) : causesOfHeld(about)).catch((error: unknown) => {
    if (error instanceof Outage) throw error;
    return [`its cause can't be looked up: ${oneLine(error)}`];
  });
}

function subject({ says, privilege }: Column, target: Target): string {
  return says?.(target) ?? `${privilege.split(".")[1]!} on ${target.name}`;
}
