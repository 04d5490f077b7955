import { copyFileSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { SetupError } from "../../clients/setup-error";

/** The project's folder. */
export const ROOT = join(__dirname, "../..");
/** Where cdktf puts what it synthesizes, and runs Terraform. */
export const CDKTF_OUT = join(ROOT, "cdktf.out");

/**
 * Synthesizes an environment into a folder, as `cdktf synth` does.
 * @throws SetupError with the lines that say what about the config is not allowed
 */
export async function synthesize(environment: string | undefined, outdir: string): Promise<void> {
  // Loading cdktf takes as long as everything else that a command loads.
  const [{ loadEnvironment }, { isRefusal, synthesizeApp }] = await Promise.all([
    import("../../config/load.js"),
    import("../../stacks/app.js"),
  ]);
  try {
    synthesizeApp(await loadEnvironment(environment), outdir);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw new SetupError(error.message, { cause: error });
  }
}

/** Puts what was synthesized where cdktf and the verifier look for it. Each file is replaced whole. */
export function publish(outdir: string, target = CDKTF_OUT): void {
  for (const entry of readdirSync(outdir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const from = join(entry.parentPath, entry.name);
    const to = join(target, from.slice(outdir.length));
    mkdirSync(dirname(to), { recursive: true });
    const whole = `${to}.${String(process.pid)}`;
    copyFileSync(from, whole);
    renameSync(whole, to);
  }
}
