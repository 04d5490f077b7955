import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server } from "node:net";
import { connect } from "node:tls";
import { execFileSync } from "node:child_process";
import { Client } from "pg";
import external from "../../config/external";
import type { EnvironmentInput } from "../../config/schema/schema";
import { POSTGRES_MAJORS, postgresMajor, type PostgresMajor } from "../../sandbox/postgres-binaries";
import { query } from "../support/hand-made";
import { eventually, messages, Program } from "../support/program";
import { inVault } from "./in-vault";
import { killTree } from "./killed";
import { isAll } from "./needs";
import { OwnServers } from "./own-servers";

/**
 * How leases are made is switched by one value and one deploy, which is killed at each of its steps first, with the real
 * Terraform and providers. The tests are its steps, in order.
 */
const MAJORS: readonly PostgresMajor[] = process.env["LEASEHOLD_POSTGRES"]
  ? [postgresMajor(process.env["LEASEHOLD_POSTGRES"])]
  : isAll
    ? POSTGRES_MAJORS
    : [15, 18];

type Way = NonNullable<EnvironmentInput["leases"]>;

const GROUPS = ["app_admin", "app_service", "app_report"] as const;
type Group = (typeof GROUPS)[number];
/** Whose database role is switched last, where a test says so. */
const LAST: Group = "app_service";
const DATABASE = external.databases[0]!;
/** By the superuser's default privileges, which are there while a deploy makes the functions. */
const GRANTED = [
  ["ALL ON SCHEMAS", "PUBLIC"],
  ["ALL ON ROUTINES", "app_report"],
] as const;
const BOUND_MILLISECONDS = 120_000;

interface Lease {
  readonly id: string;
  readonly group: Group;
  readonly user: string;
  readonly password: string;
}

/** A lease whose application has its session open. */
interface Application extends Lease {
  readonly client: Client;
}

/** Something that holds up a deploy, until it is released. */
interface Hold {
  /** Whether the deploy has come there. */
  readonly reached: () => boolean | Promise<boolean>;
  /** Lets it go on, where it is alive. */
  readonly release: () => Promise<void>;
}

