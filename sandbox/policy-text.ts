import { SetupError } from "../clients/setup-error";
import { interpolate } from "./terraform-json";

/**
 * A policy as Vault takes it: with the value of each variable, which stands in a quoted text.
 * @param template as synth writes it: `cdktf.out/operator.hcl`
 * @throws SetupError for a value that would make a pattern of what the policy fixes, or that HCL would read as its own
 */
export function policyText(template: string, variable: (name: string) => string): string {
  const quoted = (name: string) => {
    const value = variable(name);
    if (value.includes("*") || value.includes("${")) {
      throw new SetupError(
        `the variable ${name}: received ${JSON.stringify(value)}, allowed: a value without * and \${, which in Vault's policies stand for any text and for an expression`,
      );
    }
    return JSON.stringify(value).slice(1, -1);
  };
  return interpolate(template, { variable: quoted, attribute: () => null }, "a policy") as string;
}
