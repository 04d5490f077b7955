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

/** The names, as a deploy with the same variables gives them. */
export function declaredPlatform(deployment: Deployment): Platform {
  const stack = deployment.stack("platform")!;
  const containers = Object.values(stack.json.resource["docker_container"] ?? {});
  const resolve = (name: unknown) => deployment.resolve(stack, name);
  return {
    containers: containers.map(({ name }) => resolve(name)),
    volumes: containers.flatMap(({ volumes = [] }) =>
      (volumes as { volume_name: string }[]).map((volume) => resolve(volume.volume_name)),
    ),
  };
}

/** As {@link declaredPlatform}, but only the containers that are in Terraform's state: others with these names are not ours. */
export async function deployedPlatform(deployment: Deployment): Promise<Platform> {
  const platform = declaredPlatform(deployment);
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
    throw new SetupError(
      `container ${name} no longer exists: npx leasehold deploy creates it again, with the same data`,
    );
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
