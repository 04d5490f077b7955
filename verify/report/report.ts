import { Ended, Outage } from "../../clients/outage";
import { printable } from "../../clients/text";

/** What was sent, a statement or a request, and what came back: a SQLSTATE, a row count or an HTTP status. */
export interface Evidence {
  readonly sent: string;
  readonly got: string;
  /** Said in the table as well, though nothing is wrong. */
  readonly isRemark?: true;
}

/** One thing that had to hold. */
export interface Check {
  readonly database: string;
  readonly persona?: string;
  readonly name: string;
  readonly held: boolean;
  /** For people, where it did not hold: what was expected, what was found. */
  readonly finding?: string;
  readonly evidence: readonly Evidence[];
  readonly milliseconds: number;
}

/** A check of the matrix: one privilege of one persona. */
export interface Cell extends Check {
  readonly persona: string;
  /** `tables.SELECT`, as in the manifest; `tables.DROP` for dropping what is the owner's. */
  readonly privilege: string;
  readonly declared: boolean;
  /** What the catalogs say that the login can do as any role that it can act as. Undefined where they could not be asked. */
  readonly catalogued?: boolean;
  /**
   * What the server did. Undefined where its answer was neither the privilege's use nor its refusal, and where only the
   * catalogs can tell without touching what is the users'.
   */
  readonly proven?: boolean;
}

export interface Report {
  readonly version: 1;
  readonly environment: string;
  readonly servers: { readonly vault: string; readonly postgres: readonly string[] };
  readonly cells: readonly Cell[];
  readonly checks: readonly Check[];
  /** What is to be known and is no finding: what was accepted, what the server leaves possible. */
  readonly remarks: readonly string[];
  /** What the run made and could not take away again. */
  readonly left: readonly string[];
  readonly interrupted: boolean;
  readonly passed: number;
  readonly failed: number;
  readonly milliseconds: number;
}

/** Collects checks as they are made. */
export class Recorder {
  readonly cells: Cell[] = [];
  readonly checks: Check[] = [];

  constructor(
    readonly database: string,
    readonly persona?: string,
  ) {}

  /**
   * Runs a check. It holds when `run` returns without a finding; an exception is a finding too, so that one failed check
   * does not hide the others.
   * @throws Ended after an outage, in which the others could only fail for the same reason
   */
  async check(name: string, run: (evidence: Evidence[]) => Promise<string | undefined>): Promise<boolean> {
    const evidence: Evidence[] = [];
    const start = performance.now();
    let failure: unknown;
    let finding: string | undefined;
    try {
      finding = await run(evidence);
    } catch (error) {
      failure = error;
      finding = oneLine(error);
    }
    const { database, persona } = this;
    this.checks.push({
      database,
      persona,
      name,
      held: finding === undefined,
      finding: finding === undefined ? undefined : printable(finding),
      evidence,
      milliseconds: performance.now() - start,
    });
    if (failure instanceof Outage) throw new Ended(finding);
    return finding === undefined;
  }

  cell(cell: Omit<Cell, "database" | "persona">): void {
    const finding = cell.finding === undefined ? undefined : printable(cell.finding);
    this.cells.push({ ...cell, finding, database: this.database, persona: this.persona! });
  }
}

/** Says something that is no finding. */
export function remark(evidence: Evidence[], text: string): void {
  evidence.push({ sent: "remark", got: printable(text), isRemark: true });
}

/** Findings that fit a line. Of more than that the line has the first ones and their number, the evidence all of them. */
export function listed(findings: readonly string[], evidence: Evidence[]): string | undefined {
  if (findings.length <= LISTED) return findings.join("; ") || undefined;
  evidence.push(...findings.map((finding) => ({ sent: "found", got: finding })));
  const more = findings.length - LISTED;
  return `${String(findings.length)} findings: ${findings.slice(0, LISTED).join("; ")}; and ${String(more)} more, in the report`;
}

const LISTED = 3;

export function oneLine(error: unknown): string {
  return printable((error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").trim());
}
