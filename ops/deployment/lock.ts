import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SetupError } from "../../clients/setup-error";
import { identify, isAlive, type ProcessId } from "../../sandbox/workspace";
import { ROOT } from "./synthesize";

interface LockOwner extends ProcessId {
  readonly command: string;
}

/**
 * Holds a checkout's cdktf.out for one command: the stacks of another environment, or the next config, must not come in
 * between. What a killed command left is taken over.
 * @returns gives it back
 * @throws SetupError when another command is at work
 */
export function lock(command: string): () => void {
  const file = join(ROOT, ".leasehold.lock");
  const own = `${file}.${String(process.pid)}`;
  const content = JSON.stringify({ ...identify(process.pid), command } satisfies LockOwner);
  writeFileSync(own, content, { mode: 0o600 });
  try {
    for (;;) {
      if (link(own, file)) break;
      const found = read(file);
      // Given back in between.
      if (found === undefined) continue;
      const owner = parse(found);
      if (owner && isAlive(owner)) throw busy(owner);
      takeAway(file, found, `${own}.stale`);
    }
  } finally {
    rmSync(own);
  }
  const release = () => {
    process.off("exit", release);
    if (read(file) === content) rmSync(file, { force: true });
  };
  process.once("exit", release);
  return release;
}

/** Where two commands find a stale lock at the same time, one gets it; a new lock that the other has made by then is put back. */
function takeAway(file: string, stale: string, aside: string): void {
  try {
    renameSync(file, aside);
  } catch {
    return;
  }
  if (read(aside) !== stale) link(aside, file);
  rmSync(aside, { force: true });
}

function link(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function parse(text: string): LockOwner | undefined {
  try {
    return JSON.parse(text) as LockOwner;
  } catch {
    return undefined;
  }
}

function busy({ command, pid }: LockOwner): SetupError {
  return new SetupError(
    `leasehold ${command} (process ${String(pid)}) is running in this checkout: wait until it has ended`,
  );
}