describe.each(MAJORS)("PostgreSQL %s", (major) => {
  let servers: OwnServers;
  let terraform: Terraform;
  let proxy: Proxy;
  /** With a table of its own, and a row in it for each time that it was looked at. */
  let admin: Application;
  let reader: Application;
  let rows = 0;
  /** Leased before the switch. */
  let before: Lease[] = [];
  /** Leased since, and not revoked yet. */
  let since: Lease[] = [];

  beforeAll(async () => {
    servers = await OwnServers.start({ postgresMajor: major });
    terraform = new Terraform(servers.checkout.path("hold"));
    proxy = await Proxy.start(servers.root().address, servers.deployment.sandbox.vault.ca);
    configure("createrole");
    await holds("init");
    await holds("deploy", "--auto-approve");
    [admin, reader] = [await open("app_admin"), await open("app_report")];
    await admin.client.query("CREATE TABLE app.kept (row int)");
    await look();
  }, 300_000);

  afterAll(async () => {
    for (const { client } of [admin, reader]) await client.end();
    await proxy.stop();
    await servers.stop();
  });

  /** Vault's address is the proxy's. */
  const env = () => ({ PATH: terraform.path, TF_VAR_vault_address: proxy.address });

  async function holds(...command: string[]): Promise<string> {
    const { code, output } = await servers.leaseholdWith({ env: env() }, ...command);
    expect({ command, code, output: code === 0 ? "" : output }).toEqual({ command, code: 0, output: "" });
    return output;
  }

  function configure(leases: Way): void {
    servers.configure((draft) => {
      draft.leases = leases;
      draft.vault.tls = false;
      draft.databases = [
        {
          ...DATABASE,
          workload: undefined,
          staticRoles: [{ name: "nightly", login: "nightly", persona: "report", rotationPeriod: "24h" }],
        },
      ];
    });
  }

  async function lease(group: Group): Promise<Lease> {
    const { lease_id: id, data } = await servers.root().call("GET", `database/creds/${group}`);
    const { username: user, password } = data as { username: string; password: string };
    return { id: id!, group, user, password };
  }

  async function open(group: Group): Promise<Application> {
    const leased = await lease(group);
    const { host, port, database, ssl } = servers.deployment.sandbox.postgres;
    const client = new Client({ host, port, database, ssl, user: leased.user, password: leased.password });
    client.on("error", () => undefined);
    await client.connect();
    return { ...leased, client };
  }

  async function leaseEach(): Promise<Lease[]> {
    const leases: Lease[] = [];
    for (const group of GROUPS) leases.push(await lease(group));
    return leases;
  }

  const one = async (sql: string) => (await servers.query(sql))[0];

  /** As an application does with its login. */
  const uses = ({ user, password }: Lease, sql: string) =>
    query(servers.deployment.sandbox.postgres, sql, { user, password });

  async function renews({ id, user }: Lease): Promise<void> {
    const end = `SELECT rolvaliduntil FROM pg_roles WHERE rolname = '${user}'`;
    await servers.query(`ALTER ROLE "${user}" VALID UNTIL '2001-01-01'`);
    await servers.root().call("PUT", "sys/leases/renew", { lease_id: id, increment: 7200 });
    expect(((await one(end)) as Date).getTime()).toBeGreaterThan(Date.now());
  }

  async function revokes({ id, user, group }: Lease): Promise<void> {
    await servers.root().call("PUT", "sys/leases/revoke", { lease_id: id, sync: true });
    expect({
      group,
      left: await servers.query(`SELECT rolname FROM pg_roles WHERE rolname = '${user}'`),
    }).toEqual({
      group,
      left: [],
    });
  }

  /** The applications' sessions are open, and read and write; their logins begin others. */
  async function look(): Promise<void> {
    rows += 1;
    await admin.client.query("INSERT INTO app.kept VALUES ($1)", [rows]);
    const found = await reader.client.query<{ count: number }>("SELECT count(*)::int FROM app.kept");
    expect(found.rows).toEqual([{ count: rows }]);
    for (const application of [admin, reader])
      expect(await uses(application, "SELECT count(*)::int FROM app.kept")).toEqual([rows]);
  }

  async function works(): Promise<void> {
    await look();
    const fresh = await leaseEach();
    for (const leased of fresh)
      expect(await uses(leased, "SELECT count(*)::int FROM app.kept")).toEqual([rows]);
    for (const leased of [...before, ...since, ...fresh, admin, reader]) await renews(leased);
    // One of each that was made before the switch, one of the steps before, one of this step.
    for (const group of GROUPS)
      for (const leases of [before, since, fresh]) {
        const i = leases.findIndex((leased) => leased.group === group);
        if (i >= 0) await revokes(...(leases.splice(i, 1) as [Lease]));
      }
    since.push(...(await leaseEach()));
    await servers.root().call("POST", "database/rotate-role/nightly");
    const { data } = await servers.root().call("GET", "database/static-creds/nightly");
    const { username: user, password } = data as { username: string; password: string };
    expect(await query(servers.deployment.sandbox.postgres, "SELECT 1", { user, password })).toEqual([1]);
    await look();
  }

  /** Until it has come to where it is held. */
  async function killedAt(hold: Hold, passing?: { hold: Hold; work: () => Promise<void> }): Promise<void> {
    const program = new Program(
      ["deploy", "--auto-approve"],
      { ...servers.env, ...env() },
      servers.checkout.folder,
    );
    const hasEnded = () => program.child.exitCode !== null || program.child.signalCode !== null;
    const reach = async ({ reached }: Hold) => {
      await eventually(
        async () => hasEnded() || (await reached()),
        BOUND_MILLISECONDS,
        () => `the deploy has not come there:\n${program.output}`,
      );
      if (hasEnded()) throw new Error(`the deploy has ended:\n${program.output}`);
    };
    try {
      if (passing) {
        await reach(passing.hold);
        await passing.work();
        await passing.hold.release();
      }
      await reach(hold);
      killTree(program.child.pid!);
      expect(await program.ended).toBe("SIGKILL");
    } finally {
      if (!hasEnded()) killTree(program.child.pid!);
      await passing?.hold.release();
      await hold.release();
    }
    // A server notices that its client is gone when it has done what it was at.
    await eventually(
      async () =>
        (await one(
          "SELECT count(*)::int FROM pg_stat_activity WHERE usename = 'postgres' AND application_name IN ('leasehold', 'Terraform provider')",
        )) === 0,
      BOUND_MILLISECONDS,
      () => "a session of the killed deploy has not ended",
    );
  }

  /** A lock on a catalog, for which whoever writes to it waits. */
  async function locked(catalog: string): Promise<Hold> {
    const { host, port, superuser: user, password, database, ssl } = servers.deployment.sandbox.postgres;
    const client = new Client({ host, port, user, password, database, ssl });
    client.on("error", () => undefined);
    await client.connect();
    await client.query(`BEGIN; LOCK TABLE pg_catalog.${catalog} IN SHARE MODE`);
    return {
      reached: async () =>
        (await one(
          "SELECT count(*)::int FROM pg_stat_activity WHERE application_name IN ('leasehold', 'Terraform provider') AND cardinality(pg_blocking_pids(pid)) > 0",
        )) !== 0,
      release: () => client.end(),
    };
  }

  /** Where a deploy is held, and what a killed one is at. */
  const holdAt: Record<string, (to: Way) => Hold | Promise<Hold>> = {
    "before the stack postgres": () => terraform.hold("before", "postgres"),
    "in the stack postgres": (to) => locked(to === "functions" ? "pg_proc" : "pg_auth_members"),
    "after the stack postgres": () => terraform.hold("after", "postgres"),
    "before the stack vault": () => terraform.hold("before", "vault"),
    "in the stack vault": () => proxy.hold(1),
    "after the stack vault": () => terraform.hold("after", "vault"),
    "in the last step": (to) => locked(to === "functions" ? "pg_auth_members" : "pg_proc"),
  };

  async function powers(): Promise<unknown> {
    return {
      createrole: await one("SELECT rolcreaterole FROM pg_roles WHERE rolname = 'vault'"),
      groups: await servers.query(
        "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = 'vault'::regrole AND roleid::regrole::text !~ '^(\"?v-|pg_)' ORDER BY 1",
      ),
      leases: await one(
        "SELECT count(*)::int FROM pg_auth_members WHERE member = 'vault'::regrole AND roleid::regrole::text ~ '^\"?v-'",
      ),
      functions: await servers.query(
        "SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace('leasehold') ORDER BY 1",
      ),
      uses: await one(
        "SELECT coalesce(has_schema_privilege('vault', to_regnamespace('leasehold'), 'USAGE'), false)",
      ),
    };
  }

  test("a schema of the functions' name that a leased admin has made: deploy says so in one line, and changes nothing", async () => {
    configure("functions");
    const found = await powers();
    const taken = async (sql: string, object: string) => {
      await admin.client.query(sql);
      const { code, output } = await servers.leaseholdWith({ env: env() }, "deploy", "--auto-approve");
      expect({ code, lines: messages(output) }).toEqual({
        code: 2,
        lines: [
          expect.stringContaining(`the ${object} in the database app belongs to app_owner, and `) as string,
        ],
      });
    };
    // Where there is no record of what deploy took, as in a server's second database, the name is free.
    await servers.query("ALTER SCHEMA leasehold RENAME TO records");
    await taken("CREATE SCHEMA leasehold", "schema leasehold");
    // As a member of its owner.
    expect(await powers()).toEqual({ ...(found as object), uses: true });
    await admin.client.query(
      `CREATE FUNCTION leasehold.open(login text, group_role text, secret text, valid_until text) RETURNS void
       LANGUAGE sql SECURITY DEFINER AS 'SELECT'`,
    );
    await servers.query("ALTER SCHEMA leasehold OWNER TO postgres");
    await taken("SELECT", "function leasehold.open(text,text,text,text)");
    await servers.query("DROP SCHEMA leasehold CASCADE");
    await servers.query("ALTER SCHEMA records RENAME TO leasehold");
    await works();
  });

  describe.each<Way>(["functions", "createrole"])("to %s", (to) => {
    beforeAll(async () => {
      if (to === "functions")
        for (const granted of GRANTED)
          await servers.query(`ALTER DEFAULT PRIVILEGES GRANT ${granted[0]} TO ${granted[1]}`);
      before = [...since, ...(await Promise.all(Object.keys(holdAt).map(leaseEach))).flat()];
      since = [];
      configure(to);
    });

    test.each(Object.keys(holdAt))("a deploy that is killed %s", async (at) => {
      const hold = await holdAt[at]!(to);
      if (at === "after the stack vault") {
        // Leased while Vault is switched, by a database role that is not yet.
        const work = async () => {
          for (let i = 0; i < 2; i += 1) since.unshift(await lease(LAST));
        };
        await killedAt(hold, { hold: proxy.hold(0), work });
      } else await killedAt(hold);
      await works();
      // As plain cdktf leaves it.
      if (at === "after the stack vault" && to === "functions") {
        const { code, output } = await servers.leaseholdWith({ env: env() }, "verify", "--no-expiry");
        expect({ code, output }).toEqual({
          code: 1,
          output: expect.stringMatching(
            /vault has CREATEROLE.*; mend: ALTER ROLE "vault" NOCREATEROLE/,
          ) as string,
        });
      }
    });

    test("a deploy that comes to its end", async () => {
      if (to === "functions")
        for (const granted of GRANTED)
          await servers.query(`ALTER DEFAULT PRIVILEGES REVOKE ${granted[0]} FROM ${granted[1]}`);
      await holds("deploy", "--auto-approve");
      await works();
      expect(await holds("deploy", "--auto-approve")).toContain("Nothing to do");
      await holds("diff");
      expect(await holds("verify", "--no-expiry")).toContain("left behind: nothing");
      const found = await powers();
      expect(found).toEqual(
        to === "functions"
          ? {
              createrole: false,
              groups: [],
              leases: 0,
              functions: ["close", "drop", "open", "renew", "set_password"],
              uses: true,
            }
          : {
              createrole: true,
              groups: expect.arrayContaining([...GROUPS, "app_owner", "nightly"]) as string[],
              leases: expect.any(Number) as number,
              functions: [],
              uses: false,
            },
      );
    });
  });

  test("what was changed of Vault's login by hand is given back, and it leases as before", async () => {
    const found = await powers();
    await servers.query("ALTER ROLE vault CREATEDB CONNECTION LIMIT 7 VALID UNTIL '2099-01-01'");
    expect(await holds("deploy", "--auto-approve")).toContain(
      "gave vault back what was changed of it by hand: NOCREATEDB CONNECTION LIMIT -1 VALID UNTIL 'infinity'",
    );
    expect(await powers()).toEqual(found);
    await works();
    await holds("diff");
  });

  test("the applications' own leases end, and all others", async () => {
    for (const leased of [...before.splice(0), ...since.splice(0)]) await revokes(leased);
    for (const application of [admin, reader]) {
      await revokes(application);
      await expect(application.client.query("SELECT")).rejects.toThrow();
    }
    expect(await one("SELECT tableowner FROM pg_tables WHERE tablename = 'kept'")).toBe("app_owner");
  });

  test.each<Way>(["functions", "createrole"])("a switch to %s that is killed and taken back", async (to) => {
    const from = to === "functions" ? "createrole" : "functions";
    configure(from);
    await holds("deploy", "--auto-approve");
    before = await leaseEach();
    configure(to);
    await killedAt(proxy.hold(1));
    since = await leaseEach();
    configure(from);
    await holds("deploy", "--auto-approve");
    for (const leased of [...before, ...since]) await renews(leased);
    for (const leased of [...before, ...since]) await revokes(leased);
    for (const leased of await leaseEach()) await revokes(leased);
    await holds("diff");
    expect(await powers()).toMatchObject({
      createrole: from === "createrole",
      leases: 0,
      uses: from === "functions",
    });
  });

  test("destroy after a switch that was killed leaves nothing of either way", async () => {
    configure("createrole");
    await killedAt(terraform.hold("after", "postgres"));
    await leaseEach();
    await holds("destroy", "--auto-approve");
    expect(await servers.query("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1")).toEqual([
      "app_owner",
      "postgres",
    ]);
    expect(await one("SELECT to_regnamespace('leasehold') IS NULL")).toBe(true);
    expect((await inVault(servers.root())).filter((name) => !name.startsWith("leasehold-external-"))).toEqual(
      [],
    );
  });
});

