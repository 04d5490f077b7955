import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { execa } from "execa";
import { Client, escapeIdentifier } from "pg";
import type { PostgresServer } from "../sandbox/postgres-server";
import type { Workspace } from "../sandbox/workspace";

/** Where Debian puts what its package postgresql-contrib does not link from /usr/bin. */
const DEBIAN = "/usr/lib/postgresql";
const PREFIX = "limit-";

/** How fast PostgreSQL itself makes logins in a group, as its superuser: nothing that goes through Vault is faster. */
export class Limit {
  private made = 0;

  constructor(
    private readonly server: PostgresServer,
    private readonly workspace: Workspace,
    private readonly group: string,
    /** @default - clients of this program's in its place */
    private readonly pgbench?: string,
  ) {}

  /** What measures it, for the reader. */
  get calls(): string {
    const program = this.pgbench
      ? `${this.pgbench} --client C --transactions N`
      : "C clients of the npm package pg, in lieu of pgbench, which is not on this machine";
    return `${program}: ${this.statement("N")}`;
  }

  /**
   * The logins are gone when it returns.
   * @returns logins a second
   */
  async measure(clients: number, count: number, signal: AbortSignal): Promise<number> {
    const each = Math.ceil(count / clients);
    const rate = await (this.pgbench
      ? this.withPgbench(this.pgbench, clients, each, signal)
      : this.with(clients, each));
    await this.dropAll();
    return rate;
  }

  private async withPgbench(
    program: string,
    clients: number,
    each: number,
    signal: AbortSignal,
  ): Promise<number> {
    const { host, port, superuser, database, password } = this.server;
    const script = this.workspace.path("limit.sql");
    // Its variable for the client's number, and a number of the client's own.
    writeFileSync(
      script,
      `\\set n :client_id * 1000000000 + random(1, 999999999)\n${this.statement(":n")};\n`,
    );
    const { stdout } = await execa(
      program,
      [
        ...["--no-vacuum", "--client", String(clients), "--jobs", String(Math.min(clients, 2))],
        ...["--transactions", String(each), "--file", script],
        ...["--host", host, "--port", String(port), "--username", superuser, database],
      ],
      { env: { PGPASSWORD: password, LC_ALL: "C" }, signal },
    );
    return Number(/^tps = ([\d.]+) \(without/m.exec(stdout)![1]);
  }

  private async with(clients: number, each: number): Promise<number> {
    const connections = await Promise.all(Array.from({ length: clients }, () => this.connect()));
    const start = performance.now();
    await Promise.all(
      connections.map(async (client) => {
        for (let i = 0; i < each; i += 1) await client.query(this.statement(String((this.made += 1))));
      }),
    );
    const seconds = (performance.now() - start) / 1000;
    await Promise.all(connections.map((client) => client.end()));
    return (clients * each) / seconds;
  }

  private statement(number: string): string {
    return `CREATE ROLE "${PREFIX}${number}" LOGIN PASSWORD 'x' VALID UNTIL '2100-01-01' IN ROLE ${escapeIdentifier(this.group)}`;
  }

  private async dropAll(): Promise<void> {
    const client = await this.connect();
    const { rows } = await client.query<{ rolname: string }>(
      `SELECT rolname FROM pg_catalog.pg_roles WHERE rolname LIKE '${PREFIX}%'`,
    );
    if (rows.length > 0)
      await client.query(`DROP ROLE ${rows.map(({ rolname }) => escapeIdentifier(rolname)).join(", ")}`);
    await client.end();
  }

  private async connect(): Promise<Client> {
    const { host, port, superuser: user, database, password, ssl = false } = this.server;
    const client = new Client({ host, port, user, database, password, ssl });
    client.on("error", () => undefined);
    await client.connect();
    return client;
  }
}

/** The program, if this machine has it. */
export function findPgbench(): string | undefined {
  const versions = existsSync(DEBIAN)
    ? readdirSync(DEBIAN).map((version) => join(DEBIAN, version, "bin"))
    : [];
  return [...(process.env["PATH"] ?? "").split(delimiter), ...versions]
    .map((folder) => join(folder, "pgbench"))
    .find((file) => existsSync(file));
}
