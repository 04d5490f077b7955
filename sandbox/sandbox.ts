import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { Client } from "pg";
import { unsealVault } from "../clients/vault-seal";
import type { Input, InputPurpose } from "../manifest/inputs";
import { maintainQueries, withoutMaintain } from "../manifest/maintain";
import { VaultClient } from "../clients/vault-client";
import { apply } from "./engine";
import { CertificateAuthority, type ServerTls } from "./certificates";
import { INSTALLED_MAJOR, postgresBinaries, type PostgresMajor } from "./postgres-binaries";
import { policyText } from "./policy-text";
import { PostgresServer } from "./postgres-server";
import { postgresqlProvider } from "./postgresql-provider";
import { SetupError } from "../clients/setup-error";
import { readSynthesized, STACKS, type StackName, type Synthesized } from "./synthesized";
import { vaultBinary, type VaultBinary } from "./vault-binary";
import { setUpVault, type PolicyTexts, type VaultSecrets } from "./vault-setup";
import { vaultProvider } from "./vault-provider";
import { VaultServer } from "./vault-server";
import type { Workspace } from "./workspace";

export interface SandboxOptions {
  /** A folder as synth writes it: `stacks/<name>/cdk.tf.json`, `access.json`, `operator.hcl` and other policies. */
  readonly synthesized: string;
  /**
   * What the stacks' variables are for.
   * @default - as access.json has it, which 0.1.0's did not
   */
  readonly inputs?: readonly Input[];
  readonly onProgress?: (text: string) => void;
  /** @default - the one that is installed; the others are downloaded once */
  readonly postgresMajor?: PostgresMajor;
  /**
   * Of the PostgreSQL servers, such as `log_statement`.
   * @default - PostgreSQL's own
   */
  readonly postgresSettings?: Readonly<Record<string, string>>;
  /** @default - as the machine has it, see vaultBinary */
  readonly vaultBinary?: VaultBinary;
  /** @default - the root token is revoked once the other tokens are made */
  readonly keepRootToken?: boolean;
}

/**
 * A real PostgreSQL server for each provider block of the stack `postgres` and a real Vault, on free ports of 127.0.0.1, for
 * as long as this program runs.
 */
export class Sandbox {
  /** Starts the servers and initialises Vault; nothing is applied yet. */
  static async start(workspace: Workspace, options: SandboxOptions): Promise<Sandbox> {
    const { onProgress, postgresMajor: major = INSTALLED_MAJOR, postgresSettings: settings } = options;
    const synthesized = readSynthesized(options.synthesized);
    const tooOld = synthesized.databases.flatMap((database) => withoutMaintain(database, major) ?? []);
    if (tooOld[0] !== undefined) throw new SetupError(tooOld[0]);
    const { issue, caFile } = await certificates(workspace, synthesized);
    // First, and once for all servers: nothing is started where one is missing.
    const [binary] = await Promise.all([
      options.vaultBinary ?? vaultBinary(onProgress),
      postgresBinaries(workspace, major, onProgress),
    ]);
    const [vault, ...postgres] = await startAll(
      issue(synthesized.vault).then((tls) => VaultServer.start(workspace, binary, tls)),
      ...synthesized.servers.map(async (server) =>
        PostgresServer.start(workspace, {
          ...server,
          major,
          settings,
          password: newPassword(),
          tls: await issue(server),
        }),
      ),
    );
    const servers = new Map(postgres.map((server) => [server.name, server]));
    const sandbox = new Sandbox(synthesized, options.inputs ?? synthesized.inputs, servers, vault, caFile);
    await sandbox.initialise(options);
    return sandbox;
  }

  /** The first of the PostgreSQL servers. */
  readonly postgres: PostgresServer;
  /** Set by the time that it has started. */
  initialised!: VaultSecrets;
  /** Passwords for the variables that synth left open. */
  private readonly passwords = new Map<string, string>();

  private constructor(
    private readonly synthesized: Synthesized,
    private readonly inputs: readonly Input[],
    /** The PostgreSQL servers by name. */
    readonly servers: ReadonlyMap<string, PostgresServer>,
    readonly vault: VaultServer,
    /**
     * Certificate of the authority that the servers' certificates are from.
     * @default - no server is encrypted
     */
    readonly caFile?: string,
  ) {
    this.postgres = [...servers.values()][0]!;
  }

  private async initialise({ keepRootToken }: SandboxOptions): Promise<void> {
    const { policies, vault } = this.synthesized;
    this.initialised = await setUpVault(this.vaultClient(), policies, this.policyTexts(), vault);
    if (!keepRootToken)
      await this.vaultClient(this.initialised.rootToken).call("POST", "auth/token/revoke-self");
  }

  /** The trust model's policies as Vault has them here. */
  policyTexts(): PolicyTexts {
    const { policyTexts, stacks } = this.synthesized;
    const known = this.variables("vault");
    const variable = (name: string) => {
      const value = known[name] ?? stacks.vault.variables.get(name)?.default;
      if (typeof value === "string" || typeof value === "number") return String(value);
      throw new SetupError(`a policy names the variable ${name}, which has no value in the stack vault`);
    };
    return Object.fromEntries(
      Object.entries(policyTexts).map(([who, text]) => [who, policyText(text, variable)]),
    );
  }