/** Runs in Terraform's place, and Terraform unless it is to be held. */
class Terraform {
  /** PATH of who is to find it. */
  readonly path: string;

  constructor(private readonly folder: string) {
    mkdirSync(folder);
    const real = execFileSync("sh", ["-c", "command -v terraform"], { encoding: "utf8" }).trim();
    const script = `#!/bin/sh
hold() {
  if [ "$1 $(basename "$PWD")" = "$(cat '${folder}/at')" ]; then touch '${folder}/reached'; exec sleep 600; fi
}
[ "$1" = apply ] || exec '${real}' "$@"
hold before
'${real}' "$@" || exit
hold after
`;
    writeFileSync(`${folder}/at`, "");
    writeFileSync(`${folder}/terraform`, script);
    chmodSync(`${folder}/terraform`, 0o755);
    this.path = `${folder}:${process.env["PATH"]!}`;
  }

  hold(when: "before" | "after", stack: string): Hold {
    const { folder } = this;
    writeFileSync(`${folder}/at`, `${when} ${stack}`);
    return {
      reached: () => existsSync(`${folder}/reached`),
      release: () => {
        writeFileSync(`${folder}/at`, "");
        rmSync(`${folder}/reached`, { force: true });
        return Promise.resolve();
      },
    };
  }
}

