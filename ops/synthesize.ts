import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { SetupError } from "../sandbox/setup-error";

/** The project's folder. */
export const ROOT = dirname(__dirname);
/** Where cdktf puts what it synthesizes, and runs Terraform. */
export const CDKTF_OUT = join(ROOT, "cdktf.out");

/**
 * Synthesizes an environment into a folder, as `cdktf synth` does, in a process of its own.
 * @param app the program that synthesizes
 * @throws SetupError with the lines that say what about the config is not allowed
 */
export async function synthesize(
  environment: string | undefined,
  outdir: string,
  app = "main.ts",
): Promise<void> {
  const env = { ...process.env, CDKTF_OUTDIR: outdir, ...(environment && { LEASEHOLD_ENV: environment }) };
  const child = spawn(process.execPath, ["--import", "tsx", app], {
    cwd: ROOT,
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject).on("close", resolve);
  });
  if (code !== 0) throw new SetupError(errors.trim() || `synth ended with exit code ${String(code)}`);
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
