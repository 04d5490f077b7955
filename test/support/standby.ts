import { execFileSync } from "node:child_process";
import { appendFileSync, chownSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../sandbox/free-port";
import { postgresBinaries, postgresMajor } from "../../sandbox/postgres-binaries";
import { stopChild } from "../../sandbox/workspace";
import type { PostgresAddress } from "../../verify/session/session";
import type { Deployment } from "./deployment";
import { query } from "./hand-made";
import { eventually } from "./program";

/** A standby of a deployment's server, which is restarted for it. It has what the server commits before the server says so. */
export async function startStandby({
  workspace,
  sandbox: { postgres },
}: Deployment): Promise<{ address: PostgresAddress; stop: () => Promise<void> }> {
  const { host, superuser, password, version } = postgres;
  const [data, copy] = [workspace.path("postgres-data"), workspace.path("standby-data")];
  appendFileSync(workspace.path("postgres-hba.conf"), "host replication all 127.0.0.1/32 scram-sha-256\n");
  await postgres.stop();
  execFileSync("cp", ["-a", data, copy]);
  await postgres.restart();

  const port = await freePort();
  const { uid, gid } = statSync(data);
  const write = (file: string, text: string) => {
    writeFileSync(file, text, { mode: 0o600 });
    chownSync(file, uid, gid);
    return file;
  };
  write(join(copy, "standby.signal"), "");
  const config = write(
    workspace.path("standby.conf"),
    `${readFileSync(workspace.path("postgres.conf"), "utf8")}
port = ${String(port)}
primary_conninfo = 'host=${host} port=${String(postgres.port)} user=${superuser} password=${password}'
`,
  );
  const binaries = await postgresBinaries(workspace, postgresMajor(String(Number.parseInt(version))));
  const child = await workspace.spawn(
    "standby",
    join(binaries, "bin/postgres"),
    ["-D", copy, `--config-file=${config}`],
    { user: process.getuid?.() === 0 ? { uid, gid } : undefined },
  );
  const isStreaming = async () =>
    (await query(postgres, "SELECT pid FROM pg_stat_replication WHERE state = 'streaming'")).length > 0;
  await eventually(isStreaming, 30_000, () => `no standby: ${workspace.lastLine("standby")}`);
  const wait = async (standbys: string) => {
    await query(postgres, `ALTER SYSTEM SET synchronous_standby_names = '${standbys}'`);
    await query(postgres, "ALTER SYSTEM SET synchronous_commit = 'remote_apply'");
    await query(postgres, "SELECT pg_reload_conf()");
  };
  await wait("*");
  const stop = async () => {
    await wait("");
    await stopChild(child, "SIGINT", 5_000);
  };
  return { address: { host, port }, stop };
}
