import type { Check } from "./check";

/** What the config says is meant, by the id of its finding. */
export interface Accepted {
  readonly id: string;
  readonly reason: string;
}

/** A finding that somebody may mean. Its id is made of the rule, the object and what is gained, and is the same in each run. */
export interface Finding {
  readonly id: string;
  readonly text: string;
}

/** Tells findings that are accepted from those that are not. */
export class Acceptance {
  private readonly met = new Set<string>();

  constructor(private readonly accepted: readonly Accepted[]) {}

  /** The findings that nobody accepted, with their ids. Of the others the check has the reason. */
  open(findings: readonly Finding[], check: Check): string[] {
    return findings.flatMap(({ id, text }) => {
      const reason = this.accepted.find((candidate) => candidate.id === id)?.reason;
      if (reason === undefined) return [`${text} (id ${id})`];
      this.met.add(id);
      check.remark(`accepted: ${text} (id ${id}): ${reason}`);
      return [];
    });
  }

  /** Ids that no finding had so far. */
  unmet(): string[] {
    return this.accepted.map(({ id }) => id).filter((id) => !this.met.has(id));
  }
}
