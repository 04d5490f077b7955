import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { SetupError } from "../sandbox/setup-error";

const run = promisify(execFile);

const HEALTHY_TIMEOUT_MILLISECONDS = 120_000;
const POLL_MILLISECONDS = 500;

/** What the stack `platform` declares in Docker, by name. */
export interface Platform {
  readonly containers: readonly string[];
  /** With the data, that destroy leaves. */
  readonly volumes: readonly string[];
}

interface Declared {
  readonly variable: Readonly<Record<string, { readonly default?: unknown }>>;
  readonly resource: {
    readonly docker_container: Readonly<
      Record<
        string,
        { readonly name: string; readonly volumes?: readonly { readonly volume_name: string }[] }
      >
    >;
  };
}

/**
 * Reads the names from what was synthesized, so that they are those of a deploy with the same variables.
 * @param synthesized the folder cdktf.out
 * @param variables with `TF_VAR_<name>` where a variable is not its default
 */
export function readPlatform(
  synthesized: string,
  variables: Readonly<Record<string, string | undefined>> = process.env,
): Platform {
  const text = readFileSync(join(synthesized, "stacks/platform/cdk.tf.json"), "utf8");
  const { variable, resource } = JSON.parse(text) as Declared;
  const resolve = (value: string) =>
    value.replace(/\$\{var\.([a-z0-9_]+)\}/g, (_, name: string) =>
      String(variables[`TF_VAR_${name}`] ?? variable[name]!.default),
    );
  const containers = Object.values(resource.docker_container);
  return {
    containers: containers.map(({ name }) => resolve(name)),
    volumes: containers.flatMap(({ volumes = [] }) => volumes.map((volume) => resolve(volume.volume_name))),
  };
}

/**
 * Starts the containers that are there and stopped, which no plan shows since `must_run` is off, and waits until all that
 * are there are healthy. Returns the names of those it started.
 * @throws SetupError when Docker can't start one, or one does not become healthy
 */
export async function startStopped({ containers }: Platform): Promise<string[]> {
  const { there, stopped } = await look(containers);
  for (const name of stopped) await docker(`container ${name} can't be started`, "start", name);
  await Promise.all(there.map(healthy));
  return stopped;
}

/** The containers that are there and stopped. */
export async function stoppedContainers({ containers }: Platform): Promise<string[]> {
  return (await look(containers)).stopped;
}

async function look(containers: readonly string[]): Promise<{ there: string[]; stopped: string[] }> {
  const states = await Promise.all(containers.map(stateOf));
  return {
    there: containers.filter((_, i) => states[i] !== undefined),
    stopped: containers.filter((_, i) => states[i]?.Running === false),
  };
}

/** The volumes that are there. */
export async function keptVolumes({ volumes }: Platform): Promise<string[]> {
  const there = (await docker("volumes can't be listed", "volume", "ls", "--quiet")).split("\n");
  return volumes.filter((name) => there.includes(name));
}

/**
 * Removes the volumes with their data; those that are not there are no error. Returns the names of those it removed.
 * @throws SetupError when a container still uses one
 */
export async function removeVolumes(platform: Platform): Promise<string[]> {
  const removed = await keptVolumes(platform);
  for (const name of removed) await docker(`volume ${name} can't be removed`, "volume", "rm", name);
  return removed;
}

interface ContainerState {
  readonly Running: boolean;
  readonly Status: string;
  readonly Health?: { readonly Status: string };
}

async function healthy(name: string): Promise<void> {
  const deadline = Date.now() + HEALTHY_TIMEOUT_MILLISECONDS;
  for (;;) {
    const state = await stateOf(name);
    if (state?.Health?.Status === "healthy") return;
    const hopeless = !state?.Running || state.Health?.Status === "unhealthy";
    if (hopeless || Date.now() > deadline) {
      const what = state?.Running ? "not healthy" : (state?.Status ?? "gone");
      throw new SetupError(`container ${name} is ${what}: see docker logs ${name}`);
    }
    await setTimeout(POLL_MILLISECONDS);
  }
}

/** @returns nothing where there is no such container */
async function stateOf(name: string): Promise<ContainerState | undefined> {
  const filter = ["--all", "--quiet", "--filter", `name=^/${name}$`];
  const id = await docker("containers can't be listed", "ps", ...filter);
  if (!id) return undefined;
  const state = await docker(
    `container ${name} can't be inspected`,
    ...["inspect", "--format", "{{json .State}}", id],
  );
  return JSON.parse(state) as ContainerState;
}

/** @throws SetupError with the problem, and the daemon's reason */
export async function docker(problem: string, ...args: string[]): Promise<string> {
  try {
    return (await run("docker", args)).stdout.trim();
  } catch (error) {
    const { code, stderr = "" } = error as { code?: unknown; stderr?: string };
    if (code === "ENOENT") throw new SetupError("there is no docker on PATH: install Docker");
    // Of `docker start` the first line is the daemon's reason, the second sums up.
    throw new SetupError(`${problem}: ${stderr.trim().split("\n")[0] ?? ""}`);
  }
}
