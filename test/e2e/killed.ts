import { execFileSync } from "node:child_process";

/** A process and all that it started, at once: stopped before it is asked for its children, it has no more of them. */
export function killTree(root: number): void {
  const tree = [root];
  // It grows while it is gone through.
  for (const pid of tree) {
    process.kill(pid, "SIGSTOP");
    const lines = execFileSync("ps", ["-eo", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n");
    const parents = lines.map(
      (line) => line.trim().split(/\s+/).map(Number) as [pid: number, parent: number],
    );
    tree.push(...parents.filter(([, parent]) => parent === pid).map(([child]) => child));
  }
  for (const pid of tree) process.kill(pid, "SIGKILL");
}

/** The commands that a deploy names after one that was killed. */
export function importCommands(output: string): string[] {
  const commands = [...output.matchAll(/if a killed deploy made it, (.*?); if it is somebody else's/g)];
  if (commands.length === 0) throw new Error(`the deploy neither went on nor said what helps:\n${output}`);
  return commands.map(([, command]) => command!);
}
