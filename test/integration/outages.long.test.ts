import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { exitCode } from "../../ops/verification/report-file";
import { Deployment, findings } from "../support/deployment";
import { before, Proxy } from "../support/faults";
import { query } from "../support/hand-made";
import { Program } from "../support/program";
import { cellsOf } from "../../verify/report/report";

/** Servers that go away in the middle of a verification: what the report says, and what stays. */
let deployment: Deployment;
/** Between Vault and PostgreSQL. */
let network: Proxy;

beforeAll(async () => {
  deployment = await Deployment.start({
    // Few connections, and what is committed outlives a crash.
    postgresSettings: { max_connections: "30", synchronous_commit: "on" },
  });
  network = await Proxy.start(deployment.sandbox.postgres.port);
  const config = "database/config/postgres-example";
  const { connection_details } = (await deployment.root.call("GET", config)).data as {
    connection_details: { connection_url: string };
  };
  const connection_url = connection_details.connection_url.replace(/:\d+\//, `:${String(network.port)}/`);
  await deployment.root.call("POST", config, { connection_url });
});

/** Whatever a test that failed left behind. */
afterEach(async () => {
  network.heal();
  await deployment.sandbox.unsealVault();
  for (const path of ["database/creds", "auth/approle/login"])
    await deployment.root.call("PUT", `sys/leases/revoke-prefix/${path}`, { sync: true });
  for (const object of (await remains()).filter((name) => /^[A-Z]/.test(name))) await sql(`DROP ${object}`);
});

afterAll(async () => {
  network.stop();
  await deployment.stop();
});

const FIRST_LEASE = /^GET database\/creds\/verify-owner$/;
const READERS_LEASE = /^GET database\/creds\/readonly_role$/;
const REVOCATION = /^POST sys\/leases\/revoke$/;

/** Of the verifier's own. In whose words it ends, the server's or the network's, is chance. */
const SESSION_ENDED = /PostgreSQL at 127\.0\.0\.1:\d+ ended the session of v-token-\S+: \S.*$/;
const SEALED =
  /Vault at http:\S+ is not serving requests \(HTTP 503: Vault is sealed\): run npx leasehold init, or vault operator unseal$/;

/** As the superuser, also after a restart. */
const sql = <Row>(statement: string) => query(deployment.sandbox.postgres, statement) as Promise<Row[]>;

/** The verifier's view of Vault, in which something happens before the first request that matches. */
const faulty = (wanted: RegExp, happen: () => unknown) => before(deployment.as("verifier"), wanted, happen);

/** The verifier as a program of its own. */
function verifier(): Program {
  const { postgres, vault, initialised } = deployment.sandbox;
  const manifest = join(deployment.synthesized, "access.json");
  return new Program(["verify", "--no-expiry", "--manifest", manifest], {
    VAULT_ADDR: vault.address,
    VAULT_TOKEN: initialised.tokens.verifier,
    PGHOST: postgres.host,
    PGPORT: String(postgres.port),
  });
}

/** A verification that begins with the matrix: without the users example. */
const withoutWorkload = () => ({
  ...deployment.manifest,
  databases: deployment.manifest.databases.map((database) => ({ ...database, workload: undefined })),
});

/** What of verifications there is: leases, logins, tokens, probe objects. */
async function remains(): Promise<string[]> {
  const { root } = deployment;
  const list = async (path: string) => {
    const { body } = await root.request("LIST", path);
    return (body.data?.["keys"] ?? []) as string[];
  };
  const found: string[] = [];
  for (const role of await list("sys/leases/lookup/database/creds/")) {
    const leases = await list(`sys/leases/lookup/database/creds/${role}`);
    found.push(...leases.map((lease) => `lease database/creds/${role}${lease}`));
  }
  for (const accessor of await list("auth/token/accessors")) {
    const { status, body } = await root.request("POST", "auth/token/lookup-accessor", { accessor });
    if (status === 200 && body.data!["path"] === "auth/approle/login") found.push(`token ${accessor}`);
  }
  const inPostgres = await sql<string>(
    `SELECT 'login ' || rolname FROM pg_roles WHERE rolname LIKE 'v-%'
     UNION ALL SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || oid::regclass FROM pg_class WHERE relname LIKE 'leasehold_probe%' AND relkind IN ('r', 'S')
     UNION ALL SELECT 'FUNCTION ' || oid::regprocedure FROM pg_proc WHERE proname LIKE 'leasehold_probe%'`,
  );
  return [...found, ...inPostgres].sort();
}

/** The same as a report names it. */
function named(left: readonly string[]): string[] {
  return left
    .flatMap((line) => {
      const lease = /^(lease \S+), (login \S+) \(/.exec(line);
      if (lease) return lease.slice(1);
      const token = /: vault token revoke -accessor (\S+)$/.exec(line);
      if (token) return `token ${token[1]!}`;
      return /^probe (.*?) \(Post/.exec(line)?.[1]?.replaceAll('"', "") ?? line;
    })
    .sort();
}

/** Does what the lines say, as who may, for whatever is left. */
async function endWhatIsNamed(left: readonly string[]): Promise<void> {
  for (const line of left) {
    const [, lease] = /: vault lease revoke (\S+)$/.exec(line) ?? [];
    const [, accessor] = /: vault token revoke -accessor (\S+)$/.exec(line) ?? [];
    const [, object] = /^probe (.*?) \(Post/.exec(line) ?? [];
    if (lease) await deployment.root.call("POST", "sys/leases/revoke", { lease_id: lease, sync: true });
    if (accessor) await deployment.root.call("POST", "auth/token/revoke-accessor", { accessor });
    if (object) await sql(`DROP ${object.replace(" ", " IF EXISTS ")}`);
  }
}

async function everythingHolds(): Promise<void> {
  const report = await deployment.verify();
  expect(findings(report)).toEqual([]);
  expect(report.left).toEqual([]);
  expect(await remains()).toEqual([]);
}

/** Waits, within a bound, until a question has an answer. */
async function answered<T>(ask: () => Promise<T | undefined>, what: string): Promise<T> {
  const end = performance.now() + 60_000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new Error(`not within 60 s: ${what}`);
  }
}

/** Kills the server with all its sessions, which lets it recover from a crash, and starts it again. */
async function crash(): Promise<void> {
  const [folder] = await sql<string>("SHOW data_directory");
  const [pid] = readFileSync(join(folder!, "postmaster.pid"), "utf8").split("\n");
  // pg_ctl's immediate mode.
  process.kill(Number(pid), "SIGQUIT");
  await deployment.sandbox.postgres.restart();
}

describe("PostgreSQL restarts", () => {
  test.each<[string, () => Promise<void>, string]>([
    ["in fast mode", () => deployment.sandbox.postgres.restart(), "login, role, lease gone"],
    ["in immediate mode", crash, "open session ended"],
  ])(
    "%s, with leases and sessions open: one line for each of two runs, and nothing stays",
    async (_, fail, check) => {
      const report = await deployment.verify({
        manifest: withoutWorkload(),
        // It has a lease and two sessions of its own.
        expiry: true,
        vault: faulty(REVOCATION, fail),
      });
      const line = (name: string) =>
        expect.stringMatching(new RegExp(`^${name}: ${SESSION_ENDED.source}`)) as string;
      expect(findings(report)).toEqual([
        line(" ended by itself: a lease, its session, its login"),
        line(`schema-admin revoked: ${check}`),
      ]);
      expect(report.left).toEqual([]);
      expect(exitCode(report)).toBe(1);
      expect(await remains()).toEqual([]);
    },
  );

  test("in the middle of a revocation: Vault's words on it in one line, and nothing stays", async () => {
    const lock = await deployment.connect(deployment.manifest.databases[0]!);
    let restarted: Promise<void> | undefined;
    const report = await deployment.verify({
      vault: faulty(REVOCATION, async () => {
        // The statements wait at their first change of a role.
        await lock.query("BEGIN; LOCK TABLE pg_catalog.pg_authid IN ACCESS EXCLUSIVE MODE");
        restarted = answered(async () => {
          const waiting = "SELECT FROM pg_stat_activity WHERE usename = 'vault' AND wait_event_type = 'Lock'";
          return (await lock.query(waiting)).rowCount === 1 || undefined;
        }, "Vault's session waits").then(() => deployment.sandbox.postgres.restart());
      }),
    });
    await restarted;
    expect(findings(report)).toEqual([
      expect.stringMatching(
        /^ users example: the admin .*: POST sys\/leases\/revoke: HTTP 400: failed to revoke entry: .* terminating connection due to administrator command \(SQLSTATE 57P01\)$/,
      ),
    ]);
    expect(report.left).toEqual([]);
    expect(await remains()).toEqual([]);
  });

  test("between two statements of Vault's: it is no finding at all", async () => {
    const report = await deployment.verify({
      vault: faulty(FIRST_LEASE, () => deployment.sandbox.postgres.restart()),
    });
    expect(findings(report)).toEqual([]);
    expect(await remains()).toEqual([]);
  });
});

describe("PostgreSQL does not come back", () => {
  test("and Ctrl-C: the verifier ends, and names what stays and what ends it", async () => {
    const { postgres } = deployment.sandbox;
    const program = verifier();
    const probes = "SELECT FROM pg_class WHERE relname LIKE 'leasehold_probe%_guarded'";
    await answered(async () => (await sql(`SELECT EXISTS (${probes})`))[0] || undefined, "probe objects");
    await postgres.stop();
    program.child.kill("SIGINT");
    const code = await program.ended;
    await postgres.restart();
    expect(code).toBe(1);

    const lines = program.output
      .trimEnd()
      .split("\n")
      .filter((line) => line.startsWith("✗"));
    const left = lines.flatMap((line) => /^✗ left behind: (.*)/.exec(line)?.[1] ?? []);
    // What can't be dropped is not known to be there where the connection was lost meanwhile.
    expect(named(left)).toEqual(expect.arrayContaining(await remains()));
    expect(left).toContainEqual(
      expect.stringMatching(/^lease database\/creds\/verify-owner\/\S+, login v-token-/),
    );
    expect(left).toContainEqual(
      expect.stringMatching(/^probe TABLE .*_guarded" \(PostgreSQL at .*: connect ECONNREFUSED/),
    );
    expect(lines.length - left.length).toBeLessThanOrEqual(2);
    await endWhatIsNamed(left);
    await everythingHolds();
  });
});

describe("Vault is sealed", () => {
  test("before the first lease: it can't run, and nothing stays", async () => {
    const vault = faulty(FIRST_LEASE, () => deployment.sandbox.sealVault());
    await expect(deployment.verify({ vault })).rejects.toThrow(new RegExp(`^${SEALED.source}`));
    await deployment.sandbox.unsealVault();
    expect(await remains()).toEqual([]);
  });

  test.each<[string, RegExp, string, string[]]>([
    ["a lease", READERS_LEASE, "the reader lists them", ["lease", "login", "token"]],
    [
      "a revocation",
      REVOCATION,
      "the admin creates or empties the table",
      ["lease", "lease", "login", "login", "token"],
    ],
  ])("before %s: one line, and what is named is what is left", async (_, at, check, kinds) => {
    const report = await deployment.verify({ vault: faulty(at, () => deployment.sandbox.sealVault()) });
    await deployment.sandbox.unsealVault();
    expect(findings(report)).toEqual([
      expect.stringMatching(new RegExp(`^ users example: ${check}: ${SEALED.source}`)),
    ]);
    expect(exitCode(report)).toBe(1);
    expect(await remains()).toEqual(named(report.left));
    expect(named(report.left).map((name) => name.split(" ")[0])).toEqual(kinds);
    await endWhatIsNamed(report.left);
    await everythingHolds();
  });
});

describe("PostgreSQL's connections are exhausted", () => {
  const held: Client[] = [];

  async function exhaust(): Promise<void> {
    const { host, port, superuser: user, password, database } = deployment.sandbox.postgres;
    for (;;) {
      const client = new Client({ host, port, user, password, database });
      client.on("error", () => undefined);
      try {
        await client.connect();
      } catch (error) {
        expect(error).toMatchObject({ code: "53300" });
        return;
      }
      held.push(client);
    }
  }

  const free = () => Promise.all(held.splice(0).map((client) => client.end()));
  afterEach(free);

  test("before its first session: it can't run, and nothing stays", async () => {
    const vault = faulty(FIRST_LEASE, async () => {
      // Vault keeps a connection of its own.
      const { lease_id } = await deployment.root.call("GET", "database/creds/verify-owner");
      await deployment.root.call("POST", "sys/leases/revoke", { lease_id, sync: true });
      await exhaust();
    });
    await expect(deployment.verify({ vault })).rejects.toThrow(
      /^PostgreSQL at \S+ refuses a session \(53300: sorry, too many clients already\): it has no free connection: /,
    );
    await free();
    expect(await remains()).toEqual([]);
  });

  test("before a persona's: one line, which is no refusal, and nothing stays", async () => {
    const report = await deployment.verify({
      manifest: withoutWorkload(),
      vault: faulty(READERS_LEASE, exhaust),
    });
    expect(findings(report)).toEqual([
      expect.stringMatching(
        /^ the run: PostgreSQL at \S+ refuses connections: sorry, too many clients already$/,
      ),
    ]);
    expect(cellsOf(report).filter(({ result }) => !result.held)).toEqual([]);
    expect(report.left).toEqual([]);
    await free();
    expect(await remains()).toEqual([]);
  });

  test("before a revocation, Vault's as well: one line, and what is named is what is left", async () => {
    const report = await deployment.verify({
      vault: faulty(REVOCATION, async () => {
        await deployment.connect(deployment.manifest.databases[0]!).then(async (client) => {
          await client.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'vault'",
          );
          await client.end();
        });
        await exhaust();
      }),
    });
    await free();
    expect(findings(report)).toEqual([
      expect.stringMatching(
        /^ users example: the admin .*: POST sys\/leases\/revoke: HTTP 400: .*\bFATAL: sorry, too many clients already \(SQLSTATE 53300\)\)?$/,
      ),
    ]);
    expect(await remains()).toEqual(named(report.left));
    expect(report.left).toHaveLength(2);
    await endWhatIsNamed(report.left);
    expect(await remains()).toEqual([]);
  });
});

describe("the network between Vault and PostgreSQL is cut", () => {
  /** Another verification, that begins now. */
  async function interruptedAtFirstLease(): Promise<Program> {
    const program = verifier();
    await answered(async () => {
      const { body } = await deployment.root.request("GET", "sys/in-flight-req");
      return JSON.stringify(body).includes("/v1/database/creds/verify-owner") || undefined;
    }, "its first lease");
    program.child.kill("SIGINT");
    return program;
  }

  test.each<[string, RegExp, boolean, string, number]>([
    [
      "a lease",
      READERS_LEASE,
      false,
      "schema-admin lease: login, id, duration: GET database/creds/schema_admin_role: HTTP 500:",
      1,
    ],
    [
      "a revocation",
      REVOCATION,
      true,
      " users example: the admin creates or empties the table: POST sys/leases/revoke: HTTP 400:",
      2,
    ],
  ])(
    "before %s, and refuses: one line, and what is named is what is left",
    async (_, at, workload, finding, leases) => {
      const report = await deployment.verify({
        manifest: workload ? deployment.manifest : withoutWorkload(),
        vault: faulty(at, () => {
          network.refuse();
        }),
      });
      expect(findings(report)).toEqual([
        expect.stringMatching(new RegExp(`^${finding} .*failed to connect to .*user=vault `)),
      ]);
      expect(await remains()).toEqual(named(report.left));
      expect(report.left).toHaveLength(leases);
      network.heal();
      await endWhatIsNamed(report.left);
      expect(await remains()).toEqual([]);
    },
  );

  test("before a revocation, and is silent: one line within bounds, Ctrl-C too, and Vault goes on with what it was told", async () => {
    let other: Promise<Program> | undefined;
    const report = await deployment.verify({
      vault: faulty(REVOCATION, () => {
        network.silence();
        other = interruptedAtFirstLease();
      }),
    });
    const { ended, output } = await other!.then(async (program) => ({
      ended: await program.ended,
      output: program.output,
    }));
    expect(ended).toBe(130);
    expect(output).toMatch(
      /^Vault does not answer at \S+: no answer to GET \/v1\/database\/creds\/verify-owner within 20 s; left behind: lease database\/creds\/verify-owner\/…, if there is one \(.*\)\n$/,
    );
    expect(findings(report)).toEqual([
      expect.stringMatching(
        /^ users example: the admin .*: Vault does not answer at \S+: no answer to POST \/v1\/sys\/leases\/revoke within 20 s$/,
      ),
    ]);
    expect(await remains()).toEqual(named(report.left));
    expect(named(report.left).map((name) => name.split(" ")[0])).toEqual([
      "lease",
      "lease",
      "login",
      "login",
      "token",
    ]);
    network.heal();
    await answered(
      async () => (await remains()).every((name) => !/schema_a|^token/.test(name)) || undefined,
      "the persona's lease and token are gone",
    );
    await endWhatIsNamed(report.left);
    await everythingHolds();
  });
});
