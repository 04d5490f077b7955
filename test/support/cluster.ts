import type { ChildProcess } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { VaultClient } from "../../clients/vault-client";
import { initialiseVault, unsealVault } from "../../clients/vault-seal";
import { freePort } from "../../sandbox/free-port";
import { vaultBinary } from "../../sandbox/vault-binary";
import { stopChild, type Workspace } from "../../sandbox/workspace";
import { eventually } from "./program";

interface Node {
  readonly address: string;
  readonly child: ChildProcess;
}

/** Three nodes of Vault that keep their data with Raft, unsealed, on 127.0.0.1. */
export class Cluster {
  static async start(workspace: Workspace): Promise<Cluster> {
    const { path: binary } = await vaultBinary();
    const ports: number[] = [];
    while (ports.length < 6) ports.push(await freePort());
    const address = (node: number) => `http://127.0.0.1:${String(ports[node]!)}`;
    const nodes: Node[] = [];
    for (let i = 0; i < 3; i += 1) {
      const name = `node-${String(i)}`;
      mkdirSync(workspace.path(name), { mode: 0o700 });
      const file = workspace.path(`${name}.json`);
      const cluster = `127.0.0.1:${String(ports[3 + i]!)}`;
      const config = {
        storage: {
          raft: {
            path: workspace.path(name),
            node_id: name,
            // A node that is gone is missed in a second.
            performance_multiplier: 1,
            ...(i > 0 && { retry_join: [{ leader_api_addr: address(0) }] }),
          },
        },
        listener: {
          tcp: { address: new URL(address(i)).host, cluster_address: cluster, tls_disable: true },
        },
        api_addr: address(i),
        cluster_addr: `https://${cluster}`,
        disable_mlock: true,
        ui: false,
      };
      writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
      nodes.push({
        address: address(i),
        child: await workspace.spawn(name, binary, ["server", `-config=${file}`]),
      });
      await answers(address(i));
    }
    const vault = new VaultClient(address(0));
    const { keys, rootToken } = (await initialiseVault(vault, { shares: 1, threshold: 1 }))!;
    const root = vault.withToken(rootToken);
    for (const [i, node] of nodes.entries()) {
      // A node is to have joined before it takes a key.
      await eventually(
        async () => (await new VaultClient(node.address).call("GET", "sys/init"))["initialized" as never],
        20_000,
        () => `${node.address} has not joined`,
      );
      await unsealVault(new VaultClient(node.address), keys);
      // A node has a vote once it is known for so long.
      if (i === 0)
        await root.call("POST", "sys/storage/raft/autopilot/configuration", {
          server_stabilization_time: "1s",
        });
    }
    const haveVotes = async () => {
      const { data } = await root.call("GET", "sys/storage/raft/configuration");
      const { servers } = (data as { config: { servers: { voter: boolean }[] } }).config;
      return servers.filter(({ voter }) => voter).length === nodes.length;
    };
    await eventually(haveVotes, 30_000, () => "not every node has a vote");
    return new Cluster(nodes, rootToken);
  }

  private constructor(
    private readonly nodes: readonly Node[],
    readonly rootToken: string,
  ) {}

  /** The addresses of those that are up: the active node's, then the standbys'. */
  async addresses(): Promise<string[]> {
    const up = this.nodes.filter(({ child }) => child.exitCode === null && child.signalCode === null);
    const states = await Promise.all(
      up.map(async ({ address }) => ({
        address,
        status: (await new VaultClient(address).request("GET", "sys/health")).status,
      })),
    );
    return states.sort((a, b) => a.status - b.status).map(({ address }) => address);
  }

  /** At once, without a word to the others. */
  async kill(address: string): Promise<void> {
    await stopChild(this.nodes.find((node) => node.address === address)!.child, "SIGKILL", 0);
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map(({ child }) => stopChild(child, "SIGKILL", 0)));
  }
}

async function answers(address: string): Promise<void> {
  await eventually(
    () =>
      new VaultClient(address).request("GET", "sys/health").then(
        () => true,
        () => false,
      ),
    20_000,
    () => `no answer at ${address}`,
  );
}
