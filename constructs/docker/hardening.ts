import type { ContainerConfig } from "@cdktf/provider-docker/lib/container";

const LOG_FILE_MEGABYTES = 10;

/**
 * What each container gets: no capability, no way to gain one, a read-only root, bounded memory and logs. These are the
 * spellings that the provider reads back without a difference (kreuzwerker/docker 3.6.2): `ALL` in capitals, memory and
 * swap both set.
 */
export function hardened(memoryMegabytes: number) {
  return {
    readOnly: true,
    capabilities: { drop: ["ALL"] },
    securityOpts: ["no-new-privileges:true"],
    memory: memoryMegabytes,
    memorySwap: memoryMegabytes,
    logDriver: "json-file",
    logOpts: { "max-size": `${String(LOG_FILE_MEGABYTES)}m`, "max-file": "3" },
    restart: "unless-stopped",
    // Without it removal is a SIGKILL.
    destroyGraceSeconds: 30,
    // With the default, a mere diff removes a container that is stopped.
    mustRun: false,
    wait: true,
    waitTimeout: 120,
  } satisfies Partial<ContainerConfig>;
}

/** Published on the loopback address and nowhere else. */
export function loopbackPort(internal: number, external: number) {
  return [{ internal, external, ip: "127.0.0.1", protocol: "tcp" }];
}
