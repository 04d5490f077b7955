import { writeFileSync } from "node:fs";
import { runSteps, type Step } from "../ops/terminal/progress";
import { synthesize } from "../ops/deployment/synthesize";
import { checkReportFile } from "../ops/verification/report-file";
import { chosenMajor } from "../sandbox/postgres-binaries";
import { Sandbox } from "../sandbox/sandbox";
import { SetupError } from "../clients/setup-error";
import { Workspace } from "../sandbox/workspace";
import { readAccessManifest } from "../manifest/schema";
import { BenchFailed, benchDeploys } from "./deploys";
import { benchLeases } from "./leases";
import { renderComparisons, type Comparison } from "./measure";
import { benchSynth } from "./synth";

export interface BenchOptions {
  readonly env?: string;
  readonly json?: string;
  /** @default - LEASEHOLD_POSTGRES, else the major version that is installed */
  readonly postgres?: string;
  /** Of the short measurements. */
  readonly rounds: number;
}

/** `leasehold bench`: each figure beside another of the same run. Returns the exit code. */
export async function bench(options: BenchOptions, signal: AbortSignal): Promise<number> {
  const { json, rounds } = options;
  const environment = options.env ?? (process.env["LEASEHOLD_ENV"] || "local");
  const postgresMajor = chosenMajor(options.postgres);
  if (json) checkReportFile(json);
  const comparisons: Comparison[] = [];
  const leftOut: string[] = [];
  const workspace = await Workspace.create();
  let sandbox: Sandbox | undefined;
  const steps: Step[] = [
    {
      title: "Synth",
      run: async () => {
        comparisons.push(await benchSynth(environment, workspace, rounds));
      },
    },
    {
      title: "Leases, on embedded servers",
      run: async ({ detail }) => {
        const synthesized = workspace.path("cdktf.out");
        await synthesize(environment, synthesized);
        sandbox = await Sandbox.start(workspace, {
          ...{ synthesized, postgresMajor, onProgress: detail },
          keepRootToken: true,
        });
        await sandbox.apply();
        comparisons.push(
          ...(await benchLeases(sandbox, readAccessManifest(synthesized).databases[0]!, rounds)),
        );
      },
    },
    {
      title: "Deploy, diff and destroy, beside plain Terraform",
      run: async ({ detail, title }) => {
        try {
          comparisons.push(...(await benchDeploys(environment, signal, detail)));
        } catch (error) {
          if (!(error instanceof SetupError)) throw error;
          leftOut.push(...error.message.split("\n"));
          title("Deploy, diff and destroy: left out, see below");
        }
      },
    },
  ];
  try {
    await runSteps(steps, signal);
  } catch (error) {
    if (!(error instanceof BenchFailed)) throw error;
    console.error(error.message);
    return 1;
  } finally {
    await sandbox?.stop();
    workspace.remove();
  }
  console.log(`\n${renderComparisons(comparisons)}`);
  for (const line of leftOut) console.log(`\nDeploy, diff and destroy were left out: ${line}`);
  if (json) {
    const report = { version: 1, environment, comparisons, leftOut };
    writeFileSync(json, `${JSON.stringify(report, undefined, 2)}\n`, { mode: 0o600 });
  }
  return 0;
}
