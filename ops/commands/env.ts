import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Deployment, makePrivate } from "../deployment/deployment";
import { CDKTF_OUT } from "../deployment/synthesize";
import { isBackendOf, providerPgOptions } from "../terraform/terraform";

export interface EnvOptions {
  readonly env?: string;
}

/** Prints the exports that plain cdktf and Terraform need, and makes the passwords that are missing. Returns the exit code. */
export async function printEnvironment({ env }: EnvOptions, signal: AbortSignal): Promise<number> {
  const deployment = await Deployment.openAside(env, signal);
  const { stacks, home, manifest } = deployment;
  const values: Record<string, string> = { LEASEHOLD_ENV: manifest.environment, TF_INPUT: "0" };
  for (const stack of stacks)
    for (const [name, value] of Object.entries(deployment.variables(stack))) values[`TF_VAR_${name}`] = value;
  values["VAULT_ADDR"] = deployment.vault().address;
  const token = home.token("operator");
  if (token !== undefined) values["VAULT_TOKEN"] = token;
  makePrivate();
  // Plain cdktf does not initialise again what another environment left; Terraform then asks where to put the state.
  for (const { name, json } of stacks) {
    const folder = join(CDKTF_OUT, "stacks", name);
    const record = join(folder, ".terraform/terraform.tfstate");
    if (existsSync(record) && !isBackendOf(folder, json.terraform)) rmSync(record);
  }
  if (process.stdout.isTTY)
    console.error('These are secrets, to be evaluated and not to be shown: eval "$(npx leasehold env)"');
  for (const [name, value] of Object.entries(values)) console.log(`export ${name}=${quote(value)}`);
  console.log(`export PGOPTIONS=${quote(providerPgOptions())}`);
  console.log(
    "# PGOPTIONS is for the provider; psql in this shell looks names up in pg_catalog alone as well.",
  );
  return 0;
}

/** For sh: nothing between single quotes means anything. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
