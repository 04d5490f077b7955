import type { Evidence } from "./evidence";

/** All of a finding that names but a few of its objects, or that statements would mend. */
export interface FindingDetails {
  /** As it stands among the findings. */
  readonly finding: string;
  /** All that it is about. Empty where it names them all. */
  readonly objects: readonly string[];
  /** SQL for a superuser, in the database that the finding is of. */
  readonly mends: readonly string[];
}

/** What came of a check. */
export interface CheckResult {
  readonly id: string;
  readonly title: string;
  readonly held: boolean;
  /** What is not as it has to be, one line each; empty where it held. */
  readonly findings: readonly string[];
  /** More of some of them. */
  readonly details: readonly FindingDetails[];
  /** What is to be known and is no finding: what was accepted, what the server leaves possible. */
  readonly remarks: readonly string[];
  readonly evidence: readonly Evidence[];
  readonly milliseconds: number;
}

/** A row of the matrix, such as SELECT on tables: what can be granted, or what takes the owner or an attribute. */
export interface Row {
  readonly kind: string;
  readonly name: string;
}

/** A cell of the matrix: a row for a persona. */
export interface Cell extends CheckResult, Row {
  readonly declared: boolean;
  /** What the catalogs say that the login can do as any role that it can act as. Undefined where they could not be asked. */
  readonly catalogued?: boolean;
  /**
   * What the server did. Undefined where its answer was neither the privilege's use nor its refusal, and where only the
   * catalogs can tell without touching what is the users'.
   */
  readonly exercised?: boolean;
  /** Not declared, and had by what PUBLIC may keep: neither passed nor failed, where nothing else was found. */
  readonly byPublic?: true;
}

export interface GroupReport {
  readonly title: string;
  readonly checks: readonly CheckResult[];
}

export interface PersonaReport {
  readonly name: string;
  readonly matrix: readonly Cell[];
  readonly groups: readonly GroupReport[];
}

export interface DatabaseReport {
  readonly name: string;
  readonly schemas: readonly string[];
  readonly groups: readonly GroupReport[];
  readonly personas: readonly PersonaReport[];
}

export interface Asked {
  /** Ids of the checks that were to be made, and of those that were not. */
  readonly only?: readonly string[];
  readonly skip?: readonly string[];
  readonly readOnly?: true;
  readonly expiry?: false;
}

/** What a verification came to. A renderer needs nothing beside it. */
export interface Report {
  readonly version: 2;
  readonly environment: string;
  /** Versions; PostgreSQL's once a database. */
  readonly servers: { readonly vault: string; readonly postgres: readonly string[] };
  readonly databases: readonly DatabaseReport[];
  /** What the run was to leave out; an empty object where it was to make every check. */
  readonly asked: Asked;
  /** Of the run as a whole. */
  readonly remarks: readonly string[];
  /** What the run made and could not take away again. */
  readonly left: readonly string[];
  readonly interrupted: boolean;
  readonly passed: number;
  readonly failed: number;
  readonly milliseconds: number;
}

/** A result with its place in the report. */
export interface Placed<Result extends CheckResult = CheckResult> {
  readonly database: string;
  readonly persona?: string;
  /** Undefined for a cell of the matrix. */
  readonly group?: string;
  readonly result: Result;
}

/** Every cell of the matrix, in the order of the report. */
export function cellsOf({ databases }: Pick<Report, "databases">): Placed<Cell>[] {
  return databases.flatMap(({ name: database, personas }) =>
    personas.flatMap(({ name: persona, matrix }) => matrix.map((result) => ({ database, persona, result }))),
  );
}

/** Every check that is no cell of the matrix: a database's own, then its personas'. */
export function checksOf({ databases }: Pick<Report, "databases">): Placed[] {
  return databases.flatMap(({ name: database, groups, personas }) => [
    ...inGroups(groups, { database }),
    ...personas.flatMap(({ name: persona, groups: own }) => inGroups(own, { database, persona })),
  ]);
}

function inGroups(groups: readonly GroupReport[], place: Omit<Placed, "result" | "group">): Placed[] {
  return groups.flatMap(({ title: group, checks }) => checks.map((result) => ({ ...place, group, result })));
}

/** How many held, but for cells that tell what is PUBLIC's; and how many did not. */
export function count(results: readonly CheckResult[]): { passed: number; failed: number } {
  const passed = results.filter((result) => result.held && !("byPublic" in result)).length;
  return { passed, failed: results.filter(({ held }) => !held).length };
}

/** Both: all that was checked. */
export function resultsOf(report: Pick<Report, "databases">): Placed[] {
  return [...cellsOf(report), ...checksOf(report)];
}

/** More of one of a result's findings, where there is more. */
export function detailsOf({ details }: CheckResult, finding: string): FindingDetails | undefined {
  return details.find((each) => each.finding === finding);
}
