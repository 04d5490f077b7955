import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { SetupError } from "./setup-error";

/** A process as its number and the time it started, so that a number that is used again is never taken for it. */
interface ProcessId {
  readonly pid: number;
  readonly startTime?: string;
}

export interface SpawnOptions {
  /** @default - the user of this program */
  readonly user?: { readonly uid: number; readonly gid: number };
  readonly cwd?: string;
}

const OWNER_FILE = "owner.json";
const RUN = "run-";

/**
 * The private folder of one sandbox and the processes it started. Whatever a killed program left behind, folders and
 * processes, is cleared by the next one.
 */
export class Workspace {
  /** @throws SetupError when the folder for sandboxes is not this user's own */
  static async create(): Promise<Workspace> {
    const base = baseFolder();
    await clearStale(base);
    const name = randomBytes(6).toString("hex");
    // Under another name until it says whose it is: nobody clears it in between.
    const hidden = join(base, `new-${String(process.pid)}-${name}`);
    mkdirSync(hidden, { mode: folderMode() });
    writeFileSync(join(hidden, OWNER_FILE), JSON.stringify(identify(process.pid)), { mode: 0o600 });
    const folder = join(base, `${RUN}${name}`);
    renameSync(hidden, folder);
    const workspace = new Workspace(folder);
    process.once("exit", () => {
      workspace.removeSync();
    });
    return workspace;
  }

  private readonly children = new Set<ChildProcess>();

  private constructor(readonly folder: string) {}

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  /**
   * Starts a server: out of the reach of the terminal's Ctrl-C, with an environment of its own, its output in
   * `<name>.log`. It is killed when this program ends, however it ends.
   */
  spawn(
    name: string,
    command: string,
    args: readonly string[],
    { user, cwd = this.folder }: SpawnOptions = {},
  ): ChildProcess {
    const log = openSync(this.logFile(name), "a", 0o600);
    const child = spawn(command, args, {
      ...user,
      cwd,
      detached: true,
      stdio: ["ignore", log, log],
      env: { PATH: process.env["PATH"], HOME: this.folder, LC_ALL: "C", TZ: "UTC" },
    });
    closeSync(log);
    if (child.pid !== undefined) {
      writeFileSync(this.path(`${name}.pid.json`), JSON.stringify(identify(child.pid)), { mode: 0o600 });
      this.children.add(child);
      child.once("exit", () => this.children.delete(child));
    }
    // Its end is noticed by who waits for it.
    child.on("error", () => undefined);
    return child;
  }

  logFile(name: string): string {
    return this.path(`${name}.log`);
  }

  /** The last line that a server wrote, for a message. */
  lastLine(name: string): string {
    const lines = existsSync(this.logFile(name))
      ? readFileSync(this.logFile(name), "utf8").trim().split("\n")
      : [];
    return lines.at(-1) ?? "";
  }

  async remove(): Promise<void> {
    this.removeSync();
    await Promise.resolve();
  }

  private removeSync(): void {
    for (const child of this.children) kill(child.pid!);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  }
}

/** Ends a child: asks, and after the bound kills it. */
export async function stopChild(
  child: ChildProcess,
  signal: NodeJS.Signals,
  milliseconds: number,
): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => {
      resolve();
    });
  });
  child.kill(signal);
  const timer = setTimeout(() => {
    kill(child.pid!);
  }, milliseconds);
  await ended;
  clearTimeout(timer);
}

/** Whether a child has ended by itself. */
export function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/** Asks again and again until there is an answer, the child has ended, or the bound is reached. */
export async function poll<T>(
  child: ChildProcess,
  milliseconds: number,
  attempt: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const end = performance.now() + milliseconds;
  while (performance.now() < end && !hasEnded(child)) {
    const answer = await attempt();
    if (answer !== undefined) return answer;
    await delay(20);
  }
  return undefined;
}

/** One folder for all sandboxes of a user, where an unprivileged server process can reach it. */
function baseFolder(): string {
  const uid = process.getuid?.() ?? 0;
  const parent = [tmpdir(), "/tmp", "/var/tmp"].find(
    (folder) => existsSync(folder) && (uid !== 0 || isReachable(folder)),
  );
  if (parent === undefined)
    throw new SetupError(
      `no folder for temporary files can be reached by other users: set TMPDIR to one that can`,
    );
  const base = join(parent, `leasehold-${String(uid)}`);
  mkdirSync(base, { recursive: true, mode: folderMode() });
  const found = lstatSync(base);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o022) !== 0) {
    throw new SetupError(`${base} is not a folder of this user's alone: remove it`);
  }
  return base;
}

/** Root's servers run as somebody else, who has to get through but not to look around. */
function folderMode(): number {
  return process.getuid?.() === 0 ? 0o711 : 0o700;
}

function isReachable(folder: string): boolean {
  return (
    (statSync(folder).mode & 0o001) !== 0 && (folder === dirname(folder) || isReachable(dirname(folder)))
  );
}

async function clearStale(base: string): Promise<void> {
  for (const name of readdirSync(base)) {
    const folder = join(base, name);
    const owner = name.startsWith(RUN) ? readProcess(join(folder, OWNER_FILE)) : undefined;
    const pid = Number(/^new-(\d+)-/.exec(name)?.[1]);
    if (owner ? isAlive(owner) : Number.isInteger(pid) && isAlive({ pid })) continue;
    const children = readdirSync(folder)
      .filter((file) => file.endsWith(".pid.json"))
      .map((file) => readProcess(join(folder, file)))
      .filter((child): child is ProcessId => child !== undefined && isAlive(child));
    for (const { pid: child } of children) kill(child);
    for (let tries = 0; tries < 100 && children.some(isAlive); tries += 1) await delay(20);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  }
}

function readProcess(file: string): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as ProcessId;
  } catch {
    return undefined;
  }
}

function identify(pid: number): ProcessId {
  return { pid, startTime: startTime(pid) };
}

/** In clock ticks since boot, field 22 (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html). Linux only. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // A zombie has ended.
    return fields[0] === "Z" ? "ended" : fields[19];
  } catch {
    return undefined;
  }
}

function isAlive({ pid, startTime: expected }: ProcessId): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  return expected === undefined || startTime(pid) === expected;
}

/** The whole process group: a server's own children as well. */
function kill(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
