import { printable } from "../../clients/text";
import type { VaultAnswer } from "../../clients/vault-client";
import { Notes } from "./evidence";
import { statementsOf, type Mend } from "./mend";
import type { FindingDetails, Row } from "./report";

/** Headings under which the report shows checks. */
export type CheckGroup =
  | "Vault's own login"
  | "roles and PUBLIC"
  | "login"
  | "Vault's paths"
  | "lease"
  | "privileges"
  | "session"
  | "revocation"
  | "the life of a lease"
  | "workload"
  | "nothing left";

/** What a check is, as `leasehold verify --list` and docs/checks.md show it. */
export interface CheckDescription {
  /** Stable: `--only` and `--skip` take it, and reports have it. */
  readonly id: string;
  readonly title: string;
  /** What is known once it holds, as a sentence. */
  readonly proves: string;
  readonly group: CheckGroup;
}

/** What a row of the matrix is, as the same list shows it. */
export interface RowDescription extends Row {
  /** What is known once its cells hold, as a sentence. */
  readonly proves: string;
}

/** A check: what it is, and how it is made. */
export interface CheckDefinition<Context> extends CheckDescription {
  /**
   * Later checks need what it makes, such as a token or a lease.
   * @default - it is made where it is asked for alone; otherwise always, and reported where it is asked for or fails
   */
  readonly isStep?: true;
  /** Where it can't be made: without a workload, or where nothing may be made. @default - everywhere */
  readonly applies?: (context: Context) => boolean;
  /** Holds when it has found nothing at its end; an exception is a finding too. */
  run(context: Context, check: Check): Promise<void> | void;
}

/** A check as it is made: what was sent and what came back, and what is not as it has to be. */
export class Check extends Notes {
  readonly findings: string[] = [];
  /** More of some of them. */
  readonly details: FindingDetails[] = [];
  /** To be known, though nothing is wrong. */
  readonly remarks: string[] = [];

  /** Says what is not as it has to be; nothing where a part of it holds. */
  find(...findings: readonly (string | undefined)[]): void {
    this.findings.push(...findings.filter((finding) => finding !== undefined).map(printable));
  }

  /** Says it with all that it is about, and with what mends it. */
  findWith(
    text: string,
    { objects = [], mends = [] }: { readonly objects?: readonly string[]; readonly mends?: readonly Mend[] },
  ): void {
    const finding = printable(text);
    this.findings.push(finding);
    if (objects.length + mends.length > 0)
      this.details.push({ finding, objects, mends: statementsOf(mends) });
  }

  /**
   * Finds a value that is not the declared one. Returns whether it is.
   * @param why ends the finding
   */
  expect<Value extends string | number | boolean>(
    what: string,
    declared: Value,
    found: Value | undefined,
    unit = "",
    why = "",
  ): boolean {
    if (found === declared) return true;
    const text = (value: Value) => `${String(value)}${unit && ` ${unit}`}`;
    const is = found === undefined ? "nothing" : text(found);
    this.find(`${what} declared: ${text(declared)}; found: ${is}${why}`);
    return false;
  }

  /** Finds an answer of Vault's that is not the refusal which it has to be. */
  expectRefused(what: string, status: 400 | 403, answer: VaultAnswer): void {
    if (answer.status !== status)
      this.find(`${what} must be refused with HTTP ${String(status)}, received ${String(answer.status)}`);
  }

  remark(text: string): void {
    this.remarks.push(printable(text));
  }
}
