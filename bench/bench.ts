import { writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
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
import { benchRates, renderRates, type Rates } from "./rates";
import { benchSynth } from "./synth";
import { benchVerifications } from "./verification";

export const PARTS = ["synth", "leases", "rates", "verify", "deploys"] as const;
export type Part = (typeof PARTS)[number];

export interface BenchOptions {
  readonly env?: string;
  readonly json?: string;
  /** @default - LEASEHOLD_POSTGRES, else the major version that is installed */
  readonly postgres?: string;
  /** @default - all parts */
  readonly only?: readonly Part[];
  /** Of the short measurements. */
  readonly rounds: number;
  /** How many leases are alive while others are made; ascending. */
  readonly alive: readonly number[];
}

/** `leasehold bench`: each figure beside another of the same run. Returns the exit code. */
export async function bench(options: BenchOptions, signal: AbortSignal): Promise<number> {
  const { json, rounds, alive, only = PARTS } = options;
  const environment = options.env ?? (process.env["LEASEHOLD_ENV"] || "local");
  const major = chosenMajor(options.postgres);
  if (json) checkReportFile(json);
  const comparisons: Comparison[] = [];
  const measured: Rates = { rates: [], calls: [] };
  const verifications: string[] = [];
  const leftOut: string[] = [];
  const load = [loadavg()[0]!];
  const workspace = await Workspace.create();
  let sandbox: Sandbox | undefined;
  const steps: Record<Part, Step> = {
    synth: {
      title: "Synth",
      run: async () => {
        comparisons.push(await benchSynth(environment, workspace, rounds));
      },
    },
    leases: {
      title: "A lease, on embedded servers",
      run: async ({ detail }) => {
        const synthesized = workspace.path("cdktf.out");
        await synthesize(environment, synthesized);
        sandbox = await Sandbox.start(workspace, {
          ...{ synthesized, postgresMajor: major, onProgress: detail },
          keepRootToken: true,
        });
        await sandbox.apply();
        comparisons.push(
          ...(await benchLeases(sandbox, readAccessManifest(synthesized).databases[0]!, rounds)),
        );
        await sandbox.stop();
      },
    },
    rates: {
      title: "Leases a second, on embedded servers",
      run: async ({ detail }) => {
        Object.assign(
          measured,
          await benchRates({ environment, major, alive, rounds, signal, onProgress: detail }),
        );
      },
    },
    verify: {
      title: "Verifications of 1, 2 and 20 databases, and of many objects, on embedded servers",
      run: async ({ detail }) => {
        const { comparisons: measured, spent } = await benchVerifications(major, rounds, signal, detail);
        comparisons.push(...measured);
        verifications.push(...spent);
      },
    },
    deploys: {
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
  };
  try {
    await runSteps(
      PARTS.filter((part) => only.includes(part)).map((part) => steps[part]),
      signal,
    );
  } catch (error) {
    if (!(error instanceof BenchFailed)) throw error;
    console.error(error.message);
    return 1;
  } finally {
    await sandbox?.stop();
    workspace.remove();
  }
  load.push(loadavg()[0]!);
  const machine = { cores: cpus().length, model: cpus()[0]?.model ?? "unknown", load };
  if (comparisons.length > 0) console.log(`\n${renderComparisons(comparisons)}`);
  if (verifications.length > 0) console.log(`\n${verifications.join("\n")}`);
  if (measured.rates.length > 0)
    console.log(`\n${renderRates(measured.rates)}\n\n${measured.calls.join("\n")}`);
  for (const line of leftOut) console.log(`\nDeploy, diff and destroy were left out: ${line}`);
  const [before, after] = load.map((one) => one.toFixed(1));
  console.log(
    `\n${String(machine.cores)} cores (${machine.model}), load ${before!} before and ${after!} after`,
  );
  if (json) {
    const report = { version: 1, environment, machine, comparisons, verifications, ...measured, leftOut };
    writeFileSync(json, `${JSON.stringify(report, undefined, 2)}\n`, { mode: 0o600 });
  }
  return 0;
}
