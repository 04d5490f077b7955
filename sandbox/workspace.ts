import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
  type Stats,
} from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { isOwn } from "./ownership";
import { SetupError } from "../clients/setup-error";

/** A process as its number and the time it started, so that a number that is used again is never taken for it. */
export interface ProcessId {
  readonly pid: number;
  readonly startTime?: string;
}

export interface SpawnOptions {
  /** @default - the user of this program */
  readonly user?: { readonly uid: number; readonly gid: number };
  readonly cwd?: string;
}

const OWNER_FILE = "owner.json";
const QUIT_TIMEOUT_MILLISECONDS = 2000;
/** A process that is about to end may still write. */
const REMOVE = { recursive: true, force: true, maxRetries: 5, retryDelay: 50 } as const;

/**
 * The private folder of one sandbox and the processes it started. Whatever a killed program left behind, folders and
 * processes, is cleared by the next one.
 */
export class Workspace {
  /** @throws SetupError when the folder for sandboxes is not this user's own */
  static async create(): Promise<Workspace> {
    const base = baseFolder();
    await clearStale(base);
    // Under another name until it says whose it is: nobody clears it in between.
    const hidden = join(base, ownName("new"));
    mkdirSync(hidden, { mode: 0o700 });
    chmodSync(hidden, folderMode());
    writeFileSync(join(hidden, OWNER_FILE), JSON.stringify(identify(process.pid)), { mode: 0o600 });
    const folder = join(base, `run-${randomName()}`);
    renameSync(hidden, folder);
    return new Workspace(folder);
  }

  private readonly children = new Set<ChildProcess>();
  private readonly onExit = () => {
    try {
      this.remove();
    } catch {
      // The next sandbox clears it.
    }
  };

  private constructor(readonly folder: string) {
    process.once("exit", this.onExit);
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  /**
   * Starts a server: out of the reach of the terminal's Ctrl-C, with an environment of its own, its output in
   * `<name>.log`. It is ended when this program ends, however it ends.
   * @throws SetupError when the system does not start it
   */
  async spawn(
    name: string,
    command: string,
    args: readonly string[],
    { user, cwd = this.folder }: SpawnOptions = {},
  ): Promise<ChildProcess> {
    const log = openSync(this.logFile(name), "a", 0o600);
    try {
      const child = spawn(command, args, {
        ...user,
        cwd,
        detached: true,
        stdio: ["ignore", log, log],
        env: { PATH: process.env["PATH"], HOME: this.folder, LC_ALL: "C", TZ: "UTC" },
      });
      child.on("error", () => undefined);
      if (child.pid !== undefined) {
        this.children.add(child);
        child.once("exit", () => this.children.delete(child));
        writeFileSync(this.path(`${name}.pid.json`), JSON.stringify(identify(child.pid)), { mode: 0o600 });
      }
      await once(child, "spawn");
      return child;
    } catch (error) {
      // Mostly a folder for temporary files that is mounted noexec, or a root that may not become somebody else.
      throw new SetupError(
        `${command} can't be started (${(error as Error).message}): set TMPDIR to a folder where programs may run${user ? ", or run as a user other than root" : ""}`,
      );
    } finally {
      closeSync(log);
    }
  }

  logFile(name: string): string {
    return this.path(`${name}.log`);
  }

  /** The last line in which a server spoke of an error, else the last one, for a message. */
  lastLine(name: string): string {
    const lines = existsSync(this.logFile(name))
      ? readFileSync(this.logFile(name), "utf8").trim().split("\n")
      : [];
    return (lines.findLast((line) => /error|fatal|panic/i.test(line)) ?? lines.at(-1) ?? "").trim();
  }

  /** Ends what still runs and removes the folder; a second time does nothing. */
  remove(): void {
    process.off("exit", this.onExit);
    endProcesses([...this.children].map((child) => identify(child.pid!)));
    if (!existsSync(this.folder)) return;
    const claimed = join(dirname(this.folder), ownName("old"));
    renameSync(this.folder, claimed);
    removeFolder(claimed);
  }
}

/** Ends a child: asks, and after the bound kills it. */
export async function stopChild(
  child: ChildProcess,
  signal: NodeJS.Signals,
  milliseconds: number,
): Promise<void> {
  if (hasEnded(child)) return;
  child.kill(signal);
  const timer = setTimeout(() => {
    signalGroup(child.pid!, "SIGKILL");
  }, milliseconds);
  await once(child, "exit");
  clearTimeout(timer);
}

/** Whether a child has ended by itself. */
export function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/** One folder for all sandboxes of a user, where an unprivileged server process can reach it. */
function baseFolder(): string {
  const uid = process.getuid?.() ?? 0;
  const parent = [tmpdir(), "/tmp", "/var/tmp"].find(
    (folder) => existsSync(folder) && keepsFolders(folder) && (uid !== 0 || isReachable(folder)),
  );
  if (parent === undefined)
    throw new SetupError(
      "there is no usable folder for temporary files: set TMPDIR to one that others can't write to, or that is sticky, and that PostgreSQL's user can reach",
    );
  const base = join(parent, `leasehold-${String(uid)}`);
  try {
    mkdirSync(base, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST")
      throw new SetupError(
        `${base} can't be created (${(error as Error).message}): set TMPDIR to a folder that can be written`,
      );
  }
  const found = lstatSync(base);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o022) !== 0) {
    throw new SetupError(
      `${base} is not a folder that belongs to this user alone: remove it, or set TMPDIR to another folder`,
    );
  }
  // The mode of a new folder depends on the umask.
  chmodSync(base, folderMode());
  return base;
}

