import { execa } from "execa";
import { ROOT } from "../ops/deployment/synthesize";
import type { Workspace } from "../sandbox/workspace";
import { compare, type Comparison } from "./measure";

/** A whole synth beside a program that loads cdktf and does nothing. */
export function benchSynth(
  env: string | undefined,
  workspace: Workspace,
  rounds: number,
): Promise<Comparison> {
  const program = (...args: string[]) =>
    execa(process.execPath, ["--import", "tsx", ...args], {
      cwd: ROOT,
      env: { ...(env && { LEASEHOLD_ENV: env }), CDKTF_OUTDIR: workspace.path("bench.out") },
    });
  return compare(
    ["synth", "loading cdktf alone"],
    rounds,
    () => program("main.ts"),
    () => program("--eval", 'require("cdktf")'),
  );
}
