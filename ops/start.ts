import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { Listr } from "listr2";
import { Sandbox } from "../sandbox/sandbox";
import { Workspace } from "../sandbox/workspace";
import { accessManifestSchema, type AccessManifest } from "../verify/manifest";
import type { Report } from "../verify/report";
import { renderTable } from "../verify/table";
import { VaultClient } from "../verify/vault-client";
import { verify } from "../verify/verify";
import { clearStaleConnectionFile, removeConnectionFile, writeConnectionFile } from "./connection-file";
import { LISTR_OPTIONS } from "./progress";
import { publish, ROOT, synthesize } from "./synthesize";
import { color, exitCode, writeReport } from "./verify";

export interface StartOptions {
  readonly env?: string;
  readonly json?: string;
  readonly keep?: boolean;
}

interface Run {
  workspace: Workspace;
  synthesized: string;
  sandbox: Sandbox;
  manifest: AccessManifest;
  report: Report;
}

/** The main job: synthesize, start servers, apply, verify, show, stop. Returns the exit code. */
export async function start({ env, json, keep }: StartOptions, signal: AbortSignal): Promise<number> {
  const run: Partial<Run> = {};
  let connectionFile: string | undefined;
  try {
    await new Listr<Run>(
      [
        {
          title: "Synthesize",
          task: async () => {
            run.workspace = await Workspace.create();
            clearStaleConnectionFile();
            run.synthesized = run.workspace.path("cdktf.out");
            await synthesize(env, run.synthesized);
            publish(run.synthesized);
            const text = readFileSync(`${run.synthesized}/access.json`, "utf8");
            run.manifest = accessManifestSchema.parse(JSON.parse(text));
          },
        },
        {
          title: "Start PostgreSQL and Vault",
          task: async (_, task) => {
            signal.throwIfAborted();
            const onProgress = (text: string) => {
              task.output = text;
            };
            run.sandbox = await Sandbox.start(run.workspace!, { synthesized: run.synthesized!, onProgress });
            const { postgres, vault } = run.sandbox;
            task.title = `Started PostgreSQL ${postgres.version} on 127.0.0.1:${String(postgres.port)} and ${vault.product} ${vault.version} on ${vault.address.slice("http://".length)}`;
          },
        },
        {
          title: "Apply the stacks postgres and vault",
          task: async (_, task) => {
            signal.throwIfAborted();
            const count = await run.sandbox!.apply();
            task.title = `Applied the stacks postgres and vault: ${String(count)} resources`;
          },
        },
        {
          title: "Verify",
          task: async (_, task) => {
            signal.throwIfAborted();
            const { postgres, vault, initialised } = run.sandbox!;
            run.report = await verify({
              manifest: run.manifest!,
              vault: new VaultClient(vault.address, initialised.tokens.verifier),
              postgres,
              signal,
              onStep: (step) => {
                task.output = step;
              },
            });
            task.title = "Verified with the verifier's token alone";
          },
        },
      ],
      LISTR_OPTIONS,
    ).run();

    const { manifest, sandbox, workspace } = run as Run;
    const report = {
      ...run.report!,
      servers: { ...run.report!.servers, vault: `${sandbox.vault.product} ${sandbox.vault.version}` },
    };
    if (json) writeReport(json, report);
    console.log(`\n${renderTable(report, manifest, color())}`);
    if (keep && !signal.aborted) {
      connectionFile = writeConnectionFile(sandbox, workspace.folder);
      console.log(`\nThe servers stay until Ctrl-C. How to reach them: ${relative(ROOT, connectionFile)}`);
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => {
          resolve();
        });
      });
    }
    return exitCode(report);
  } finally {
    if (connectionFile) removeConnectionFile(connectionFile);
    await run.sandbox?.stop();
    await run.workspace?.remove();
  }
}
