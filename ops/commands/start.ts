import { relative } from "node:path";
import { chosenMajor } from "../../sandbox/postgres-binaries";
import { Sandbox } from "../../sandbox/sandbox";
import { Workspace } from "../../sandbox/workspace";
import { readAccessManifest, type AccessManifest } from "../../manifest/schema";
import type { Report } from "../../verify/report/report";
import { renderDetails } from "../../verify/report/details";
import { renderOverview } from "../../verify/report/overview";
import { verify } from "../../verify/verify";
import { startApplication } from "../verification/application";
import {
  clearStaleConnectionFiles,
  removeConnectionFile,
  writeConnectionFile,
} from "../../sandbox/connection-file";
import { runSteps } from "../terminal/progress";
import { rotateRoot } from "../vault/rotate";
import { publish, ROOT, synthesize } from "../deployment/synthesize";
import { color } from "../terminal/color";
import { checkReportFile, exitCode, writeReport } from "../verification/report-file";

/** Read at the start: the parent process may have ended by the time that there is something to keep. */
const STARTED_BY = process.ppid;

export interface StartOptions {
  readonly env?: string;
  /** Commander's for `--no-expiry`: true unless that is given. */
  readonly expiry: boolean;
  readonly details?: boolean;
  readonly json?: string;
  readonly keep?: boolean;
  /** @default - LEASEHOLD_POSTGRES, else the major version that is installed */
  readonly postgres?: string;
}

/** The main job: synthesize, start servers, apply, verify, show, stop. Returns the exit code. */
export async function start(options: StartOptions, signal: AbortSignal): Promise<number> {
  if (options.json) checkReportFile(options.json);
  const major = chosenMajor(options.postgres);
  const workspace = await Workspace.create();
  let sandbox: Sandbox | undefined;
  try {
    clearStaleConnectionFiles();
    const synthesized = workspace.path("cdktf.out");
    let manifest!: AccessManifest;
    let report!: Report;
    await runSteps(
      [
        {
          title: "Synthesize",
          run: async (show) => {
            await synthesize(options.env, synthesized);
            publish(synthesized);
            manifest = readAccessManifest(synthesized);
            show.title("Synthesized");
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
            show.title(`Started ${started.join(", ")} and ${vault.label} on ${new URL(vault.address).host}`);
          },
        },
        {
          title: "Apply the stacks postgres and vault",
          run: async (show) => {
            const count = await sandbox!.apply();
            const operator = sandbox!.vaultClient(sandbox!.initialised.tokens.operator);
            const rotated = await rotateRoot(operator, manifest);
            const rotation = rotated.length > 0 ? `, password of ${rotated.join(", ")} rotated` : "";
            show.title(`Applied the stacks postgres and vault: ${String(count)} resources${rotation}`);
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
    console.log(`\n${(options.details ? renderDetails : renderOverview)(report, color())}`);
    if (options.json) writeReport(options.json, report);
    if (options.keep) await keep(sandbox!, workspace, signal);
    return exitCode(report);
  } finally {
    await sandbox?.stop();
    workspace.remove();
  }
}

async function verifySandbox(
  sandbox: Sandbox,
  manifest: AccessManifest,
  expiry: boolean,
  signal: AbortSignal,
  onStep: (step: string) => void,
): Promise<Report> {
  const { servers, vault, initialised } = sandbox;
  const report = await verify({
    ...{ manifest, expiry, signal, onStep, startApplication },
    vault: sandbox.vaultClient(initialised.tokens.verifier),
    postgres: (server) => servers.get(server)!,
  });
  // The server tells its version, the program also which product it is.
  return { ...report, servers: { ...report.servers, vault: vault.label } };
}

/** Until Ctrl-C. */
async function keep(sandbox: Sandbox, workspace: Workspace, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const file = writeConnectionFile(sandbox, workspace.folder);
  try {
    console.log(`\nThe servers stay until Ctrl-C. How to reach them: ${relative(ROOT, file)}`);
    let watch: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => {
        resolve();
      });
      // Who started it, npm for one, may be killed and say nothing.
      watch = setInterval(() => {
        if (process.ppid !== STARTED_BY) resolve();
      }, 1000);
    });
    clearInterval(watch);
  } finally {
    removeConnectionFile(file);
  }
}
