import { execa } from "execa";
import { SetupError } from "../../clients/setup-error";

export const DOCKER_STOPPED = "Docker is not running: start it, such as with systemctl start docker";

/** What a docker command wrote, and whether it succeeded. */
export interface DockerAnswer {
  readonly failed: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** @throws SetupError where there is no docker, or its daemon is not running */
export async function tryDocker(...args: string[]): Promise<DockerAnswer> {
  const answer = await execa("docker", args, { stdin: "ignore", reject: false });
  if ("code" in answer && answer.code === "ENOENT")
    throw new SetupError("there is no docker on PATH: install Docker");
  if (answer.failed && /cannot connect to the docker daemon/i.test(answer.stderr))
    throw new SetupError(`${DOCKER_STOPPED}: ${reasonOf(answer)}`);
  return answer;
}

/**
 * @returns what the command wrote to stdout
 * @throws SetupError with the problem and the daemon's reason, where the command failed
 */
export async function docker(problem: string, ...args: string[]): Promise<string> {
  const answer = await tryDocker(...args);
  if (answer.failed) throw new SetupError(`${problem}: ${reasonOf(answer)}`);
  return answer.stdout;
}

/** Of `docker start` the first line is the daemon's reason, the second sums up. */
function reasonOf({ stderr }: DockerAnswer): string {
  return stderr.trim().split("\n")[0] ?? "";
}
