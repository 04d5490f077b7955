import { SetupError } from "../clients/setup-error";

/**
 * A policy as Vault takes it: with the value of each variable, which stands in a quoted text.
 * @param template as synth writes it: `cdktf.out/operator.hcl`
 * @throws SetupError for a value that would make a pattern of what the policy fixes, or that HCL would read as its own
 */
export function policyText(template: string, variable: (name: string) => string): string {
  return template.replace(/\$\{var\.([A-Za-z_][A-Za-z0-9_-]*)\}/g, (_, name: string) => {
    const value = variable(name);
    if (value.includes("*") || value.includes("${")) {
      throw new SetupError(
        `the variable ${name}: received ${JSON.stringify(value)}, allowed: a value without * and \${, which in Vault's policies stand for any text and for an expression`,
      );
    }
    return JSON.stringify(value).slice(1, -1);
  });
}
