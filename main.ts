import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { App } from "cdktf";
import { loadEnvironment } from "./config/load";
import { accessManifest } from "./stacks/access-manifest";
import { PlatformStack } from "./stacks/platform";
import { PostgresStack } from "./stacks/postgres";
import { VaultStack } from "./stacks/vault";

/** Config → App → three stacks → synth. */
async function main(): Promise<void> {
  const environment = await loadEnvironment(process.env["LEASEHOLD_ENV"] || "local");
  const app = new App({ stackTraces: false });
  const platform = environment.vault.container && new PlatformStack(app, environment);
  const postgres = new PostgresStack(app, environment);
  const vault = new VaultStack(app, environment, postgres);
  if (platform) postgres.addDependency(platform);
  app.synth();
  // Beside Terraform's JSON: what was declared, for the verifier, and the operator's policy, for who initialises Vault.
  writeFileSync(
    join(app.outdir, "access.json"),
    `${JSON.stringify(accessManifest(environment), undefined, 2)}\n`,
  );
  writeFileSync(join(app.outdir, "operator.hcl"), vault.operatorPolicy.toString());
}

main().catch((error: unknown) => {
  // What a construct refuses is said in one line, like the config's own errors.
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
});
