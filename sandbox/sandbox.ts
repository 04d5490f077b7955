import { randomBytes } from "node:crypto";
import { VaultClient } from "../verify/vault-client";
import { apply } from "./engine";
import { initialise, type Initialised } from "./initialise";
import { INSTALLED_MAJOR, postgresBinaries, type PostgresMajor } from "./postgres-binaries";
import { PostgresServer } from "./postgres-server";
import { postgresqlProvider } from "./postgresql-provider";
import { readSynthesized, STACKS, variablePrefix, type StackName, type Synthesized } from "./synthesized";
import { vaultBinary } from "./vault-binary";
import { vaultProvider } from "./vault-provider";
import { VaultServer } from "./vault-server";
import type { Workspace } from "./workspace";

export interface SandboxOptions {
  /** A folder as synth writes it: `stacks/<name>/cdk.tf.json`, `access.json`, `operator.hcl`. */
  readonly synthesized: string;
  readonly onProgress?: (text: string) => void;
  /** @default - the one that is installed; the others are downloaded once */
  readonly postgresMajor?: PostgresMajor;
  /**
   * Of the PostgreSQL servers, such as `log_statement`.
   * @default - PostgreSQL's own
   */
  readonly postgresSettings?: Readonly<Record<string, string>>;
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
    // First, and once for all servers.
    await postgresBinaries(workspace, major, onProgress);
    const [vault, ...postgres] = await startAll(
      vaultBinary(onProgress).then((binary) => VaultServer.start(workspace, binary)),
      ...synthesized.servers.map((server) =>
        PostgresServer.start(workspace, { ...server, major, settings, password: newPassword() }),
      ),
    );
    const client = new VaultClient(vault.address);
    const { operatorPolicy, policies } = synthesized;
    const initialised = await initialise(client, operatorPolicy, policies);
    if (!options.keepRootToken)
      await client.withToken(initialised.rootToken).call("POST", "auth/token/revoke-self");
    const servers = new Map(postgres.map((server) => [server.name, server]));
    return new Sandbox(synthesized, servers, vault, initialised);
  }

  /** The first of the PostgreSQL servers. */
  readonly postgres: PostgresServer;
  /** Passwords for the variables that synth left open. */
  private readonly passwords = new Map<string, string>();

  private constructor(
    private readonly synthesized: Synthesized,
    /** The PostgreSQL servers by name. */
    readonly servers: ReadonlyMap<string, PostgresServer>,
    readonly vault: VaultServer,
    readonly initialised: Initialised,
  ) {
    this.postgres = [...servers.values()][0]!;
  }

  /** A value for each variable of a stack whose default is not what it is here. */
  variables(stack: StackName): Record<string, string | number> {
    const known: Record<string, string | number> = { vault_address: this.vault.address };
    for (const { name, variables } of this.synthesized.servers) {
      const { host, port, superuser: username, password } = this.servers.get(name)!;
      for (const [setting, value] of Object.entries({ host, port, username, password })) {
        const variable = variables[setting];
        if (variable !== undefined) known[variable] = value;
      }
      known[`vault_${variablePrefix(name)}_host`] = host;
      known[`vault_${variablePrefix(name)}_port`] = port;
    }
    for (const [name, { default: value }] of this.synthesized.stacks[stack].variables) {
      if (name in known || value !== undefined) continue;
      if (!this.passwords.has(name)) this.passwords.set(name, newPassword());
      known[name] = this.passwords.get(name)!;
    }
    return known;
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
    }
    return count;
  }

  async stop(): Promise<void> {
    await Promise.all([this.vault, ...this.servers.values()].map((server) => server.stop()));
  }
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
