import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { VaultClient } from "../verify/vault-client";
import { apply } from "./engine";
import { initialise, type Initialised, type PolicyNames } from "./initialise";
import { PostgresServer } from "./postgres-server";
import { postgresqlProvider } from "./postgresql-provider";
import { readConfiguration } from "./terraform-json";
import { vaultBinary } from "./vault-binary";
import { vaultProvider } from "./vault-provider";
import { VaultServer } from "./vault-server";
import type { Workspace } from "./workspace";

/** The stacks that the sandbox applies, in the order in which they need each other. */
const STACKS = ["postgres", "vault"] as const;

export interface SandboxOptions {
  /** A folder as synth writes it: `stacks/<name>/cdk.tf.json`, `access.json`, `operator.hcl`. */
  readonly synthesized: string;
  readonly onProgress?: (text: string) => void;
  /**
   * Of the PostgreSQL server, such as `log_statement`.
   * @default - PostgreSQL's own
   */
  readonly postgresSettings?: Readonly<Record<string, string>>;
  /** @default - the root token is revoked once the other tokens are made */
  readonly keepRootToken?: boolean;
}

/** A real PostgreSQL and a real Vault on free ports of 127.0.0.1, for as long as this program runs. */
export class Sandbox {
  /** Starts the servers and initialises Vault; nothing is applied yet. */
  static async start(workspace: Workspace, options: SandboxOptions): Promise<Sandbox> {
    const { synthesized, onProgress } = options;
    const { policies } = JSON.parse(readFileSync(join(synthesized, "access.json"), "utf8")) as {
      policies: PolicyNames;
    };
    const { providers } = readConfiguration(stackFile(synthesized, "postgres"));
    const { username, database } = providers.get("postgresql") as { username: string; database: string };
    const [postgres, vault] = await startBoth(
      PostgresServer.start(workspace, {
        superuser: username,
        password: newPassword(),
        database,
        settings: options.postgresSettings,
      }),
      vaultBinary(onProgress).then((binary) => VaultServer.start(workspace, binary)),
    );
    const client = new VaultClient(vault.address);
    const initialised = await initialise(
      client,
      readFileSync(join(synthesized, "operator.hcl"), "utf8"),
      policies,
    );
    if (!options.keepRootToken)
      await client.withToken(initialised.rootToken).call("POST", "auth/token/revoke-self");
    return new Sandbox(options, postgres, vault, initialised);
  }

  /** Passwords for the variables that synth left open. */
  private readonly passwords = new Map<string, string>();

  private constructor(
    private readonly options: SandboxOptions,
    readonly postgres: PostgresServer,
    readonly vault: VaultServer,
    readonly initialised: Initialised,
  ) {}

  /** A value for each variable of a stack whose default is not what it is here. */
  variables(stack: (typeof STACKS)[number]): Record<string, string | number> {
    const { host, port, password } = this.postgres;
    const known: Record<string, string | number> = {
      postgres_host: host,
      postgres_port: port,
      postgres_superuser_password: password,
      vault_address: this.vault.address,
      vault_postgres_host: host,
      vault_postgres_port: port,
    };
    const { variables } = readConfiguration(stackFile(this.options.synthesized, stack));
    for (const [name, { default: value }] of variables) {
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
      count += await apply(
        readConfiguration(stackFile(this.options.synthesized, stack)),
        this.variables(stack),
        factories,
      );
    }
    return count;
  }

  async stop(): Promise<void> {
    await Promise.all([this.postgres.stop(), this.vault.stop()]);
  }
}

function stackFile(synthesized: string, stack: string): string {
  return join(synthesized, "stacks", stack, "cdk.tf.json");
}

function newPassword(): string {
  return randomBytes(24).toString("base64url");
}

/** Where one of the two does not start, the other is stopped before the reason is given. */
async function startBoth(
  postgres: Promise<PostgresServer>,
  vault: Promise<VaultServer>,
): Promise<[PostgresServer, VaultServer]> {
  const results = await Promise.allSettled([postgres, vault]);
  const [first, second] = results;
  if (first.status === "fulfilled" && second.status === "fulfilled") return [first.value, second.value];
  for (const result of results) if (result.status === "fulfilled") await result.value.stop();
  // One of them was rejected, so this is, with its reason.
  return Promise.all([postgres, vault]);
}
