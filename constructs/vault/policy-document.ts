import type { Duration } from "../duration";

/** https://developer.hashicorp.com/vault/docs/concepts/policies#capabilities */
export type Capability = "create" | "read" | "update" | "patch" | "delete" | "list" | "sudo";

export interface PolicyRule {
  /** A path, with `+` for one segment and `*` for any ending. */
  readonly path: string;
  readonly capabilities: readonly Capability[];
  /**
   * Holds the answer to be wrapped, for at least and at most these times.
   * @default - it may come as it is
   */
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

/** A token looks itself up before Terraform, hvac or Vault Agent uses it, and keeps itself alive. */
export const OWN_TOKEN: readonly PolicyRule[] = [
  { path: "auth/token/lookup-self", capabilities: ["read"] },
  { path: "auth/token/renew-self", capabilities: ["update"] },
];

/** A text that starts or ends with `*` is a pattern. */
export type ParameterValue = string | boolean | readonly string[];
export type Parameters = Readonly<Record<string, readonly ParameterValue[]>>;

/** Something that grants can be made to. */
export interface IGrantee {
  /**
   * How long its tokens live at most.
   * @default - not known
   */
  readonly tokenMaxTtl?: Duration;
  allow(...rules: PolicyRule[]): void;
}

/** Rules in the order in which they were added, a path once. */
export class PolicyDocument implements IGrantee {
  private readonly rules = new Map<string, PolicyRule>();

  /** What is added for a path that is there already is merged as Vault merges the rules of two policies. */
  allow(...rules: PolicyRule[]): void {
    for (const rule of rules) {
      const before = this.rules.get(rule.path);
      this.rules.set(rule.path, before ? merged(before, rule) : rule);
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

/**
 * Capabilities and parameters add up, and the shorter of two bounds on a wrapping holds; what one of the two says nothing about
 * is as the other has it (NewACL, vault/acl.go).
 */
function merged(one: PolicyRule, other: PolicyRule): PolicyRule {
  return {
    path: one.path,
    capabilities: [...new Set([...one.capabilities, ...other.capabilities])],
    wrapping: both(one.wrapping, other.wrapping, (a, b) => ({
      min: shorter(a.min, b.min),
      max: shorter(a.max, b.max),
    })),
    parameters: both(one.parameters, other.parameters, union),
    denied: both(one.denied, other.denied, union),
  };
}

function both<Part>(
  one: Part | undefined,
  other: Part | undefined,
  merge: (a: Part, b: Part) => Part,
): Part | undefined {
  return one && other ? merge(one, other) : (one ?? other);
}

function shorter(one: Duration, other: Duration): Duration {
  return other.isShorterThan(one) ? other : one;
}

/** No value stands for any. */
function union(one: Parameters, other: Parameters): Parameters {
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  return Object.fromEntries(
    names.map((name) => {
      const [a, b] = [one[name], other[name]];
      const isAny = a?.length === 0 || b?.length === 0;
      return [name, isAny ? [] : [...new Set([...(a ?? []), ...(b ?? [])])]];
    }),
  );
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
