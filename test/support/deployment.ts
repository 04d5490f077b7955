import { Client } from "pg";
import { loadEnvironment } from "../../config/load";
import { parseEnvironment, type EnvironmentInput } from "../../config/schema/schema";
import { startApplication } from "../../ops/verification/application";
import { synthesizeApp } from "../../stacks/app";
import { INSTALLED_MAJOR, postgresMajor } from "../../sandbox/postgres-binaries";
import type { PostgresServer } from "../../sandbox/postgres-server";
import { Sandbox, type SandboxOptions } from "../../sandbox/sandbox";
import { Workspace } from "../../sandbox/workspace";
import { readAccessManifest, type AccessManifest, type ManifestDatabase } from "../../manifest/schema";
import { resultsOf, type Report } from "../../verify/report/report";
import type { VaultClient } from "../../clients/vault-client";
import { verify, type VerifyOptions } from "../../verify/verify";
import { beforeOf, loadTestEnvironment, testEnvironmentNames } from "../environments/load";

/** A sandbox with what a test needs beside it: root's view of Vault, the superuser's of PostgreSQL. */
export class Deployment {
  static async start(
    options: Partial<SandboxOptions> & { apply?: boolean; env?: string; config?: EnvironmentInput } = {},
  ): Promise<Deployment> {
    const workspace = await Workspace.create();
    const synthesized = workspace.path("cdktf.out");
    const { env = "local", config } = options;
    const isTests = testEnvironmentNames().includes(env);
    synthesizeApp(
      config
        ? parseEnvironment("the test's config", config)
        : await (isTests ? loadTestEnvironment(env) : loadEnvironment(env)),
      synthesized,
    );
    const sandbox = await Sandbox.start(workspace, {
      synthesized,
      // 0.1.0's folder does not have them.
      inputs: readAccessManifest(synthesized).inputs,
      keepRootToken: true,
      // The same tests on another major version.
      postgresMajor: postgresMajor(process.env["LEASEHOLD_POSTGRES"] || String(INSTALLED_MAJOR)),
      ...options,
    });
    const { postgres } = sandbox;
    const superuser = await connect(postgres, postgres.database);
    const before = beforeOf(env);
    if (!config && before !== undefined) await superuser.query(before);
    if (options.apply !== false) await sandbox.apply();
    const app = isTests ? "test/environments/main.ts" : "main.ts";
    return new Deployment(workspace, app, synthesized, sandbox, superuser);
  }

  readonly manifest: AccessManifest;
  readonly root: VaultClient;

  private constructor(
    readonly workspace: Workspace,
    /** The program that cdktf is to synthesize it with. */
    readonly app: string,
    readonly synthesized: string,
    readonly sandbox: Sandbox,
    readonly superuser: Client,
  ) {
    this.manifest = readAccessManifest(synthesized);
    this.root = sandbox.vaultClient(sandbox.initialised.rootToken);
  }

  as(who: "operator" | "planner" | "deliverer" | "verifier"): VaultClient {
    return this.root.withToken(this.sandbox.initialised.tokens[who]);
  }

  verify(options: Partial<VerifyOptions> = {}): Promise<Report> {
    return verify({
      manifest: this.manifest,
      vault: this.as("verifier"),
      postgres: (server) => this.sandbox.servers.get(server)!,
      startApplication,
      // Five seconds that few tests are about.
      expiry: false,
      ...options,
    });
  }

  /** As the superuser of a database's server. */
  connect({ name, server }: ManifestDatabase): Promise<Client> {
    return connect(this.sandbox.servers.get(server)!, name);
  }

  /** Logins that Vault leased and that are still there. */
  async leasedRoles(): Promise<string[]> {
    const { rows } = await this.superuser.query<{ rolname: string }>(
      "SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'",
    );
    return rows.map(({ rolname }) => rolname);
  }

  async probeObjects(): Promise<number> {
    const { rows } = await this.superuser.query<{ count: number }>(
      "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE 'leasehold_probe%')::int + (SELECT count(*) FROM pg_proc WHERE proname LIKE 'leasehold_probe%')::int AS count",
    );
    return rows[0]!.count;
  }

  async stop(): Promise<void> {
    await this.superuser.end();
    await this.sandbox.stop();
    this.workspace.remove();
  }
}

async function connect(server: PostgresServer, database: string): Promise<Client> {
  const { host, port, superuser: user, password, ssl = false } = server;
  const client = new Client({ host, port, database, user, password, ssl });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** Findings of a report, a line each. */
export function findings(report: Report): string[] {
  return resultsOf(report)
    .filter(({ result }) => !result.held)
    .map(({ persona, result }) => `${persona ?? ""} ${result.title}: ${result.findings.join("; ")}`);
}
