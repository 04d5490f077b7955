import { Client } from "pg";
import type { Deployment as DeployedByCommands } from "../../ops/deployment/deployment";
import { equipManagers, managed } from "../../ops/postgres/manager-login";
import { freeMemberships, givePowers, takePowers } from "../../ops/postgres/manager-powers";
import { groupRolesOf } from "../../manifest/names";
import { Deployment } from "../support/deployment";
import { eventually } from "../support/program";
import { unless } from "../support/skip";
import { recordState } from "../support/state";
import { attacked } from "./attacks/environment";
import { forCommands, lease, MAJORS, type Lease } from "./attacks/support";

/** What a switch gives Vault's login and takes from it, while leases are made and end. */
const GROUP = "readwrite_role";
const BOUND_MILLISECONDS = 60_000;

interface Granted {
  readonly role: string;
  readonly grantor: string;
}

/** A transaction that is open. */
class Transaction {
  readonly client: Client;
  private readonly deployment: Deployment;
  private pid = 0;

  private constructor(deployment: Deployment) {
    const { host, port, database, superuser: user, password, ssl = false } = deployment.sandbox.postgres;
    this.deployment = deployment;
    this.client = new Client({ host, port, database, user, password, ssl });
    this.client.on("error", () => undefined);
  }

  static async begin(deployment: Deployment, sql: string): Promise<Transaction> {
    const transaction = new Transaction(deployment);
    const { client } = transaction;
    await client.connect();
    const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    transaction.pid = rows[0]!.pid;
    await client.query(`BEGIN; ${sql}`);
    return transaction;
  }

  /** Until a command's session waits for it. */
  holds(work: { readonly hasEnded: boolean }): Promise<void> {
    return eventually(
      async () => {
        if (work.hasEnded) throw new Error("the work has ended, and did not wait");
        const { rowCount } = await this.deployment.superuser.query(
          "SELECT FROM pg_stat_activity WHERE application_name = 'leasehold' AND $1 = ANY (pg_blocking_pids(pid))",
          [this.pid],
        );
        return rowCount === 1;
      },
      BOUND_MILLISECONDS,
      () => "no session of the command waits for the transaction",
    );
  }

  async end(how: "COMMIT" | "ROLLBACK"): Promise<void> {
    await this.client.query(how);
    await this.client.end();
  }
}

