import { escapeLiteral as literal } from "pg";
import type { Access } from "./catalogs";
import { causesOfHeld, causesOfMissing } from "./causes";
import type { Column, Place } from "./rows";
import type { ManifestPersona } from "../../manifest/schema";
import { Outage } from "../../clients/outage";
import type { Target } from "../session/probes";
import { oneLine, type Evidence, type Recorder } from "../report/report";
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
    const asked: Evidence[] = [];
    const sent: Evidence[] = [];
    const start = performance.now();
    const [held, answers] = await Promise.all([
      ask(parties, column, targets, place.persona, asked),
      send(parties.session, column, targets, place, sent),
    ]);
    const milliseconds = performance.now() - start;
    const sides = targets.map((target, i) => ({ target, held: held.get(target.name), answers: answers[i]! }));
    // What is too much on several objects for the same reason is one finding.
    const findings = new Map<string, { what: string[]; example: string }>();
    for (const side of sides) {
      if (side.held === declared && side.answers.every(({ allowed }) => allowed === declared)) continue;
      const causes = await causesOf(parties, column, side, place, declared);
      shown.causes.push(...causes);
      const { found, example } = describeSide(side, declared, causes);
      const known = findings.get(found);
      if (known) known.what.push(side.target.name);
      else findings.set(found, { what: [subject(column, side.target)], example });
    }
    if (findings.size > 0) shown.privileges.push(privilege);
    recorder.cell({
      name: privilege,
      privilege,
      declared,
      catalogued: deviating(
        sides.map((side) => side.held),
        declared,
      ),
      proven: deviating(
        answers.flat().map(({ allowed }) => allowed),
        declared,
      ),
      held: findings.size === 0,
      finding:
        [...findings]
          .map(([found, { what, example }]) => `${what.join(", ")} ${found}${example}`)
          .join("; ") || undefined,
      evidence: [...asked, ...sent],
      milliseconds,
    });
  }
  return shown;
}

/** What the sides that are not as declared came to, or what was declared; undefined where there is none. */
function deviating(values: readonly (boolean | undefined)[], declared: boolean): boolean | undefined {
  if (values.length === 0) return undefined;
  const at = values.findIndex((value) => value !== declared);
  return at < 0 ? declared : values[at];
}

/** Whether any role that the login can act as holds it, for each target. */
async function ask(
  { asker, access }: Parties,
  column: Column,
  targets: readonly Target[],
  persona: ManifestPersona,
  evidence: Evidence[],
): Promise<Map<string, boolean>> {
  const declared = column.declared(persona);
  const list = (names: readonly string[]) => names.map((name) => literal(name)).join(", ");
  const sql = `SELECT target, bool_or(${column.held(declared, persona)}) AS held FROM unnest(ARRAY[${list(access.roles)}]::name[]) role, unnest(ARRAY[${list(targets.map(({ name }) => name))}]) target GROUP BY target`;
  const outcome = await asker.attempt(sql, evidence);
  if ("sqlstate" in outcome) return new Map();
  const held = new Map(outcome.rows.map((row) => [String(row["target"]), row["held"] === true]));
  const odd = targets.filter(({ name }) => held.get(name) !== declared).map(({ name }) => name);
  const got = odd.length === 0 ? String(declared) : `${String(!declared)}: ${odd.join(", ")}`;
  evidence[evidence.length - 1] = { sent: sql, got };
  return held;
}

async function send(
  session: Session,
  column: Column,
  targets: readonly Target[],
  place: Place,
  evidence: Evidence[],
): Promise<Answer[][]> {
  const answers: Answer[][] = [];
  for (const target of targets) {
    const of: Answer[] = [];
    for (const sql of statementsOf(column, target, place))
      of.push(await answer(session, column, sql, evidence));
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
  evidence: Evidence[],
): Promise<Answer> {
  let outcome: Outcome;
  try {
    outcome = await (alone ? session.attempt(sql, evidence) : session.attemptAndRollBack(sql, evidence));
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

/** Where an object is not as declared: how, why, and a statement that shows it. */
function describeSide(
  { held, answers }: Sides,
  declared: boolean,
  causes: readonly string[],
): { found: string; example: string } {
  const odd = answers.find(({ allowed }) => allowed !== declared) ?? answers[0];
  const parts: string[] = [];
  if (odd)
    parts.push(odd.allowed === undefined ? "could not be tried" : odd.allowed ? "is allowed" : "is refused");
  if (held === undefined) parts.push("could not be asked of the catalogs");
  else if (held !== odd?.allowed) parts.push(`is ${held ? "held" : "not held"} by the catalogs`);
  const why = causes.length > 0 ? `: ${causes.join("; ")}` : "";
  return {
    found: `${declared ? "is declared" : "is not declared"} and ${parts.join(", but ")}${why}`,
    example: odd ? ` (${odd.sql} → ${odd.got})` : "",
  };
}
