import { Outage } from "../../clients/outage";
import { oneLine, printable } from "../../clients/text";
import { Ended } from "../errors";
import { Check, type CheckDefinition, type CheckDescription } from "./check";
import type { Cell, CheckResult, GroupReport, Row } from "./report";

/** Which checks are asked for, by their ids. */
export interface Selection {
  /** @default - all */
  readonly only?: readonly string[];
  /** @default - none */
  readonly skip?: readonly string[];
}

export function isSelected({ only, skip = [] }: Selection, id: string): boolean {
  return (only === undefined || only.includes(id)) && !skip.includes(id);
}

/** Stable, as `--only` takes it: `tables.SELECT`, `set-role.its-group`. */
export function rowId({ kind, name }: Row): string {
  return `${kind}.${name}`.replaceAll(" ", "-").replaceAll("'", "");
}

/** Makes checks, of a database or of one of its personas, and keeps what came of them. */
export class Recorder {
  readonly matrix: Cell[] = [];
  private readonly byGroup = new Map<string, CheckResult[]>();

  constructor(private readonly selection: Selection) {}

  get groups(): GroupReport[] {
    return [...this.byGroup].map(([title, checks]) => ({ title, checks }));
  }

  /** Whether a check, or a row of the matrix, is asked for. */
  wants(id: string): boolean {
    return isSelected(this.selection, id);
  }

  wantsAny(definitions: readonly { readonly id: string }[]): boolean {
    return definitions.some(({ id }) => this.wants(id));
  }

  /**
   * Makes a check where it is asked for, or where others need what it makes. An exception is a finding, so that one failed
   * check does not hide the others.
   * @throws Ended after an outage, in which the others could only fail for the same reason
   */
  async run<Context>(definition: CheckDefinition<Context>, context: Context): Promise<void> {
    const { id, isStep, applies } = definition;
    const isWanted = this.wants(id);
    if (!(isWanted || isStep) || applies?.(context) === false) return;
    await this.record(definition, (check) => definition.run(context, check), isWanted);
  }

  /** One after the other. What needs something that another did not make does not apply. */
  async runAll<Context>(definitions: readonly CheckDefinition<Context>[], context: Context): Promise<void> {
    for (const definition of definitions) await this.run(definition, context);
  }

  /** Takes over what another one of the same place has kept. */
  take({ byGroup }: Recorder): void {
    for (const [group, results] of byGroup)
      this.byGroup.set(group, [...(this.byGroup.get(group) ?? []), ...results]);
  }

  /** What ended a database's checks before their end. */
  broken(error: unknown): void {
    const check = new Check();
    check.find(oneLine(error));
    this.add({ id: "run", title: "the run", group: "nothing left", proves: "" }, check, 0);
  }

  cell(row: Row, cell: Omit<Cell, keyof Row | "id" | "title" | "held">): void {
    const id = rowId(row);
    const { kind, name } = row;
    const findings = cell.findings.map(printable);
    this.matrix.push({
      id,
      title: `${kind}.${name}`,
      kind,
      name,
      held: findings.length === 0,
      ...cell,
      findings,
      details: cell.details.map((each) => ({ ...each, finding: printable(each.finding) })),
    });
  }

  private async record(
    description: CheckDescription,
    make: (check: Check) => Promise<void> | void,
    isWanted: boolean,
  ): Promise<void> {
    const check = new Check();
    const start = performance.now();
    let failure: unknown;
    try {
      await make(check);
    } catch (error) {
      failure = error;
      check.find(oneLine(error));
    }
    if (isWanted || check.findings.length > 0) this.add(description, check, performance.now() - start);
    if (failure instanceof Outage) throw new Ended(check.findings.at(-1));
  }

  private add({ id, title, group }: CheckDescription, check: Check, milliseconds: number): void {
    const { findings, details, remarks, evidence } = check;
    const results = this.byGroup.get(group) ?? [];
    this.byGroup.set(group, results);
    results.push({
      id,
      title,
      held: findings.length === 0,
      findings,
      details,
      remarks,
      evidence,
      milliseconds,
    });
  }
}
