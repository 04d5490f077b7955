import type { Duration } from "../duration";

/** https://developer.hashicorp.com/vault/docs/concepts/policies#capabilities */
export type Capability = "create" | "read" | "update" | "delete" | "list" | "sudo";

export interface PolicyRule {
  /** A path, with `+` for one segment and `*` for any ending. */
  readonly path: string;
  readonly capabilities: readonly Capability[];
  /** Holds the answer to be wrapped, for at least and at most these times. */
  readonly wrapping?: { readonly min: Duration; readonly max: Duration };
  /**
   * The only value that a parameter of the request may have; others are free.
   * @default - all are free
   */
  readonly fixedParameters?: Readonly<Record<string, string | boolean>>;
}

/** Something that grants can be made to. */
export interface IGrantee {
  allow(...rules: PolicyRule[]): void;
}

/** Rules in the order in which they were added, a path once: what is added again widens it. */
export class PolicyDocument implements IGrantee {
  private readonly rules = new Map<string, PolicyRule>();

  allow(...rules: PolicyRule[]): void {
    for (const rule of rules) {
      const capabilities = new Set([
        ...(this.rules.get(rule.path)?.capabilities ?? []),
        ...rule.capabilities,
      ]);
      this.rules.set(rule.path, { ...rule, capabilities: [...capabilities] });
    }
  }

  /** HCL, as `vault policy write` takes it. */
  toString(): string {
    const blocks = [...this.rules.values()].map(({ path, capabilities, wrapping, fixedParameters }) => {
      const lines = [`  capabilities = [${capabilities.map((name) => `"${name}"`).join(", ")}]`];
      if (wrapping) {
        lines.push(
          `  min_wrapping_ttl = "${wrapping.min.toString()}"`,
          `  max_wrapping_ttl = "${wrapping.max.toString()}"`,
        );
      }
      if (fixedParameters) {
        const fixed = Object.entries(fixedParameters).map(
          ([key, value]) => `"${key}" = [${JSON.stringify(value)}]`,
        );
        lines.push(`  allowed_parameters = {`, ...[...fixed, `"*" = []`].map((line) => `    ${line}`), "  }");
      }
      return `path "${path}" {\n${lines.join("\n")}\n}\n`;
    });
    return blocks.join("\n");
  }
}
