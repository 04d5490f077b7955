import type { EnvironmentInput } from "../../config/schema/schema";
import external from "../../config/external";
import { VaultClient } from "../../clients/vault-client";
import type { PostgresMajor } from "../../sandbox/postgres-binaries";
import { Deployment } from "../support/deployment";
import { query } from "../support/hand-made";
import { Checkout } from "./checkout";
import { run, type Ended } from "./terraform";

/** Pinned: what a test looks with must not find what it planted. */
const PINNED = { options: "-c search_path=pg_catalog" };

export interface OwnServersOptions {
  /** What the servers are started for. @default - what the checkout synthesizes */
  readonly synthesized?: string;
  /** One of Vault's, made for the checkout. @default - none */
  readonly namespace?: string;
  /** @default - LEASEHOLD_POSTGRES, or the one that is installed */
  readonly postgresMajor?: PostgresMajor;
}

/** Servers that exist already, with TLS and certificates of their own, and a checkout that deploys `external` on them. */
export class OwnServers {
  static async start({ synthesized, namespace, postgresMajor }: OwnServersOptions = {}): Promise<OwnServers> {
    const deployment = await Deployment.start({
      env: "external",
      apply: false,
      ...(synthesized && { synthesized }),
      ...(postgresMajor && { postgresMajor }),
    });
    if (namespace) await deployment.root.call("PUT", `sys/namespaces/${namespace}`);
    return new OwnServers(deployment, namespace);
  }

  readonly checkout = new Checkout("external");
  /** Of the commands. */
  readonly env: NodeJS.ProcessEnv;

  private constructor(
    readonly deployment: Deployment,
    private readonly namespace?: string,
  ) {
    this.env = this.checkout.env({
      NO_COLOR: "1",
      ...(namespace && { VAULT_NAMESPACE: namespace }),
      ...deployment.sandbox.terraformVariables(),
    });
  }

  /** The environment, changed. */
  configure(change: (draft: EnvironmentInput) => void, checkout = this.checkout): void {
    const draft = structuredClone(external);
    change(draft);
    checkout.configure(draft);
  }

  /** The environment with these personas alone, and no workload. */
  configurePersonas(...personas: EnvironmentInput["databases"][number]["personas"]): void {
    this.configure((draft) => {
      Object.assign(draft.databases[0]!, { personas, workload: undefined });
    });
  }

  /** A command, `init` with the token of Vault's owner. */
  leasehold(...args: string[]): Promise<Ended> {
    return this.leaseholdWith({}, ...args);
  }

  /** With variables of its own, or in another checkout. */
  leaseholdWith(
    { checkout = this.checkout, ...more }: { checkout?: Checkout; env?: NodeJS.ProcessEnv },
    ...args: string[]
  ): Promise<Ended> {
    const { rootToken: token } = this.deployment.sandbox.initialised;
    return run(process.execPath, ["--import", "tsx", "cli.ts", ...args], {
      cwd: checkout.folder,
      env: { ...this.env, ...(args[0] === "init" && { VAULT_TOKEN: token }), ...more.env },
    });
  }

  /** A command that has to succeed, and what it printed. */
  async succeeds(...args: string[]): Promise<string> {
    const { code, output } = await this.leasehold(...args);
    expect({ args, code, output: code === 0 ? "" : output }).toEqual({ args, code: 0, output: "" });
    return output;
  }

  /** A command of the user's own, in the checkout. */
  shell(command: string): Promise<Ended> {
    return run("sh", ["-c", command], { cwd: this.checkout.folder, env: this.env });
  }

  /** Of the namespace. */
  root(): VaultClient {
    const { vault, initialised } = this.deployment.sandbox;
    return new VaultClient(vault.address, initialised.rootToken, this.namespace, vault.ca);
  }

  /** As the superuser: the values of the rows, one after the other. */
  query(sql: string): Promise<unknown[]> {
    return query(this.deployment.sandbox.postgres, sql, PINNED);
  }

  async stop(): Promise<void> {
    await this.deployment.stop();
    this.checkout.remove();
  }
}