describe.each(MAJORS)("on PostgreSQL %i", (postgresMajor) => {
  let deployment: Deployment;
  let commands: DeployedByCommands;
  const isByGrantor = postgresMajor >= 16;
  const from16 = unless(!isByGrantor && "up to PostgreSQL 15 nothing of it depends on who has granted what");

  beforeAll(async () => {
    deployment = await Deployment.start({ config: { ...attacked, leases: "functions" }, postgresMajor });
    await deployment.superuser.query("SET search_path = pg_catalog, pg_temp");
    commands = forCommands(deployment);
    await deployment.superuser.query(
      "CREATE ROLE reporting; CREATE ROLE dba; GRANT reporting TO dba WITH ADMIN OPTION",
    );
  });

  afterEach(async () => {
    const { superuser } = deployment;
    for (const role of await deployment.leasedRoles()) await superuser.query(`DROP ROLE "${role}"`);
    for (const { role, grantor } of await granted("vault"))
      await superuser.query(`REVOKE "${role}" FROM vault GRANTED BY "${grantor}"`);
    await superuser.query("ALTER ROLE vault NOCREATEROLE");
    record([]);
  });

  afterAll(() => deployment.stop());

  const database = () => commands.manifest.databases[0]!;
  const groups = () => groupRolesOf(database());

  async function granted(member: string): Promise<Granted[]> {
    const { rows } = await deployment.superuser.query<Granted>(
      `SELECT pg_get_userbyid(roleid) AS role, pg_get_userbyid(grantor) AS grantor FROM pg_auth_members
       WHERE pg_get_userbyid(member) = $1 ORDER BY 1, 2`,
      [member],
    );
    return rows;
  }

  const powers = async () =>
    (
      await deployment.superuser.query(
        `SELECT to_jsonb(r) - 'rolpassword' AS attributes, (
           SELECT jsonb_agg(to_jsonb(m) ORDER BY roleid, member, grantor) FROM pg_auth_members m
           WHERE r.oid IN (roleid, member, grantor)
         ) AS memberships
         FROM pg_roles r WHERE rolname = 'vault'`,
      )
    ).rows[0] as unknown;

  /** What the stack postgres gives Vault's login, where it leases without functions. */
  async function giveGroups(): Promise<void> {
    await deployment.superuser.query(
      ["example_owner", ...groups()].map((group) => `GRANT ${group} TO vault WITH ADMIN OPTION`).join("; "),
    );
  }

  /** As a switch to functions finds it at its end: leases have their group from Vault's login, which has ADMIN on them. */
  async function leasedWithoutFunctions(count: number): Promise<Lease[]> {
    await giveGroups();
    const leases: Lease[] = [];
    for (let i = 0; i < count; i += 1) leases.push(await lease(deployment, GROUP));
    await givePowers(commands, database());
    for (const { user } of leases)
      expect(await granted(user)).toEqual([{ role: GROUP, grantor: isByGrantor ? "vault" : "nanvc" }]);
    return leases.sort((one, other) => (one.user < other.user ? -1 : 1));
  }

  /** Something at work, during which the leases have their group whenever it is looked. */
  function atWork<T>(promise: Promise<T>, living: readonly Lease[]) {
    const work = { hasEnded: false, result: promise.finally(() => (work.hasEnded = true)), watched: watch() };
    work.result.catch(() => undefined);
    async function watch(): Promise<void> {
      const without: string[] = [];
      do {
        const { rows } = await deployment.superuser.query<{ name: string }>(
          "SELECT name FROM unnest($1::text[]) AS name WHERE NOT pg_has_role(name, $2, 'MEMBER')",
          [living.map(({ user }) => user), GROUP],
        );
        without.push(...rows.map(({ name }) => name));
      } while (!work.hasEnded);
      expect(without).toEqual([]);
    }
    return work;
  }

  /** Terraform has made these roles. */
  function record(names: readonly string[]): void {
    recordState(commands, (type, { name }) => type === "postgresql_role" && names.includes(String(name)));
  }

  async function expectTaken(leases: readonly Lease[]): Promise<void> {
    expect(await granted("vault")).toEqual([]);
    const { rows } = await deployment.superuser.query(
      "SELECT rolcreaterole FROM pg_roles WHERE rolname = 'vault'",
    );
    expect(rows).toEqual([{ rolcreaterole: false }]);
    for (const { user } of leases) expect(await granted(user)).toEqual([{ role: GROUP, grantor: "nanvc" }]);
  }

  async function expectRevocable(leases: readonly Lease[]): Promise<void> {
    for (const each of leases) expect(await each.revoke()).toBe(204);
    const left = await deployment.leasedRoles();
    expect(left.filter((name) => leases.some(({ user }) => user === name))).toEqual([]);
  }

  test("powers are given and taken, and there is nothing to do the next time", async () => {
    const leases = await leasedWithoutFunctions(3);
    expect(await givePowers(commands, database())).toEqual([]);
    if (isByGrantor) {
      // As its revocation does, which may be on its way.
      await deployment.superuser.query(
        `SET SESSION AUTHORIZATION vault; GRANT "${leases[0]!.user}" TO vault`,
      );
      await deployment.superuser.query("RESET SESSION AUTHORIZATION");
    }
    expect(await takePowers(commands, database())).toEqual([
      expect.stringMatching(
        /^took from vault what leases by functions do without: CREATEROLE and \d+ memberships$/,
      ),
    ]);
    await expectTaken(leases);
    expect(await takePowers(commands, database())).toEqual([]);
    await expectRevocable(leases);
  });

  from16.test(`a lease that ends while powers are taken${from16.because}`, async () => {
    const [first, ending, last] = await leasedWithoutFunctions(3);
    const drop = await Transaction.begin(deployment, `DROP ROLE "${ending!.user}"`);
    const living = [first!, last!];
    const work = atWork(takePowers(commands, database()), living);
    await drop.holds(work);
    await drop.end("COMMIT");
    expect(await work.result).toHaveLength(1);
    await work.watched;
    await expectTaken(living);
    await expectRevocable([...living, ending!]);
  });

  from16.test(`a lease that ends while powers are given${from16.because}`, async () => {
    await giveGroups();
    const leases: Lease[] = [];
    for (let i = 0; i < 3; i += 1) leases.push(await lease(deployment, GROUP));
    const [first, ending, last] = leases.sort((one, other) => (one.user < other.user ? -1 : 1));
    const drop = await Transaction.begin(deployment, `DROP ROLE "${ending!.user}"`);
    const living = [first!, last!];
    const work = atWork(givePowers(commands, database()), living);
    await drop.holds(work);
    await drop.end("COMMIT");
    expect(await work.result).toContain("gave vault CREATEROLE, with which it leases");
    await work.watched;
    for (const { user } of living) {
      expect(await granted(user)).toEqual([{ role: GROUP, grantor: "vault" }]);
      expect(await granted("vault")).toContainEqual({ role: user, grantor: "nanvc" });
    }
    // PostgreSQL would grant a role that is dropped while it is waited for.
    expect((await granted("vault")).filter(({ role }) => role.startsWith("unknown"))).toEqual([]);
    await expectRevocable([...living, ending!]);
  });

  from16.test(`a lease that ends while Terraform's way is made${from16.because}`, async () => {
    record(["vault"]);
    const [first, ending, last] = await leasedWithoutFunctions(3);
    const drop = await Transaction.begin(deployment, `DROP ROLE "${ending!.user}"`);
    const living = [first!, last!];
    const work = atWork(freeMemberships(commands, database()), living);
    await drop.holds(work);
    await drop.end("COMMIT");
    expect(await work.result).toEqual(["took over what vault has granted to 3 living leases"]);
    await work.watched;
    for (const { user } of living) expect(await granted(user)).toEqual([{ role: GROUP, grantor: "nanvc" }]);
    expect(await granted("vault")).toContainEqual({ role: first!.user, grantor: "nanvc" });
    expect(await freeMemberships(commands, database())).toEqual([]);
    await expectRevocable([...living, ending!]);
  });

  from16.test(`a lease that is made while powers are taken${from16.because}`, async () => {
    const leases = await leasedWithoutFunctions(1);
    const made = "v-token-readwrit-Abcdefghijklmnop0001-1900000000";
    // By a database role's statements from before the switch, which were on their way.
    const create = await Transaction.begin(
      deployment,
      `SET LOCAL SESSION AUTHORIZATION vault; CREATE ROLE "${made}" IN ROLE ${GROUP}`,
    );
    const work = atWork(takePowers(commands, database()), leases);
    await create.holds(work);
    await create.end("COMMIT");
    expect(await work.result).toHaveLength(1);
    await work.watched;
    await expectTaken(leases);
    expect(await granted(made)).toEqual([{ role: GROUP, grantor: "nanvc" }]);
  });

  describe("three hundred leases", () => {
    const COUNT = 300;
    const name = (i: number) => `v-token-readwrit-Abcdefghijklmnop${String(i).padStart(4, "0")}-1900000000`;
    const MIDDLE = name(COUNT / 2);

    /** As Vault makes them without functions. */
    async function make(): Promise<void> {
      await giveGroups();
      const { superuser } = deployment;
      await superuser.query("ALTER ROLE vault CREATEROLE; SET SESSION AUTHORIZATION vault");
      try {
        for (let i = 1; i <= COUNT; i += 1)
          await superuser.query(
            `CREATE ROLE "${name(i)}" LOGIN IN ROLE ${GROUP}; COMMENT ON ROLE "${name(i)}" IS 'leasehold local nanvc'`,
          );
      } finally {
        await superuser.query("RESET SESSION AUTHORIZATION");
      }
    }

    const count = async (where: string) =>
      (
        await deployment.superuser.query<{ count: number }>(
          `SELECT count(*)::int FROM pg_auth_members m JOIN pg_roles r ON r.oid = roleid JOIN pg_roles u ON u.oid = member
             JOIN pg_roles g ON g.oid = grantor
           WHERE starts_with(u.rolname || r.rolname, 'v') AND ${where}`,
        )
      ).rows[0]!.count;
    const fromVault = () => count("g.rolname = 'vault'");
    const ofVault = () => count("u.rolname = 'vault' AND starts_with(r.rolname, 'v-')");

    /** While the work is held at the lease in the middle. */
    async function heldInTheMiddle(meanwhile: () => Promise<void>): Promise<void> {
      const drop = await Transaction.begin(deployment, `DROP ROLE "${MIDDLE}"`);
      const work = atWork(takePowers(commands, database()), []);
      try {
        await drop.holds(work);
        await meanwhile();
        await expectRevocable([await lease(deployment, GROUP)]);
        await drop.holds(work);
      } finally {
        await drop.end("ROLLBACK");
      }
      expect(await work.result).toHaveLength(1);
      await work.watched;
      await expectTaken([]);
      expect(await count(`g.rolname = 'nanvc' AND r.rolname = '${GROUP}'`)).toBe(COUNT);
    }

    from16.test(
      `powers are taken while one is held: half have their group from the superuser, and Vault leases and revokes${from16.because}`,
      async () => {
        await make();
        await heldInTheMiddle(async () => {
          expect(await fromVault()).toBe(COUNT / 2 + 1);
        });
      },
    );

    from16.test(
      `and where they have that already, Vault's login has lost half of them${from16.because}`,
      async () => {
        await make();
        for (let i = 1; i <= COUNT; i += 1)
          await deployment.superuser.query(
            `GRANT ${GROUP} TO "${name(i)}"; REVOKE ${GROUP} FROM "${name(i)}" GRANTED BY vault`,
          );
        await heldInTheMiddle(async () => {
          expect(await ofVault()).toBe(COUNT / 2 + 1);
        });
      },
    );
  });

  test("what a DBA has granted a leased login beside its group stays the DBA's", async () => {
    await giveGroups();
    const leased = await lease(deployment, GROUP);
    const { superuser } = deployment;
    await superuser.query(`SET SESSION AUTHORIZATION dba; GRANT reporting TO "${leased.user}"`);
    await superuser.query("RESET SESSION AUTHORIZATION");
    const beside = { role: "reporting", grantor: "dba" };
    await givePowers(commands, database());
    expect(await granted(leased.user)).toEqual([
      { role: GROUP, grantor: isByGrantor ? "vault" : "nanvc" },
      beside,
    ]);
    expect((await givePowers(commands, database())).length).toBe(0);
    await takePowers(commands, database());
    expect(await granted(leased.user)).toEqual([{ role: GROUP, grantor: "nanvc" }, beside]);
    await expectRevocable([leased]);
  });

  test("a login with the name of Vault's that is not in Terraform's state is somebody else's", async () => {
    await deployment.superuser.query(
      "ALTER ROLE vault CREATEDB CONNECTION LIMIT 7; ALTER ROLE vault RESET search_path",
    );
    const leases = await leasedWithoutFunctions(1);
    const found = await powers();
    record(["readwrite_role"]);
    expect(await managed(commands)).toEqual([]);
    expect(await equipManagers(commands, await managed(commands))).toEqual([]);
    expect(await freeMemberships(commands, database())).toEqual([]);
    expect(await powers()).toEqual(found);
    record(["vault"]);
    expect((await managed(commands)).map(({ name }) => name)).toEqual([database().name]);
    expect(await equipManagers(commands, await managed(commands))).toEqual(
      expect.arrayContaining([
        "gave vault back what was changed of it by hand: NOCREATEDB CONNECTION LIMIT -1",
      ]),
    );
    expect(await freeMemberships(commands, database())).toHaveLength(isByGrantor ? 1 : 0);
    await expectRevocable(leases);
  });

  test("what a role has granted that is gone by now is taken as well", async () => {
    await giveGroups();
    const { superuser } = deployment;
    await superuser.query(
      "CREATE ROLE gone SUPERUSER; SET SESSION AUTHORIZATION gone; GRANT reporting TO vault",
    );
    await superuser.query("RESET SESSION AUTHORIZATION");
    await superuser.query("DROP ROLE gone");
    expect(await takePowers(commands, database())).toHaveLength(1);
    await expectTaken([]);
  });
});
