import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SetupError } from "../sandbox/setup-error";
import { accessManifestSchema } from "../verify/manifest";
import { VaultClient } from "../verify/vault-client";
import { Home } from "./home";
import type { VaultTarget } from "./init";
import { synthesize } from "./synthesize";

/** The Vault of an environment, as Terraform reaches it. */
export async function openTarget(environment: string | undefined): Promise<VaultTarget> {
  const synthesized = mkdtempSync(join(tmpdir(), "leasehold-synth-"));
  try {
    await synthesize(environment, synthesized);
    const read = (...path: string[]) => readFileSync(join(synthesized, ...path), "utf8");
    const { variable } = JSON.parse(read("stacks/vault/cdk.tf.json")) as {
      variable: { vault_address: { default?: string } };
    };
    const declared = variable.vault_address.default;
    // A container's address is known: VAULT_ADDR of somebody's shell may be another Vault's.
    const address = process.env["TF_VAR_vault_address"] || (declared ?? process.env["VAULT_ADDR"]);
    if (!address) throw new SetupError("VAULT_ADDR is not set: export Vault's address");
    const manifest = accessManifestSchema.parse(JSON.parse(read("access.json")));
    return {
      vault: new VaultClient(address.replace(/\/+$/, "")),
      home: Home.open(manifest.environment),
      manifest,
      operatorPolicy: read("operator.hcl"),
      isContainer: declared !== undefined,
    };
  } finally {
    rmSync(synthesized, { recursive: true, force: true });
  }
}
