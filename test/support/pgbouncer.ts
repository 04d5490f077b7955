import { execFileSync } from "node:child_process";
import { connect } from "node:net";
import { chmodSync, writeFileSync } from "node:fs";
import { freePort } from "../../sandbox/free-port";
import type { PostgresServer } from "../../sandbox/postgres-server";
import { stopChild, type Workspace } from "../../sandbox/workspace";
import type { PostgresAddress } from "../../verify/session/session";
import { eventually } from "./program";
import { unless } from "./skip";

export type PoolMode = "session" | "transaction";

/** Debian's package; it does not run as root. */
const USER = "nobody";

export function withPgBouncer() {
  try {
    execFileSync("pgbouncer", ["--version"]);
    return unless(false);
  } catch {
    return unless("there is no pgbouncer on PATH");
  }
}

/** Starts a pooler in front of a server, which knows the server's logins by its auth_query. */
export async function startPgBouncer(
  workspace: Workspace,
  mode: PoolMode,
  { host, port, superuser, password }: PostgresServer,
): Promise<{ address: PostgresAddress; stop: () => Promise<void> }> {
  const name = `pgbouncer-${mode}`;
  const own = await freePort();
  const write = (suffix: string, text: string) => {
    const file = workspace.path(`${name}.${suffix}`);
    writeFileSync(file, text);
    chmodSync(file, 0o644);
    return file;
  };
  const users = write("users", `"${superuser}" "${password}"\n`);
  const config = write(
    "ini",
    `[databases]
* = host=${host} port=${String(port)} auth_user=${superuser}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${String(own)}
unix_socket_dir =
pool_mode = ${mode}
auth_type = scram-sha-256
auth_file = ${users}
auth_query = SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1
`,
  );
  const asRoot = process.getuid?.() === 0 ? ["-u", USER] : [];
  const child = await workspace.spawn(name, "pgbouncer", [...asRoot, config]);
  const isUp = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(own, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      }).on("error", () => {
        resolve(false);
      });
    });
  await eventually(isUp, 10_000, () => `pgbouncer did not start: ${workspace.lastLine(name)}`);
  return { address: { host: "127.0.0.1", port: own }, stop: () => stopChild(child, "SIGINT", 2_000) };
}
