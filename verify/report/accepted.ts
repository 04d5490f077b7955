import type { Check } from "./check";
import type { Mend } from "./mend";

/** What the config accepts, by the id of the finding. */
interface Accepted {
  readonly id: string;
  readonly reason: string;
}

/** A finding that may be accepted. Its id is made of the rule, the object and what is gained, and is the same in each run. */
interface Finding {
  readonly id: string;
  readonly text: string;
  /** All that it is about, where the text names a few. @default - it names them all */
  readonly objects?: readonly string[];
  /** @default - no statement mends it */
  readonly mends?: readonly Mend[];
}

/** Tells findings that are accepted from those that are not. */
export class Acceptance {
  private readonly met = new Set<string>();

  constructor(private readonly accepted: readonly Accepted[]) {}

  /**
   * Finds those that nobody accepted, each with its id; of the others the check has the reason.
   * @param words before each finding
   */
  find(check: Check, findings: readonly Finding[], words = ""): void {
    for (const { id, text, objects, mends } of findings) {
      const reason = this.accepted.find((candidate) => candidate.id === id)?.reason;
      if (reason === undefined) check.findWith(`${words}${text} (id ${id})`, { objects, mends });
      else {
        this.met.add(id);
        check.remark(`accepted: ${text} (id ${id}): ${reason}`);
      }
    }
  }

  /** Ids that no finding had so far. */
  unmet(): string[] {
    return this.accepted.map(({ id }) => id).filter((id) => !this.met.has(id));
  }
}
