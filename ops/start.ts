import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { INSTALLED_MAJOR, postgresMajor } from "../sandbox/postgres-binaries";
import { Sandbox } from "../sandbox/sandbox";
import { Workspace } from "../sandbox/workspace";
import { accessManifestSchema, type AccessManifest } from "../verify/manifest";
import type { Report } from "../verify/report";
import { renderTable } from "../verify/table";
import { VaultClient } from "../verify/vault-client";
import { verify } from "../verify/verify";
import { clearStaleConnectionFile, removeConnectionFile, writeConnectionFile } from "./connection-file";
import { runSteps } from "./progress";
import { publish, ROOT, synthesize } from "./synthesize";
import { color, exitCode, writeReport } from "./verify";

export interface StartOptions {
  readonly env?: string;
  /** Commander's for `--no-expiry`: true unless that is given. */
  readonly expiry: boolean;
  readonly json?: string;
  readonly keep?: boolean;
  /** @default - LEASEHOLD_POSTGRES, else the major version that is installed */
  readonly postgres?: string;
}

/** The main job: synthesize, start servers, apply, verify, show, stop. Returns the exit code. */
export async function start(options: StartOptions, signal: AbortSignal): Promise<number> {
  const major = postgresMajor(
    options.postgres ?? (process.env["LEASEHOLD_POSTGRES"] || String(INSTALLED_MAJOR)),
  );
  const workspace = await Workspace.create();
  let sandbox: Sandbox | undefined;
  try {
    clearStaleConnectionFile();
    const synthesized = workspace.path("cdktf.out");
    let manifest!: AccessManifest;
    let report!: Report;
    await runSteps(
      [
        {
          title: "Synthesize",
          run: async () => {
            await synthesize(options.env, synthesized);
            publish(synthesized);
            const text = readFileSync(join(synthesized, "access.json"), "utf8");
            manifest = accessManifestSchema.parse(JSON.parse(text));
          },
        },
        {
          title: "Start PostgreSQL and Vault",
          run: async (show) => {
            const onProgress = show.detail;
            sandbox = await Sandbox.start(workspace, { synthesized, onProgress, postgresMajor: major });
            const { servers, vault } = sandbox;
            const started = [...servers.values()].map(
              ({ version, host, port }) => `PostgreSQL ${version} on ${host}:${String(port)}`,
            );
            show.title(
              `Started ${started.join(", ")} and ${vault.product} ${vault.version} on ${new URL(vault.address).host}`,
            );
          },
        },
        {
          title: "Apply the stacks postgres and vault",
          run: async (show) => {
            const count = await sandbox!.apply();
            show.title(`Applied the stacks postgres and vault: ${String(count)} resources`);
          },
        },
        {
          title: "Verify",
          run: async (show) => {
            report = await verifySandbox(sandbox!, manifest, options.expiry, signal, show.detail);
            show.title("Verified with the verifier's token alone");
          },
        },
      ],
      signal,
    );
    if (options.json) writeReport(options.json, report);
    console.log(`\n${renderTable(report, manifest, color())}`);
    if (options.keep) await keep(sandbox!, workspace, signal);
    return exitCode(report);
  } finally {
    await sandbox?.stop();
    workspace.remove();
  }
}

async function verifySandbox(
  { postgres, vault, initialised }: Sandbox,
  manifest: AccessManifest,
  expiry: boolean,
  signal: AbortSignal,
  onStep: (step: string) => void,
): Promise<Report> {
  const client = new VaultClient(vault.address, initialised.tokens.verifier);
  const report = await verify({ manifest, vault: client, postgres: () => postgres, expiry, signal, onStep });
  // The server says its version, the program also whose it is.
  return { ...report, servers: { ...report.servers, vault: `${vault.product} ${vault.version}` } };
}

/** Until Ctrl-C. */
async function keep(sandbox: Sandbox, workspace: Workspace, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const file = writeConnectionFile(sandbox, workspace.folder);
  try {
    console.log(`\nThe servers stay until Ctrl-C. How to reach them: ${relative(ROOT, file)}`);
    // A promise alone does not keep the program alive.
    const alive = setInterval(() => undefined, 60_000);
    await new Promise((resolve) => {
      signal.addEventListener("abort", resolve);
    });
    clearInterval(alive);
  } finally {
    removeConnectionFile(file);
  }
}
