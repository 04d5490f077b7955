import { execFileSync } from "node:child_process";
import { run } from "./terraform";

/** Why nothing can run in containers here, in a line that says what to do. */
export function dockerMissing(): string | undefined {
  try {
    execFileSync("docker", ["version", "--format", "{{.Server.Version}}"], {
      stdio: "pipe",
      timeout: 20_000,
    });
    return undefined;
  } catch (error) {
    const { code, stderr } = error as NodeJS.ErrnoException & { stderr?: Buffer };
    if (code === "ENOENT") return "there is no docker on PATH; install Docker";
    const said = stderr?.toString().trim().split("\n")[0];
    return `Docker does not answer (${said || "no reason given"}); start its daemon`;
  }
}

/**
 * Runs a docker command to its end.
 * @returns what it wrote, both streams
 * @throws Error with what it wrote, when it failed
 */
export async function docker(...args: string[]): Promise<string> {
  const { code, output } = await run("docker", args, { cwd: "/", env: process.env });
  if (code !== 0) throw new Error(`docker ${args.join(" ")}: ${output.trim()}`);
  return output.trim();
}
