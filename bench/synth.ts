import { spawn } from "node:child_process";
import { once } from "node:events";
import { ROOT, synthesize } from "../ops/synthesize";
import type { Workspace } from "../sandbox/workspace";
import { compare, type Comparison } from "./measure";

/** A whole synth beside a program that loads cdktf and does nothing. */
export function benchSynth(
  env: string | undefined,
  workspace: Workspace,
  rounds: number,
): Promise<Comparison> {
  const idle = async () => {
    const child = spawn(process.execPath, ["--import", "tsx", "--eval", 'require("cdktf")'], {
      cwd: ROOT,
      stdio: "ignore",
    });
    await once(child, "close");
  };
  return compare(
    ["synth", "loading cdktf alone"],
    rounds,
    () => synthesize(env, workspace.path("bench.out")),
    idle,
  );
}
