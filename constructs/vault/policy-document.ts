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
   * The parameters that a request may have, each with its values, any where none is named; `*` stands for all others
   * (https://developer.hashicorp.com/vault/docs/concepts/policies#parameter-constraints).
   * @default - all are free
   */
  readonly parameters?: Parameters;
  /**
   * Values that a parameter may not have, beside those that `parameters` leaves out: where what it allows is read loosely.
   * @default - none
   */
  readonly denied?: Parameters;
}

/** A text that starts or ends with `*` is a pattern. */
export type ParameterValue = string | boolean | readonly string[];
export type Parameters = Readonly<Record<string, readonly ParameterValue[]>>;

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
    const blocks = [...this.rules.values()].map((rule) => {
      const { path, capabilities, wrapping, parameters } = rule;
      const lines = [`  capabilities = [${capabilities.map((name) => `"${name}"`).join(", ")}]`];
      if (wrapping) {
        lines.push(
          `  min_wrapping_ttl = "${wrapping.min.toString()}"`,
          `  max_wrapping_ttl = "${wrapping.max.toString()}"`,
        );
      }
      if (parameters) lines.push(...block("allowed_parameters", parameters));
      // HashiCorp's Vault from 1.21 on lets an empty text pass for any value, and reads it as false.
      const on = Object.entries(parameters ?? {}).filter(([, values]) => values.includes(true));
      const denied = { ...Object.fromEntries(on.map(([name]) => [name, [""]])), ...rule.denied };
      if (Object.keys(denied).length > 0) lines.push(...block("denied_parameters", denied));
      return `path "${path}" {\n${lines.join("\n")}\n}\n`;
    });
    return blocks.join("\n");
  }
}

/** Blanks that JSON leaves as they are, and that nobody could tell from a space. */
const UNSEEN = /\u0085|(?! )\s/g;
const escaped = (text: string) => `\\u${text.charCodeAt(0).toString(16).padStart(4, "0")}`;

function block(name: string, parameters: Parameters): string[] {
  const lines = Object.entries(parameters).map(
    ([parameter, values]) => `    "${parameter}" = ${JSON.stringify(values).replace(UNSEEN, escaped)}`,
  );
  return [`  ${name} = {`, ...lines, "  }"];
}
