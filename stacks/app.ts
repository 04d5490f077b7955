import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { App } from "cdktf";
import { ConfigError, type Environment } from "../config/schema/schema";
import { accessManifest } from "./access-manifest";
import { PlatformStack } from "./platform";
import { PostgresStack } from "./postgres";
import { VaultStack } from "./vault";

/** Whether a config is why a synth failed: a construct refuses a value with a plain Error. Other errors are bugs, or the machine's. */
export function isRefusal(error: unknown): error is Error {
  return (
    error instanceof ConfigError ||
    (error instanceof Error && error.constructor === Error && !("code" in error))
  );
}

/**
 * Synthesizes an environment's stacks, and beside them what programs other than Terraform read.
 * @param outdir the folder, which is made where there is none (default: where cdktf says)
 */
export function synthesizeApp(environment: Environment, outdir?: string): void {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- it is put back, not called
  const { prepareStackTrace } = Error;
  // cdktf notes of each token where in the program it was made, which nobody reads and takes as long as all the rest.
  Error.prepareStackTrace = (error, frames) =>
    error instanceof Error ? [String(error), ...frames.map(String)].join("\n    at ") : "";
  try {
    synthesizeStacks(environment, outdir);
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
  }
}

function synthesizeStacks(environment: Environment, outdir: string | undefined): void {
  const app = new App({ outdir, stackTraces: false });
  const platform = environment.vault.container && new PlatformStack(app, environment);
  const postgres = new PostgresStack(app, environment);
  const vault = new VaultStack(app, environment, postgres);
  if (platform) postgres.addDependency(platform);
  app.synth();
  // What was declared, for the verifier, and the trust model's policies, for who initialises Vault.
  writeFileSync(
    join(app.outdir, "access.json"),
    `${JSON.stringify(accessManifest(environment), undefined, 2)}\n`,
  );
  for (const [who, policy] of Object.entries(vault.trustPolicies()))
    writeFileSync(join(app.outdir, `${who}.hcl`), policy);
}
