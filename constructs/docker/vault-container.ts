import { Container, type ContainerConfig } from "@cdktf/provider-docker/lib/container";
import { Image } from "@cdktf/provider-docker/lib/image";
import type { Network } from "@cdktf/provider-docker/lib/network";
import { Construct } from "constructs";
import { DeclarationError } from "../declaration-error";
import { Input } from "../input";
import { hardened, loopbackPort } from "./hardening";

export interface VaultContainerProps {
  /** The container's name, and its volume's with `-data` behind it. */
  readonly name: string;
  /** With an exact tag; `TF_VAR_vault_image` may name another. */
  readonly image: string;
  /** Where other containers reach it. */
  readonly network: Network;
  /** On 127.0.0.1; `TF_VAR_vault_port` may name another. */
  readonly hostPort: number;
  /**
   * `server` is to be initialised, and unsealed after each start; `dev` is neither, and forgets all at each start.
   * @default - server
   */
  readonly mode?: "server" | "dev";
  /**
   * `file` is a volume that outlives destroy. In dev mode there is `memory` alone.
   * @default - memory
   */
  readonly storage?: "memory" | "file";
  /**
   * Locks Vault's memory (mlock), for which the container's entrypoint is root's, with a root that can be written. Server mode
   * alone.
   * @default - swap is off in its place
   */
  readonly lockMemory?: boolean;
}

const UID = 100;
const GID = 1000;
const OWNED = `uid=${String(UID)},gid=${String(GID)},mode=0770`;
const PORT = 8200;
const TOKEN_FILE = "/run/secrets/vault-dev-token";

/** The official Vault image. Other containers reach it as `vault:8200`. */
export class VaultContainer extends Construct {
  constructor(scope: Construct, id: string, props: VaultContainerProps) {
    super(scope, id);
    const { mode = "server", storage = "memory", lockMemory = false } = props;
    if (mode === "dev") {
      if (storage !== "memory")
        throw new DeclarationError(`storage (${JSON.stringify(storage)}) must be "memory" in dev mode`);
      if (lockMemory)
        throw new DeclarationError("lockMemory (true) must be false in dev mode, which never locks");
    }
    const imageName = new Input(this, "vault_image", {
      for: "vault-image",
      default: props.image,
      description: "Vault's image",
    });
    const port = new Input(this, "vault_port", {
      for: "vault-container-port",
      default: props.hostPort,
      description: "Vault's port on 127.0.0.1",
    });
    const image = new Image(this, "Image", { name: imageName.stringValue, keepLocally: true });
    new Container(this, "Resource", {
      name: props.name,
      image: image.imageId,
      networksAdvanced: [{ name: props.network.name, aliases: ["vault"] }],
      ports: loopbackPort(PORT, port.numberValue),
      // 2 means sealed or not initialised, which is how server mode starts.
      healthcheck: {
        test: ["CMD-SHELL", "vault status >/dev/null 2>&1; [ $? -ne 1 ]"],
        interval: "2s",
        timeout: "3s",
        retries: 30,
      },
      ...(lockMemory ? locking() : unprivileged()),
      ...(mode === "dev" ? devMode(this) : serverMode(props.name, storage, lockMemory)),
    });
  }
}

/** Swap is off in place of locked memory: memory and swap limits are equal. */
function unprivileged() {
  return { user: `${String(UID)}:${String(GID)}`, ...hardened(512) };
}

/**
 * The image's entrypoint gives the vault program the capability (SETFCAP) and becomes Vault's user (SETUID, SETGID), of whom
 * nothing but IPC_LOCK is left; KILL is what its init needs to hand on the signal to stop. No-new-privileges would keep the
 * program from having the capability, a read-only root the entrypoint from giving it.
 */
function locking() {
  const { securityOpts: _, ...rest } = hardened(
    // The program itself, 0.5 GB, is locked with the rest.
    1024,
  );
  return {
    ...rest,
    readOnly: false,
    capabilities: {
      drop: ["ALL"],
      add: ["CAP_IPC_LOCK", "CAP_KILL", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETUID"],
    },
  };
}

function environment(lockMemory: boolean): string[] {
  return [
    "SKIP_CHOWN=1",
    ...(lockMemory ? [] : ["SKIP_SETCAP=1"]),
    `VAULT_ADDR=http://127.0.0.1:${String(PORT)}`,
  ];
}

function serverMode(name: string, storage: "memory" | "file", lockMemory: boolean) {
  const config = {
    // Not `false`, which OpenBao refuses: it can't lock.
    ...(lockMemory ? {} : { disable_mlock: true }),
    listener: { tcp: { address: `0.0.0.0:${String(PORT)}`, tls_disable: true } },
    storage: storage === "file" ? { file: { path: "/vault/file" } } : { inmem: {} },
    ui: false,
  };
  return {
    command: ["server"],
    env: [...environment(lockMemory), `VAULT_LOCAL_CONFIG=${JSON.stringify(config)}`],
    // The entrypoint writes the configuration: as root, without the capability to write what is Vault's.
    tmpfs: {
      "/tmp": "",
      "/vault/config": lockMemory ? "mode=0755" : OWNED,
      "/vault/logs": OWNED,
      // Else the image's VOLUME would make one that nobody names.
      ...(storage === "memory" && { "/vault/file": OWNED }),
    },
    // A volume that Docker makes, not Terraform: it outlives destroy.
    ...(storage === "file" && { volumes: [{ volumeName: `${name}-data`, containerPath: "/vault/file" }] }),
  } satisfies Partial<ContainerConfig>;
}

/**
 * The root token is in a file, since what is in the environment or the command stands in Terraform's state and in
 * `docker inspect`, and an argument in the list of processes. What dev mode says on stdout, the token and the unseal key
 * among it, would be in the container's log.
 */
function devMode(scope: Construct) {
  const tokenFile = new Input(scope, "vault_dev_token_file", {
    for: "vault-dev-token-file",
    description: "absolute path of the file with the dev server's root token; must be there at every start",
  });
  const script = [
    "set -eu",
    `VAULT_DEV_ROOT_TOKEN_ID=$(cat ${TOKEN_FILE})`,
    "export VAULT_DEV_ROOT_TOKEN_ID",
    `exec vault server -dev -dev-no-store-token -dev-listen-address=0.0.0.0:${String(PORT)} >/dev/null`,
  ].join("\n");
  return {
    command: ["sh", "-c", script],
    env: environment(false),
    mounts: [{ type: "bind", source: tokenFile.stringValue, target: TOKEN_FILE, readOnly: true }],
    tmpfs: { "/tmp": "", "/vault/file": OWNED, "/vault/logs": OWNED },
  } satisfies Partial<ContainerConfig>;
}