/** Root's servers run as somebody else, who has to get through but not to look around. */
function folderMode(): number {
  return process.getuid?.() === 0 ? 0o711 : 0o700;
}

/** Whether nobody else can put another folder in the place of one that was made there. */
function keepsFolders(folder: string): boolean {
  const found = statSync(folder);
  return (found.mode & 0o1000) !== 0 || isOwn(found);
}

function isReachable(folder: string): boolean {
  return (
    (statSync(folder).mode & 0o001) !== 0 && (folder === dirname(folder) || isReachable(dirname(folder)))
  );
}

/** Of a folder that this process is making or removing: while it lives, nobody else touches it. */
function ownName(kind: "new" | "old"): string {
  return `${kind}-${String(process.pid)}-${randomName()}`;
}

function randomName(): string {
  return randomBytes(6).toString("hex");
}

/** Of several programs that clear at once, each folder is cleared by the one that could rename it. */
async function clearStale(base: string): Promise<void> {
  for (const name of await readdir(base)) {
    if (isInUse(join(base, name))) continue;
    const claimed = join(base, ownName("old"));
    try {
      renameSync(join(base, name), claimed);
    } catch {
      continue;
    }
    const children = readdirSync(claimed)
      .filter((file) => file.endsWith(".pid.json"))
      .map((file) => readProcess(join(claimed, file)))
      .filter((child): child is ProcessId => child !== undefined && isAlive(child));
    endProcesses(children);
    removeFolder(claimed);
  }
}

/** Whether the program whose folder it is, or which is making or clearing it, is alive. */
function isInUse(folder: string): boolean {
  const pid = /^(?:new|old)-(\d+)-/.exec(basename(folder))?.[1];
  if (pid !== undefined) return isAlive({ pid: Number(pid) });
  const owner = readProcess(join(folder, OWNER_FILE));
  return owner !== undefined && isAlive(owner);
}

function readProcess(file: string): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as ProcessId;
  } catch {
    return undefined;
  }
}

export function identify(pid: number): ProcessId {
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

export function isAlive({ pid, startTime: expected }: ProcessId): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const found = startTime(pid);
  return found !== "ended" && (expected === undefined || found === expected);
}

/**
 * Ends process groups and waits until they are gone, without the event loop, so that it serves at exit too. SIGQUIT comes
 * first: to PostgreSQL it is an immediate shutdown, while a killed one leaves its shared memory and those of its sessions
 * that are busy, each a group of its own
 * (https://www.postgresql.org/docs/18/server-shutdown.html).
 */
function endProcesses(processes: readonly ProcessId[]): void {
  for (const signal of ["SIGQUIT", "SIGKILL"] as const) {
    const alive = processes.filter(isAlive);
    for (const { pid } of alive) signalGroup(pid, signal);
    const end = performance.now() + QUIT_TIMEOUT_MILLISECONDS;
    while (alive.some(isAlive) && performance.now() < end) pause(10);
  }
}

/** Without the event loop. */
function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/**
 * Removes a sandbox's folder. A folder of another user's in it, PostgreSQL's data, is emptied with that user's rights: between a
 * look at a folder and its removal, its owner could put a link to somewhere else in its place. What stays is left to the next
 * sandbox.
 */
function removeFolder(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const found = lstatSync(path);
    if (found.isDirectory() && found.uid !== process.getuid?.()) removeAs(found, path);
    else rmSync(path, REMOVE);
  }
  removeEmpty(folder);
}

function removeAs({ uid, gid }: Stats, folder: string): void {
  const env = { PATH: ["/bin", "/usr/bin", process.env["PATH"]].join(delimiter) };
  for (let tries = 0; tries <= REMOVE.maxRetries; tries += 1) {
    spawnSync("rm", ["-rf", "--", folder], { uid, gid, env, stdio: "ignore" });
    // Its entry is this user's, in whose folder it is.
    if (removeEmpty(folder)) return;
    pause(REMOVE.retryDelay);
  }
}

function removeEmpty(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended.
  }
}
