import type { ChildProcess } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { freePort } from "../../sandbox/free-port";
import { vaultBinary } from "../../sandbox/vault-binary";
import { stopChild, type Workspace } from "../../sandbox/workspace";

interface KeptVaultOptions {
  /** Raft's, the one kind of storage on disk that HashiCorp's Vault and OpenBao both have. @default - in memory */
  readonly onDisk?: boolean;
  /** Turns on what OpenBao has off: a root token from unseal keys without another token. */
  readonly generatesRoot?: boolean;
}

/** A Vault that is started again: on disk it keeps what it stores, in memory it forgets. */
export class KeptVault {
  static async start(workspace: Workspace, options: KeptVaultOptions = {}): Promise<KeptVault> {
    const port = await freePort();
    const vault = new KeptVault(workspace, `vault-${String(port)}`, `http://127.0.0.1:${String(port)}`);
    const data = workspace.path(`${vault.name}-data`);
    if (options.onDisk) mkdirSync(data);
    const clusterPort = await freePort();
    const config = {
      storage: options.onDisk
        ? { raft: { path: data, node_id: "one", performance_multiplier: "1" } }
        : { inmem: {} },
      listener: {
        tcp: {
          address: `127.0.0.1:${String(port)}`,
          cluster_address: `127.0.0.1:${String(clusterPort)}`,
          tls_disable: true,
          ...(options.generatesRoot && { disable_unauthed_generate_root_endpoints: false }),
        },
      },
      api_addr: vault.address,
      cluster_addr: `http://127.0.0.1:${String(clusterPort)}`,
      disable_mlock: true,
    };
    writeFileSync(vault.config, JSON.stringify(config));
    await vault.run();
    return vault;
  }

  private child!: ChildProcess;

  private constructor(
    private readonly workspace: Workspace,
    private readonly name: string,
    readonly address: string,
  ) {}

  private get config(): string {
    return this.workspace.path(`${this.name}.json`);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.run();
  }

  /** A kill. */
  stop(): Promise<void> {
    return stopChild(this.child, "SIGKILL", 0);
  }

  private async run(): Promise<void> {
    const { path } = await vaultBinary();
    this.child = await this.workspace.spawn(this.name, path, ["server", `-config=${this.config}`]);
    await answering(this.address);
  }
}

/** Waits until a server answers, whatever its state. */
export async function answering(address: string): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await fetch(`${address}/v1/sys/health`);
      return;
    } catch (error) {
      if (tries === 300) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