/** In front of Vault, without TLS: holds up what changes a database role. */
class Proxy {
  static async start(vault: string, ca?: string): Promise<Proxy> {
    const { hostname: host, port } = new URL(vault);
    const proxy = new Proxy(host, Number(port), ca);
    await new Promise<void>((resolve) => proxy.server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  private readonly server: Server;
  private held: (() => void)[] = [];
  private isHolding = false;
  /** How many other roles have been changed. */
  private changed = 0;

  private constructor(host: string, port: number, ca?: string) {
    this.server = createServer((client) => {
      const vault = connect({ host, port, ca });
      let isHeld = false;
      client.on("data", (chunk: Buffer) => {
        // Its method and path begin a chunk; its body may be in the next.
        const [, role] = /^(?:PUT|POST) \/v1\/database\/roles\/(\S+)/.exec(chunk.toString("latin1")) ?? [];
        isHeld ||= this.isHolding && role === LAST;
        if (isHeld)
          this.held.push(() => {
            isHeld = false;
            if (!client.destroyed) vault.write(chunk);
          });
        else {
          if (role !== undefined) vault.once("data", () => (this.changed += 1));
          vault.write(chunk);
        }
      });
      vault.pipe(client);
      for (const [one, other] of [
        [client, vault],
        [vault, client],
      ] as const)
        one.on("error", () => undefined).on("close", () => other.destroy());
    });
  }

  get address(): string {
    return `http://127.0.0.1:${String((this.server.address() as AddressInfo).port)}`;
  }

  /** Where {@link LAST} is about to be changed, and so many others have been. */
  hold(others: number): Hold {
    this.isHolding = true;
    this.changed = 0;
    return {
      reached: () => this.held.length > 0 && this.changed >= others,
      release: async () => {
        this.isHolding = false;
        // What a killed client sent is not passed on, once the server knows.
        await new Promise(setImmediate);
        for (const pass of this.held.splice(0)) pass();
      },
    };
  }

  async stop(): Promise<void> {
    await new Promise((resolve) => this.server.close(resolve));
  }
}
