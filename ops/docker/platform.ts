import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SetupError } from "../../clients/setup-error";
import { until } from "../../clients/within";
import type { Deployment } from "../deployment/deployment";
import { docker } from "./docker";

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

/** As {@link readPlatform}, of the containers those in Terraform's state: another one of such a name is somebody else's. */
export async function deployedPlatform(deployment: Deployment): Promise<Platform> {
  const platform = readPlatform(deployment.folder);
  const state = await deployment.state(deployment.stack("platform")!);
  const names = state
    .filter(({ type }) => type === "docker_container")
    .map(({ attributes }) => attributes["name"]);
  return { ...platform, containers: platform.containers.filter((name) => names.includes(name)) };
}

/**
 * Starts the containers that are there and stopped, which no plan shows since `must_run` is off, and gives them the time to
 * become healthy: with a bad image one never is, and Terraform is to replace it. Returns their names.
 * @throws SetupError when Docker can't start one
 */
export async function startStopped(platform: Platform): Promise<string[]> {
  const stopped = await stoppedContainers(platform);
  for (const name of stopped) await docker(`container ${name} can't be started`, "start", name);
  await Promise.allSettled(stopped.map(healthy));
  return stopped;
}

/** The containers that are there and stopped. */
export async function stoppedContainers({ containers }: Platform): Promise<string[]> {
  const states = await Promise.all(containers.map(stateOf));
  return containers.filter((_, i) => states[i]?.Running === false);
}

/** @throws SetupError when a container does not become healthy, or is gone */
export async function awaitHealthy({ containers }: Platform): Promise<void> {
  await Promise.all(containers.map(healthy));
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
  let state: ContainerState | undefined;
  const isDecided = async () => {
    state = await stateOf(name);
    return !state?.Running || ["healthy", "unhealthy"].includes(state.Health?.Status ?? "") || undefined;
  };
  await until(HEALTHY_TIMEOUT_MILLISECONDS, isDecided, { intervalMilliseconds: POLL_MILLISECONDS });
  if (state?.Health?.Status === "healthy") return;
  if (!state)
    throw new SetupError(`container ${name} is gone: npx leasehold deploy makes it anew, with the same data`);
  throw new SetupError(
    `container ${name} is ${state.Running ? "not healthy" : state.Status}: see docker logs ${name}; npx leasehold deploy replaces it where its image has changed`,
  );
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
