import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { CertificateAuthority } from "../../../sandbox/certificates";
import { PostgresServer } from "../../../sandbox/postgres-server";
import { Workspace } from "../../../sandbox/workspace";
import { temporaryFolder } from "../deployment";

/** What other users of the machine try, among them the one that PostgreSQL runs as where this program is root's. */
const rootTest = process.getuid?.() === 0 ? test : test.skip;
const SERVER = { superuser: "boss", password: "boss-password", database: "ledger" };

let folder: string;
let removeFolder: () => void;

beforeEach(() => {
  ({ folder, remove: removeFolder } = temporaryFolder());
  chmodSync(folder, 0o755);
});

afterEach(() => {
  removeFolder();
});

test("a link where PostgreSQL's pg_hba.conf was is not written through, by root with TLS least of all", async () => {
  const victim = join(folder, "victim");
  writeFileSync(victim, "as it was\n", { mode: 0o600 });
  const owner = lstatSync(victim).uid;
  const workspace = await Workspace.create();
  const spawnServer = workspace.spawn.bind(workspace);
  // The server's user does it as soon as initdb has ended.
  jest.spyOn(workspace, "spawn").mockImplementation(async (name, ...rest) => {
    const child = await spawnServer(name, ...rest);
    if (name !== "postgres-initdb") return child;
    if (child.exitCode === null) await once(child, "exit");
    const hba = workspace.path("postgres-data/pg_hba.conf");
    rmSync(hba);
    symlinkSync(victim, hba);
    return child;
  });
  const tls = await (await CertificateAuthority.create()).issue();
  const server = await PostgresServer.start(workspace, { ...SERVER, tls });
  expect(readFileSync(victim, "utf8")).toBe("as it was\n");
  expect(lstatSync(victim).uid).toBe(owner);
  await server.stop();
  workspace.remove();
  expect(existsSync(workspace.folder)).toBe(false);
});

rootTest(
  "nothing that root wrote beside PostgreSQL's data is the server's user's to change, but for its own key",
  async () => {
    const workspace = await Workspace.create();
    const tls = await (await CertificateAuthority.create()).issue();
    const server = await PostgresServer.start(workspace, { ...SERVER, tls });
    const owners = readdirSync(workspace.folder)
      .filter((name) => lstatSync(workspace.path(name)).uid !== 0)
      .sort();
    expect(owners).toEqual(["postgres-data", "postgres.crt", "postgres.key"]);
    await server.stop();
    workspace.remove();
  },
);

rootTest(
  "PostgreSQL's user does not have root remove what is elsewhere, by swapping folders for links",
  async () => {
    const victim = join(folder, "victim");
    const names = Array.from({ length: 3000 }, (_, i) => `file${String(i)}`);
    mkdirSync(victim);
    for (const name of names) writeFileSync(join(victim, name), "");
    const workspace = await Workspace.create();
    const data = workspace.path("postgres-data");
    mkdirSync(data);
    const nobody = idOf("nobody");
    chownSync(data, nobody.uid, nobody.gid);
    const swapper = spawn(
      process.execPath,
      ["-e", `(${swap.toString()})(...${JSON.stringify([victim, names])})`],
      {
        ...nobody,
        // So that it finds its way when the folder has another name.
        cwd: data,
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    await Promise.race([once(swapper.stdout, "data"), once(swapper, "close")]);
    expect(swapper.exitCode).toBe(null);
    try {
      workspace.remove();
    } finally {
      swapper.kill("SIGKILL");
      await once(swapper, "close");
      expect(readdirSync(victim)).toHaveLength(names.length);
    }
  },
);

/** A folder with files of the same names as the victim's, and every other moment a link to the victim in its place. */
function swap(victim: string, names: readonly string[]): void {
  const { mkdirSync, renameSync, symlinkSync, writeFileSync } = process.getBuiltinModule("node:fs");
  mkdirSync("base");
  for (const name of names) writeFileSync(`base/${name}`, "");
  symlinkSync(victim, "link");
  console.log("ready");
  const moves = [
    ["base", "real"],
    ["link", "base"],
    ["base", "link"],
    ["real", "base"],
  ] as const;
  const end = performance.now() + 60_000;
  while (performance.now() < end)
    for (const [from, to] of moves)
      try {
        renameSync(from, to);
      } catch {
        // It is removed already.
      }
}

function idOf(user: string): { uid: number; gid: number } {
  const [uid, gid] = ["-u", "-g"].map((flag) => Number(spawnSync("id", [flag, user]).stdout)) as [
    number,
    number,
  ];
  return { uid, gid };
}
