import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { App } from "cdktf";
import { ConfigError, type Environment } from "../config/schema/schema";
import { DeclarationError } from "../constructs/declaration-error";
import { Manifest } from "../constructs/manifest";
import { trustPolicyNames } from "../manifest/names";
import type { AccessManifestInput } from "../manifest/schema";
import { PlatformStack } from "./platform";
import { PostgresStack } from "./postgres";
import { VaultStack } from "./vault";

/** The stacks of an environment. */
export interface Stacks {
  /** @default - the servers exist already */
  readonly platform?: PlatformStack;
  readonly postgres: PostgresStack;
  readonly vault: VaultStack;
  /** What they declare, with what the config alone knows. */
  readonly accessManifest: () => AccessManifestInput;
}

export function declareStacks(app: App, environment: Environment): Stacks {
  const platform = environment.vault.container && new PlatformStack(app, environment);
  const postgres = new PostgresStack(app, environment);
  const vault = new VaultStack(app, environment, postgres);
  if (platform) postgres.addDependency(platform);
  const manifest = Manifest.of(app);
  for (const { name, workload } of environment.databases)
    manifest.addToDatabase(vault, name, () => ({ workload }));
  return {
    platform,
    postgres,
    vault,
    accessManifest: () =>
      manifest.synthesize({
        environment: environment.name,
        vault: { ...environment.vault.unsealKeys, tls: environment.vault.tls },
        policies: trustPolicyNames(environment),
        accepted: environment.accepted,
      }),
  };
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
    const app = new App({ outdir, stackTraces: false });
    const { vault, accessManifest } = declareStacks(app, environment);
    app.synth();
    // What was declared, for the verifier, and the trust model's policies, for who initialises Vault.
    writeFileSync(join(app.outdir, "access.json"), `${JSON.stringify(accessManifest(), undefined, 2)}\n`);
    for (const [who, policy] of Object.entries(vault.trust.texts()))
      writeFileSync(join(app.outdir, `${who}.hcl`), policy);
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
  }
}

/** Whether it is the config, or what a construct was given, that is wrong: its lines say all. Any other error is a bug of ours. */
export function isRefusal(error: unknown): error is ConfigError | DeclarationError {
  return error instanceof ConfigError || error instanceof DeclarationError;
}
