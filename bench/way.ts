import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, escapeIdentifier } from "pg";
import { errorText, VaultError, type VaultClient } from "../clients/vault-client";
import { readAccessManifest, type ManifestDatabase } from "../manifest/schema";
import type { PostgresMajor } from "../sandbox/postgres-binaries";
import { Sandbox } from "../sandbox/sandbox";
import { Workspace } from "../sandbox/workspace";
import { synthesizeConfig } from "./checkout";

/** The first source's statements, and the two values of a config's `leases`. */
export const WAYS = ["source", "createrole", "functions"] as const;
export type WayName = (typeof WAYS)[number];

/** Vault's names of database roles that differ in what their leases are for: each is the prefix of its leases. */
export type Purpose = "alive" | "round" | "prefix";
const PURPOSES: readonly Purpose[] = ["alive", "round", "prefix"];

/** All one after the other. Where Vault gives up sooner, by its own default after 90 s, those that it has come to are gone. */
const REVOCATION_TIMEOUT_MILLISECONDS = 10 * 60_000;

interface Statements {
  readonly creation_statements: readonly string[];
  readonly revocation_statements: readonly string[];
}

/** One way to lease, on servers of its own: on one server each lease would weigh on the other ways' as well. */
export class Way {
  /** As somebody has deployed it: synthesized, applied, and what is leased has the statements of its last persona. */
  static async start(name: WayName, environment: string, major: PostgresMajor): Promise<Way> {
    const workspace = await Workspace.create();
    let sandbox: Sandbox | undefined;
    try {
      const synthesized = workspace.path("cdktf.out");
      const config = `bench-${name === "functions" ? name : "createrole"}`;
      const leases = config.replace("bench-", "");
      await synthesizeConfig(
        config,
        `import environment from "./${environment}";\nexport default { ...environment, name: "${config}", leases: "${leases}" };\n`,
        synthesized,
      );
      sandbox = await Sandbox.start(workspace, { synthesized, postgresMajor: major, keepRootToken: true });
      await sandbox.apply();
      const way = new Way(name, workspace, sandbox, readAccessManifest(synthesized).databases[0]!);
      await way.declare();
      return way;
    } catch (error) {
      await sandbox?.stop();
      workspace.remove();
      throw error;
    }
  }

  /** What is leased, and how it ends. */
  statements!: Statements;
  /** Why the statements are others than the way's own. */
  note?: string;
  readonly group: string;
  private readonly root: VaultClient;

  private constructor(
    readonly name: WayName,
    readonly workspace: Workspace,
    private readonly sandbox: Sandbox,
    private readonly database: ManifestDatabase,
  ) {
    this.root = sandbox.vaultClient(sandbox.initialised.rootToken);
    this.group = database.personas.at(-1)!.groupRole;
  }

  get postgres() {
    return this.sandbox.servers.get(this.database.server)!;
  }

  get label(): string {
    return `PostgreSQL ${this.postgres.version}, ${this.sandbox.vault.label}`;
  }

  credentials(purpose: Purpose): string {
    return `${this.database.vault.mount}/creds/${purpose}`;
  }

  /** Makes so many leases, each client the next one as soon as it has one. */
  async lease(
    purpose: Purpose,
    { count, clients, onMade }: { count: number; clients: number; onMade?: (made: number) => void },
  ): Promise<void> {
    let begun = 0;
    let made = 0;
    const client = async () => {
      while (begun < count) {
        begun += 1;
        await this.root.call("GET", this.credentials(purpose));
        onMade?.((made += 1));
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
  }

  /** Revokes all leases below a prefix, in as many requests as Vault takes for it. */
  async revoke(purpose: Purpose): Promise<void> {
    const path = `sys/leases/revoke-prefix/${this.credentials(purpose)}`;
    for (let before = Infinity; ;) {
      const answer = await this.root.request(
        "PUT",
        path,
        { sync: true },
        undefined,
        REVOCATION_TIMEOUT_MILLISECONDS,
      );
      if (answer.status < 400) return;
      const { leases } = await this.left(purpose);
      if (leases >= before) throw new VaultError(answer);
      before = leases;
    }
  }

  /** What there is of them, in PostgreSQL and in Vault. */
  async left(purpose: Purpose): Promise<{ roles: number; leases: number }> {
    const { host, port, superuser: user, database, password, ssl = false } = this.postgres;
    const client = new Client({ host, port, user, database, password, ssl });
    client.on("error", () => undefined);
    await client.connect();
    const { rowCount } = await client.query("SELECT FROM pg_catalog.pg_roles WHERE rolname LIKE $1", [
      `v-root-${purpose}-%`,
    ]);
    await client.end();
    const { body } = await this.root.request("LIST", `sys/leases/lookup/${this.credentials(purpose)}`);
    return { roles: rowCount!, leases: (body.data?.["keys"] as string[] | undefined)?.length ?? 0 };
  }

  async stop(): Promise<void> {
    await this.sandbox.stop();
    this.workspace.remove();
  }

  /** A database role a purpose, like the persona's. */
  private async declare(): Promise<void> {
    const { mount, connection } = this.database.vault;
    const path = `${mount}/config/${connection}`;
    const { plugin_name, allowed_roles } = (await this.root.call("GET", path)).data as {
      plugin_name: string;
      allowed_roles: string[];
    };
    const isSource = this.name === "source";
    await this.root.call("POST", path, {
      plugin_name,
      allowed_roles: [...allowed_roles, ...PURPOSES],
      // The source leaves it at Vault's default, with which PostgreSQL hashes the passwords.
      ...(isSource && { password_authentication: "password" }),
    });
    const role = this.database.personas.at(-1)!.databaseRole.name;
    const { data } = await this.root.call("GET", `${mount}/roles/${role}`);
    const write = async (statements: Statements) => {
      this.statements = statements;
      for (const purpose of PURPOSES)
        await this.root.call("POST", `${mount}/roles/${purpose}`, { ...data, ...statements });
    };
    if (isSource) await this.writeSource(write);
    else await write(data as unknown as Statements);
  }

  /** The source's statements; those of its revocation with what they lack, where PostgreSQL refuses them. */
  private async writeSource(write: (statements: Statements) => Promise<void>): Promise<void> {
    const values = { group: this.group, schema: this.database.schemas[0]!.name };
    const creation_statements = readStatements("source-creation.sql", values);
    const revocation_statements = readStatements("source-revocation.sql", values);
    await write({ creation_statements, revocation_statements });
    await this.lease("round", { count: 1, clients: 1 });
    const path = `sys/leases/revoke-prefix/${this.credentials("round")}`;
    const answer = await this.root.request("PUT", path, { sync: true });
    if (answer.status < 400) return;
    const join = 'GRANT "{{name}}" TO CURRENT_USER';
    // Without Vault's words before it, which name the lease.
    const reason = errorText(answer).replace(/^.*ERROR: /, "");
    this.note = `its own revocation fails (HTTP ${String(answer.status)}: ${reason}), so ${join} goes first`;
    await write({ creation_statements, revocation_statements: [join, ...revocation_statements] });
    await this.revoke("round");
  }
}

/** One a line, without comments. */
function readStatements(file: string, { group, schema }: { group: string; schema: string }): string[] {
  return readFileSync(join(__dirname, file), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("--"))
    .map((line) =>
      line.replaceAll(':"group"', escapeIdentifier(group)).replaceAll(':"schema"', escapeIdentifier(schema)),
    );
}
