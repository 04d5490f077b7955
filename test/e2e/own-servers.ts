import type { EnvironmentInput } from "../../config/schema/schema";
import external from "../../config/external";
import { VaultClient } from "../../clients/vault-client";
import { Deployment } from "../support/deployment";
import { query } from "../support/hand-made";
import { Checkout } from "./checkout";
import { run, type Ended } from "./terraform";

/** Pinned: what a test looks with must not find what it planted. */
const PINNED = { options: "-c search_path=pg_catalog" };

/** Servers that exist already, with TLS and certificates of their own, and a checkout that deploys `external` on them. */
export class OwnServers {
  /** @param synthesized what the servers are started for (default: what the checkout synthesizes) */
  static async start(synthesized?: string): Promise<OwnServers> {
    return new OwnServers(
      await Deployment.start({ env: "external", apply: false, ...(synthesized && { synthesized }) }),
    );
  }

  readonly checkout = new Checkout("external");
  readonly env: NodeJS.ProcessEnv;

  private constructor(readonly servers: Deployment) {
    this.env = this.checkout.env({ NO_COLOR: "1", ...servers.sandbox.terraformVariables() });
  }

  /** The environment, changed. */
  configure(change: (draft: EnvironmentInput) => void): void {
    const draft = structuredClone(external);
    change(draft);
    this.checkout.configure(draft);
  }

  /** A command, `init` with the token of Vault's owner. */
  leasehold(...args: string[]): Promise<Ended> {
    const { rootToken: token } = this.servers.sandbox.initialised;
    const env = args[0] === "init" ? { ...this.env, VAULT_TOKEN: token } : this.env;
    return run(process.execPath, ["--import", "tsx", "cli.ts", ...args], { cwd: this.checkout.folder, env });
  }

  /** A command of the user's own, in the checkout. */
  shell(command: string): Promise<Ended> {
    return run("sh", ["-c", command], { cwd: this.checkout.folder, env: this.env });
  }

  root(): VaultClient {
    return this.servers.root;
  }

  /** As the superuser: the values of the rows, one after the other. */
  query(sql: string): Promise<unknown[]> {
    return query(this.servers.sandbox.postgres, sql, PINNED);
  }

  async stop(): Promise<void> {
    await this.servers.stop();
    this.checkout.remove();
  }
}
