import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SetupError } from "../../clients/setup-error";
import { finish, runJest, type Counts } from "../support/jest";
import { dockerMissing } from "./docker";
import { POSTGRES_VERSIONS, postgresImage, vaultImage } from "./images";
import { NAME, removeRun } from "./one-run";
import { run } from "./terraform";

const TERRAFORM_WANTED = [1, 11] as const;
/** As the stacks pin them. */
const PROVIDERS: Providers = {
  postgresql: ["cyrilgdn/postgresql", "1.26.0"],
  vault: ["hashicorp/vault", "5.6.0"],
};
const DOCKER_PROVIDER: Providers = { docker: ["kreuzwerker/docker", "3.6.2"] };

type Providers = Readonly<Record<string, readonly [source: string, version: string]>>;

/**
 * `npm run e2e`: the tests of this folder where Terraform and the providers are; else what is missing, and exit code 2.
 * Those that need Docker are skipped where it is missing. `--all` runs them on each version of PostgreSQL.
 */
async function main(): Promise<void> {
  const missing = await whatIsMissing();
  if (missing) {
    console.error(`e2e can't run here: ${missing}`);
    process.exitCode = 2;
    return;
  }
  const all = process.argv.includes("--all");
  const withoutDocker = await whatDockerMisses(all);
  if (withoutDocker) console.log(`without the tests that need Docker: ${withoutDocker}`);
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  // Containers and images are the machine's; servers of one's own are each test's, in a checkout of its own.
  const workers = withoutDocker ? 2 : 1;
  const args = [
    "--maxWorkers",
    String(workers),
    "--testMatch",
    "<rootDir>/test/e2e/**/*.test.ts",
    "--testTimeout",
    "300000",
  ];
  const folder = mkdtempSync(join(tmpdir(), "leasehold-e2e-"));
  // Where this program is root, PostgreSQL runs as somebody else, who has to get through.
  chmodSync(folder, 0o711);
  let removal: Promise<void> | undefined;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => {
      removal ??= removeRun(NAME, folder);
    });
  await runJest(counts, [...args, "--cacheDirectory", "node_modules/.cache/jest"], {
    ...process.env,
    TMPDIR: folder,
    LEASEHOLD_E2E_NAME: NAME,
    ...(all && { LEASEHOLD_E2E_ALL: "1" }),
    ...(withoutDocker && { LEASEHOLD_E2E_WITHOUT_DOCKER: withoutDocker }),
  });
  const wasInterrupted = removal !== undefined;
  await (removal ?? removeRun(NAME, folder));
  finish(counts);
  if (wasInterrupted) process.exitCode = 130;
}

/** Also has the images, which takes minutes the first time. */
async function whatDockerMisses(all: boolean): Promise<string | undefined> {
  const missing = dockerMissing() ?? (await inFolder((folder) => providerMissing(folder, DOCKER_PROVIDER)));
  if (missing) return missing;
  const progress = (text: string) => {
    console.log(text);
  };
  try {
    for (const version of all ? POSTGRES_VERSIONS : [POSTGRES_VERSIONS.at(-1)!])
      await postgresImage(version, progress);
    await vaultImage(progress);
    return undefined;
  } catch (error) {
    if (error instanceof SetupError) return error.message;
    throw error;
  }
}

function whatIsMissing(): Promise<string | undefined> {
  return inFolder(async (folder) => {
    const version = await run("terraform", ["version", "-json"], quiet(folder)).catch(() => undefined);
    if (!version) return "there is no terraform on PATH; install Terraform 1.11 or later";
    const found = /"terraform_version": "(\d+)\.(\d+)\.\d+/.exec(version.output);
    const [major, minor] = [Number(found?.[1]), Number(found?.[2])];
    if (!(major > TERRAFORM_WANTED[0] || (major === TERRAFORM_WANTED[0] && minor >= TERRAFORM_WANTED[1]))) {
      return `terraform is ${String(major)}.${String(minor)}; install Terraform ${TERRAFORM_WANTED.join(".")} or later`;
    }
    return providerMissing(folder, PROVIDERS);
  });
}

async function providerMissing(folder: string, providers: Providers): Promise<string | undefined> {
  for (const [name, [source, version]] of Object.entries(providers)) {
    const terraform = { required_providers: { [name]: { source, version } } };
    writeFileSync(join(folder, "main.tf.json"), JSON.stringify({ terraform }));
    const { code } = await run("terraform", ["init", "-no-color"], quiet(folder));
    if (code !== 0) {
      return `terraform init can't have the provider ${source} ${version}; it needs the Terraform registry, or a mirror (https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation)`;
    }
  }
  return undefined;
}

function quiet(cwd: string) {
  return { cwd, env: { ...process.env, TF_INPUT: "0", CHECKPOINT_DISABLE: "1" } };
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "leasehold-e2e-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

void main();
