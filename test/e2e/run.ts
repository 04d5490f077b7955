import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finish, runJest, type Counts } from "../counts";
import { run } from "./terraform";

const TERRAFORM_WANTED = [1, 11] as const;
/** As the stacks pin them. */
const PROVIDERS = {
  postgresql: ["cyrilgdn/postgresql", "1.26.0"],
  vault: ["hashicorp/vault", "5.6.0"],
} as const;

/** `npm run e2e`: the tests of this folder where Terraform and the providers are; else what is missing, and exit code 2. */
async function main(): Promise<void> {
  const missing = await whatIsMissing();
  if (missing) {
    console.error(`e2e can't run here: ${missing}`);
    process.exitCode = 2;
    return;
  }
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  const args = ["--runInBand", "--testMatch", "<rootDir>/test/e2e/**/*.test.ts", "--testTimeout", "300000"];
  await runJest(counts, args);
  finish(counts);
}

async function whatIsMissing(): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), "leasehold-e2e-"));
  const options = { cwd: folder, env: { ...process.env, TF_INPUT: "0", CHECKPOINT_DISABLE: "1" } };
  try {
    const version = await run("terraform", ["version", "-json"], options).catch(() => undefined);
    if (!version) return "there is no terraform on PATH; install Terraform 1.11 or later";
    const found = /"terraform_version": "(\d+)\.(\d+)\.\d+/.exec(version.output);
    const [major, minor] = [Number(found?.[1]), Number(found?.[2])];
    if (!(major > TERRAFORM_WANTED[0] || (major === TERRAFORM_WANTED[0] && minor >= TERRAFORM_WANTED[1]))) {
      return `terraform is ${String(major)}.${String(minor)}; install Terraform ${TERRAFORM_WANTED.join(".")} or later`;
    }
    for (const [name, [source, pinned]] of Object.entries(PROVIDERS)) {
      const required = { [name]: { source, version: pinned } };
      writeFileSync(
        join(folder, "main.tf.json"),
        JSON.stringify({ terraform: { required_providers: required } }),
      );
      const { code } = await run("terraform", ["init", "-no-color"], options);
      if (code !== 0) {
        return `terraform init can't have the provider ${source} ${pinned}; it needs the Terraform registry, or a mirror (https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation)`;
      }
    }
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

void main();
