import { spawn, type ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../clients/within";

export const ROOT = join(__dirname, "../..");

/** `node --import tsx cli.ts …` as a user has it: with an environment and a terminal's two streams. */
export class Program {
  output = "";
  /** What of it was on stderr. */
  errors = "";
  readonly ended: Promise<number | string>;
  readonly child: ChildProcess;

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}, cwd = ROOT, main = "cli.ts") {
    this.child = spawn(process.execPath, ["--import", "tsx", main, ...args], {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => (this.output += text));
    }
    this.child.stderr!.on("data", (text: string) => (this.errors += text));
    this.ended = new Promise((resolve) => {
      this.child.on("close", (code, signal) => {
        resolve(code ?? signal ?? "");
      });
    });
  }

  /** Waits, within a bound, for a text in the output. */
  async until(text: string | RegExp, milliseconds = 60_000): Promise<void> {
    await eventually(
      () => this.output.match(text) !== null,
      milliseconds,
      () => `no ${String(text)} in:\n${this.output}`,
    );
  }
}

/** What a command said, a line each, but for its progress and for what a deploy says beforehand that it will change. */
export function messages(output: string): string[] {
  return output
    .replace(/^# (plan|access|what ends|what others lose)\n(.+\n)+/gm, "")
    .split("\n")
    .filter((line) => line !== "" && !/^\s*[❯✔✖›]/u.test(line));
}

/** Waits, within a bound, until a condition holds. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  milliseconds: number,
  otherwise: () => string,
): Promise<void> {
  if (!(await until(milliseconds, async () => (await condition()) || undefined)))
    throw new Error(otherwise());
}

/** Command lines and environments of all processes that mention a text; not readable ones count as empty. */
export function processesWith(text: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => ["cmdline", "environ"].map((file) => readQuietly(`/proc/${pid}/${file}`)))
    .filter((content) => content.includes(text));
}

function readQuietly(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