  /** A value for each variable of a stack whose default is not what it is here. */
  variables(stack: StackName): Record<string, string | number> {
    const known: Record<string, string | number> = {};
    for (const { variable, for: purpose, server } of this.inputs) {
      const value = this.valuesFor(server)[purpose];
      if (value !== undefined) known[variable] = value;
    }
    for (const [name, { default: value }] of this.synthesized.stacks[stack].variables) {
      if (name in known || value !== undefined) continue;
      if (!this.passwords.has(name)) this.passwords.set(name, newPassword());
      known[name] = this.passwords.get(name)!;
    }
    return known;
  }

  private valuesFor(server: string | undefined): Partial<Record<InputPurpose, string | number>> {
    const vault = {
      "vault-address": this.vault.address,
      ...(this.vault.ca !== undefined && { "vault-ca-file": this.caFile! }),
    };
    const postgres = server !== undefined && this.servers.get(server);
    if (!postgres) return vault;
    const { host, port, password, ssl } = postgres;
    return {
      ...{ host, port, "superuser-password": password, "host-from-vault": host, "port-from-vault": port },
      ...(ssl && {
        "ca-file": this.caFile!,
        "ca-from-vault": ssl.ca,
        // OpenBao takes the authority of a PostgreSQL server only as a file that the connection URL names.
        "ca-file-from-vault": this.caFile!,
      }),
    };
  }

  /** What Terraform takes the variables of both stacks from, in its environment. */
  terraformVariables(): Record<string, string> {
    const variables = { ...this.variables("postgres"), ...this.variables("vault") };
    return Object.fromEntries(
      Object.entries(variables).map(([name, value]) => [`TF_VAR_${name}`, String(value)]),
    );
  }

  /** Applies the stacks as the operator. Returns how many resources there were. */
  async apply(): Promise<number> {
    const factories = {
      postgresql: postgresqlProvider,
      vault: vaultProvider(this.initialised.tokens.operator),
    };
    let count = 0;
    for (const stack of STACKS) {
      count += await apply(this.synthesized.stacks[stack], this.variables(stack), factories);
      if (stack === "postgres") await this.grantMaintain();
    }
    return count;
  }

  /** As a deploy does once the stack postgres is applied. */
  private async grantMaintain(): Promise<void> {
    for (const database of this.synthesized.databases) {
      const queries = maintainQueries(database);
      const server = this.servers.get(database.server);
      if (queries.length === 0 || !server) continue;
      const { host, port, superuser: user, password, ssl = false } = server;
      const options = "-c search_path=pg_catalog";
      const client = new Client({ host, port, user, password, ssl, options, database: database.name });
      await client.connect();
      try {
        for (const { text, values } of queries) {
          const { rows } = await client.query<{ sql: string }>(text, [...values]);
          await client.query(rows.map(({ sql }) => sql).join(";\n"));
        }
      } finally {
        await client.end();
      }
    }
  }

  /**
   * Vault answers nothing until it is unsealed; what it holds stays. Needs the root token, kept.
   * @throws VaultError
   */
  async sealVault(): Promise<void> {
    await this.vaultClient(this.initialised.rootToken).call("PUT", "sys/seal");
  }

  async unsealVault(): Promise<void> {
    await unsealVault(this.vaultClient(), this.initialised.unsealKeys);
  }

  /** A client of the sandbox's Vault, which trusts its certificate. */
  vaultClient(token?: string): VaultClient {
    return new VaultClient(this.vault.address, token, undefined, this.vault.ca);
  }

  async stop(): Promise<void> {
    await Promise.all([this.vault, ...this.servers.values()].map((server) => server.stop()));
  }
}

/** An authority, where a server is encrypted. */
async function certificates(
  workspace: Workspace,
  { vault, servers }: Synthesized,
): Promise<{ issue: (server: { tls: boolean }) => Promise<ServerTls | undefined>; caFile?: string }> {
  if (![vault, ...servers].some(({ tls }) => tls)) return { issue: () => Promise.resolve(undefined) };
  const authority = await CertificateAuthority.create();
  const caFile = workspace.path("ca.crt");
  writeFileSync(caFile, authority.certificate, { mode: 0o644 });
  return {
    issue: ({ tls }) => (tls ? authority.issue() : Promise.resolve(undefined)),
    caFile,
  };
}

function newPassword(): string {
  return randomBytes(24).toString("base64url");
}

/** Where one of them does not start, the others are stopped before the reason is given. */
async function startAll<Servers extends { stop(): Promise<void> }[]>(
  ...starting: { [Index in keyof Servers]: Promise<Servers[Index]> }
): Promise<Servers> {
  const results = await Promise.allSettled<{ stop(): Promise<void> }>(starting);
  if (results.some(({ status }) => status === "rejected"))
    for (const result of results) if (result.status === "fulfilled") await result.value.stop();
  // Where one was rejected, so this is, with its reason.
  return Promise.all(starting);
}
