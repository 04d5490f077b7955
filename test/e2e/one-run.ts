import { readdirSync, readFileSync, rmSync } from "node:fs";
import { until } from "../../clients/within";
import { docker, dockerMissing } from "./docker";

/** What the names of all that a run makes in Docker start with. */
export const NAME = process.env["LEASEHOLD_E2E_NAME"] ?? `leasehold-e2e-${String(process.pid)}`;

const KINDS = [
  {
    list: ["container", "ls", "--all", "--format", "{{.Names}}"],
    remove: ["container", "rm", "--force", "--volumes"],
  },
  { list: ["network", "ls", "--format", "{{.Name}}"], remove: ["network", "rm"] },
  { list: ["volume", "ls", "--format", "{{.Name}}"], remove: ["volume", "rm", "--force"] },
] as const;

/**
 * Takes away what an interrupted run has left: its processes, what it made in Docker, and its folder, in which are keys.
 * @param folder for the run's temporary files: each of its processes has it in its environment
 */
export async function removeRun(name: string, folder: string): Promise<void> {
  // To PostgreSQL SIGQUIT is an immediate shutdown, which leaves no shared memory.
  for (const signal of ["SIGQUIT", "SIGKILL"] as const)
    await until(5_000, () => {
      const pids = processesOf(folder);
      for (const pid of pids) sendSignal(pid, signal);
      return pids.length === 0 || undefined;
    });
  if (!dockerMissing()) {
    // What was asked for last may be there only now.
    await until(20_000, async () => (await removeFromDocker(name)) === 0 || undefined);
  }
  rmSync(folder, { recursive: true, force: true });
}

async function removeFromDocker(name: string): Promise<number> {
  let removed = 0;
  for (const { list, remove } of KINDS) {
    const names = (await docker(...list)).split("\n").filter((each) => each.startsWith(`${name}-`));
    if (names.length > 0) await docker(...remove, ...names);
    removed += names.length;
  }
  return removed;
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

function processesOf(folder: string): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${String(pid)}/environ`, "utf8").includes(folder);
      } catch {
        // It has ended, or is somebody else's.
        return false;
      }
    });
}
