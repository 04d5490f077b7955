import { Container } from "@cdktf/provider-docker/lib/container";
import { Image } from "@cdktf/provider-docker/lib/image";
import type { Network } from "@cdktf/provider-docker/lib/network";
import { Construct } from "constructs";
import { hardened, loopbackPort } from "./hardening";

export interface VaultContainerProps {
  readonly name: string;
  /** With an exact tag. */
  readonly image: string;
  readonly network: Network;
  readonly hostPort: number;
}

const UID = 100;
const GID = 1000;
const PORT = 8200;

/** The official Vault image in server mode with storage in memory, to be initialised and unsealed after each start. */
export class VaultContainer extends Construct {
  constructor(scope: Construct, id: string, props: VaultContainerProps) {
    super(scope, id);
    const image = new Image(this, "Image", { name: props.image, keepLocally: true });
    const owned = `uid=${String(UID)},gid=${String(GID)},mode=0770`;
    const config = {
      // Locking memory wants root and a capability; swap is off instead (memory and swap limits are equal).
      disable_mlock: true,
      listener: { tcp: { address: `0.0.0.0:${String(PORT)}`, tls_disable: true } },
      storage: { inmem: {} },
      ui: false,
    };
    new Container(this, "Resource", {
      name: props.name,
      image: image.imageId,
      user: `${String(UID)}:${String(GID)}`,
      command: ["server"],
      env: [
        "SKIP_CHOWN=1",
        "SKIP_SETCAP=1",
        `VAULT_ADDR=http://127.0.0.1:${String(PORT)}`,
        `VAULT_LOCAL_CONFIG=${JSON.stringify(config)}`,
      ],
      networksAdvanced: [{ name: props.network.name, aliases: ["vault"] }],
      ports: loopbackPort(PORT, props.hostPort),
      tmpfs: { "/tmp": "", "/vault/config": owned, "/vault/logs": owned },
      // 2 means sealed or not initialised, which is how it starts.
      healthcheck: {
        test: ["CMD-SHELL", "vault status >/dev/null 2>&1; [ $? -ne 1 ]"],
        interval: "2s",
        timeout: "3s",
        retries: 30,
      },
      ...hardened(512),
    });
  }
}
