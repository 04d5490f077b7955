import { resultsOf } from "../../../verify/report/report";
import { Deployment } from "../../support/deployment";
import { query } from "../../support/hand-made";
import { eventually } from "../../support/program";
import { attacked } from "./environment";
import {
  ask,
  expectEnded,
  expectOthersCanLease,
  lease,
  WAYS,
  staticLogin,
  sweep,
  type Lease,
} from "./support";

/** What a login can hold open, to keep what it has and to keep others from what they want. */
interface Held {
  /** Of whom. */
  readonly role: "readonly_role" | "readwrite_role" | "schema_admin_role";
  /** In one session, which stays as it is afterwards. */
  readonly sql: string;
  readonly database?: string;
  /** The last statement never comes to its end by itself. */
  readonly isEndless?: boolean;
}

const readonly = { role: "readonly_role" } as const;
const admin = { role: "schema_admin_role" } as const;
const HELD: Readonly<Record<string, Held>> = {
  "its password, changed": { ...readonly, sql: "BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'" },
  "its password, changed, by a writer": {
    role: "readwrite_role",
    sql: "BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'",
  },
  "its password, changed, in another database": {
    ...readonly,
    sql: "BEGIN; ALTER ROLE CURRENT_USER PASSWORD NULL",
    database: "postgres",
  },
  "its password, in a savepoint that is released": {
    ...readonly,
    sql: "BEGIN; SAVEPOINT a; ALTER ROLE CURRENT_USER PASSWORD 'x'; RELEASE a",
  },
  "the owner's password, changed": { ...admin, sql: "BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'" },
  "its settings": { ...readonly, sql: "BEGIN; ALTER ROLE CURRENT_USER SET work_mem = '1MB'" },
  "its settings in a database": {
    ...readonly,
    sql: "BEGIN; ALTER ROLE CURRENT_USER IN DATABASE nanvc SET work_mem = '1MB'",
  },
  "its settings, all reset": { ...readonly, sql: "BEGIN; ALTER ROLE CURRENT_USER RESET ALL" },
  "its default privileges": {
    ...readonly,
    sql: "BEGIN; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
  },
  "what it owned, dropped": { ...readonly, sql: "SELECT lo_create(0); BEGIN; DROP OWNED BY CURRENT_USER" },
  "an advisory lock": { ...readonly, sql: "SELECT pg_advisory_lock(1), pg_advisory_lock(1259, 1260)" },
  "the catalogs, in the mode that it may": {
    ...readonly,
    sql: "BEGIN; LOCK TABLE pg_catalog.pg_auth_members, pg_catalog.pg_shdepend, pg_catalog.pg_database IN ACCESS SHARE MODE",
  },
  "a cursor": {
    ...readonly,
    sql: "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; DECLARE d CURSOR FOR SELECT 2; FETCH d",
  },
  "a channel": { ...readonly, sql: "LISTEN c; NOTIFY c" },
  "a sleep": { ...readonly, sql: "SELECT pg_sleep(600)", isEndless: true },
  "a long computation": {
    ...readonly,
    sql: "SELECT count(*) FROM generate_series(1, 1e6::bigint) AS a, generate_series(1, 1e6::bigint) AS b",
    isEndless: true,
  },
  "a loop that catches what it can": {
    ...readonly,
    sql: "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(0.01); EXCEPTION WHEN OTHERS OR query_canceled THEN NULL; END; END LOOP; END $$",
    isEndless: true,
  },
  "a number of many digits": { ...readonly, sql: "SELECT factorial(32177)", isEndless: true },
  "a serializable transaction": {
    ...readonly,
    sql: "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM pg_catalog.pg_auth_members; SELECT count(*) FROM pg_catalog.pg_roles",
  },
  "an exported snapshot": {
    ...readonly,
    sql: "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_export_snapshot()",
  },
  "a large object, open": { ...readonly, sql: "BEGIN; SELECT lo_open(lo_create(0), 131072)" },
  "a large object, unfinished, in another database": {
    ...readonly,
    sql: "BEGIN; SELECT lo_create(0)",
    database: "postgres",
  },
  "a temporary table in another database": {
    ...readonly,
    sql: "CREATE TEMP TABLE t (); BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE",
    database: "postgres",
  },
  "its password, in a savepoint that is open": {
    ...readonly,
    sql: "BEGIN; SAVEPOINT a; ALTER ROLE CURRENT_USER PASSWORD 'x'",
  },
  "a table of its own, locked": {
    ...admin,
    sql: "SET ROLE NONE; CREATE TABLE example.locked (); BEGIN; LOCK TABLE example.locked IN ACCESS EXCLUSIVE MODE",
  },
  "a table of its own, unfinished": {
    ...admin,
    sql: "SET ROLE NONE; BEGIN; CREATE TABLE example.unfinished ()",
  },
  "a function of its own, replaced": {
    ...admin,
    sql: "SET ROLE NONE; CREATE FUNCTION example.f() RETURNS int RETURN 1; BEGIN; CREATE OR REPLACE FUNCTION example.f() RETURNS int RETURN 2",
  },
  "its schema, changed": {
    ...admin,
    sql: "BEGIN; GRANT USAGE ON SCHEMA example TO PUBLIC; COMMENT ON SCHEMA example IS 'x'",
  },
  "all tables of its schema, granted": {
    ...admin,
    sql: "BEGIN; GRANT SELECT ON ALL TABLES IN SCHEMA example TO PUBLIC",
  },
};

/** By whom somebody else's role can be held, so that PostgreSQL can't drop it. `victim` stands for its name, quoted. */
const IN_THE_WAY: Readonly<Record<string, Held>> = {
  "a large object that is granted to it": {
    ...readonly,
    sql: "SELECT lo_create(4711); BEGIN; GRANT SELECT ON LARGE OBJECT 4711 TO victim",
  },
  "the same in another database": {
    ...readonly,
    sql: "SELECT lo_create(4712); BEGIN; GRANT SELECT ON LARGE OBJECT 4712 TO victim",
    database: "postgres",
  },
  "default privileges for it": {
    ...readonly,
    sql: "BEGIN; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO victim",
  },
  "a table that is granted to it": {
    ...admin,
    sql: "CREATE TABLE example.granted (); BEGIN; GRANT SELECT ON example.granted TO victim",
  },
  "a policy for it": {
    ...admin,
    sql: "CREATE TABLE example.guarded (); BEGIN; CREATE POLICY p ON example.guarded TO victim USING (true)",
  },
  "its schema, granted to it": { ...admin, sql: "BEGIN; GRANT USAGE ON SCHEMA example TO victim" },
};

/** As the role with which its session starts, and as the login itself. */
function inBothRoles([what, held]: [string, Held]): [string, Held][] {
  if (held.sql.startsWith("SET ROLE")) return [[what, held]];
  return [
    [what, held],
    [`${what}, as itself`, { ...held, sql: `SET ROLE NONE; ${held.sql}` }],
  ];
}

describe.each(WAYS)("on PostgreSQL %i, by %s", (postgresMajor, leases) => {
  let deployment: Deployment;
  let open: { close(): Promise<void> }[] = [];

  beforeAll(async () => {
    deployment = await Deployment.start({ config: { ...attacked, leases }, postgresMajor });
    await deployment.superuser.query("SET search_path = pg_catalog, pg_temp");
  });

  afterEach(async () => {
    await Promise.all(open.map((login) => login.close()));
    open = [];
    // What a test that failed has left, so that it fails alone.
    await deployment.superuser.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'v-%' OR usename LIKE '%\\_login'`,
    );
  });

  afterAll(() => deployment.stop());

  const leased = async (role: string): Promise<Lease> => {
    const login = await lease(deployment, role);
    open.push(login);
    return login;
  };

  test.each(Object.entries(HELD).flatMap(inBothRoles))(
    "a revocation ends a login that holds %s",
    async (_, held) => {
      const login = await leased(held.role);
      await login.open(held.sql, held);
      // Of its own group, whose row it can hold too.
      await expectOthersCanLease(deployment, held.role);
      expect(await login.revoke()).toBe(204);
      expect(await expectEnded(deployment, login)).toBe(true);
    },
  );

  test("a revocation ends a login whose six clients change its password and reconnect as they are ended", async () => {
    const login = await leased("readonly_role");
    let connected = 0;
    const attack = async () => {
      for (let refusals = 0; refusals < 3;) {
        try {
          const { ended } = await login.open("SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'", {
            isEndless: true,
          });
          connected += 1;
          await ended;
        } catch (error) {
          if (/28P01|28000/.test((error as { code?: string }).code ?? "")) refusals += 1;
        }
      }
    };
    const clients = Array.from({ length: 6 }, attack);
    while (connected < 6) await new Promise(setImmediate);
    expect(await login.revoke()).toBe(204);
    await Promise.all(clients);
    expect(await expectEnded(deployment, login)).toBe(true);
    await expectOthersCanLease(deployment);
  });

  test("while a login that holds its own row is revoked, others lease", async () => {
    const login = await leased("readonly_role");
    await login.open("SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'");
    const [revoked] = await Promise.all([login.revoke(), expectOthersCanLease(deployment)]);
    expect(revoked).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(true);
  });

  test("a client that does not read what it asked for is ended", async () => {
    const login = await leased("readonly_role");
    const { client } = await login.connect();
    const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    client.connection.stream.pause();
    client.query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)").catch(() => undefined);
    await untilWaits(rows[0]!.pid, "ClientWrite");
    expect(await login.revoke()).toBe(204);
    expect(
      (await deployment.superuser.query("SELECT FROM pg_stat_activity WHERE pid = $1", [rows[0]!.pid]))
        .rowCount,
    ).toBe(0);
    client.connection.stream.destroy();
    login.sessions.length = 0;
    expect(await expectEnded(deployment, login)).toBe(true);
  });

  test("a renewal answers while its login holds its own row, and others lease", async () => {
    const login = await leased("readonly_role");
    await login.open("SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'");
    const [renewed] = await Promise.all([login.renew(), expectOthersCanLease(deployment)]);
    expect(renewed).not.toBe("no answer");
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(true);
  });

  test.each(["report", "keeper"])(
    "a rotation answers while its login %s holds its own row, and others lease",
    async (name) => {
      const login = await staticLogin(deployment, name);
      open.push(login);
      await login.open("SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'");
      const rotate = () => ask(deployment, "POST", `database/rotate-role/${name}`);
      const [rotated] = await Promise.all([rotate(), expectOthersCanLease(deployment)]);
      expect(rotated).not.toBe("no answer");
      await login.close();
      // OpenBao and Vault try a rotation that failed again by themselves, with the password that they kept for it.
      expect(await rotate()).toBe(204);
      const next = await staticLogin(deployment, name);
      expect(await next.refusal()).toBe("logged in");
      expect(await login.refusal()).toBe("28P01");
    },
  );

  test.each(Object.entries(IN_THE_WAY).flatMap(inBothRoles))(
    "a revocation ends a login whose role another holds by %s",
    async (_, held) => {
      const [victim, attacker] = [await leased("readwrite_role"), await leased(held.role)];
      await victim.connect();
      await attacker.open(held.sql.replaceAll("victim", `"${victim.user}"`), held);
      expect(await victim.revoke()).toBe(204);
      await expectEnded(deployment, victim);
      expect(await attacker.revoke()).toBe(204);
      expect(await expectEnded(deployment, attacker)).toBe(true);
      await expectOthersCanLease(deployment);
    },
  );

  function untilWaits(pid: number, event: string): Promise<void> {
    const sql = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = $2";
    return eventually(
      async () => (await deployment.superuser.query(sql, [pid, event])).rowCount === 1,
      10_000,
      () => `the session ${String(pid)} does not wait for ${event}`,
    );
  }
});

describe.each(WAYS)("on PostgreSQL %i, by %s, with prepared transactions", (postgresMajor, leases) => {
  let deployment: Deployment;

  beforeAll(async () => {
    const postgresSettings = { max_prepared_transactions: "5" };
    deployment = await Deployment.start({ config: { ...attacked, leases }, postgresMajor, postgresSettings });
  });

  afterAll(() => deployment.stop());

  test("one that holds the login's own row leaves it no access, and others theirs", async () => {
    const login = await lease(deployment, "readonly_role");
    await login.open(
      "SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'; PREPARE TRANSACTION 'held'",
    );
    const answer = await login.revoke();
    // Nobody but its maker, or a superuser, can end it; what is done without that is said.
    expect(answer).not.toBe("no answer");
    for (const { ended } of login.sessions) expect(await ended).toBe("57P01");
    expect(["28P01", "28000", "42501"]).toContain(await login.refusal());
    const { rows } = await deployment.superuser.query(
      "SELECT FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = $1)",
      [login.user],
    );
    expect(rows).toEqual([]);
    await expectOthersCanLease(deployment);
    expect(await sweep(deployment)).toEqual({ dropped: [login.user], kept: [] });
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(true);
    expect((await deployment.superuser.query("SELECT FROM pg_prepared_xacts")).rowCount).toBe(0);
  });

  test("so does one that it prepared as its group, whose it then is", async () => {
    const login = await lease(deployment, "readonly_role");
    await login.open(
      "SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'; SET ROLE readonly_role; PREPARE TRANSACTION 'lent'",
    );
    await login.revoke();
    expect(["28P01", "28000", "42501"]).toContain(await login.refusal());
    expect(await sweep(deployment)).toEqual({ dropped: [login.user], kept: [] });
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(true);
    expect((await deployment.superuser.query("SELECT FROM pg_prepared_xacts")).rowCount).toBe(0);
  });

  test("one that names another's role does not keep that", async () => {
    const [login, victim] = [
      await lease(deployment, "readonly_role"),
      await lease(deployment, "readwrite_role"),
    ];
    await login.open(
      `SELECT lo_create(4711); BEGIN; GRANT SELECT ON LARGE OBJECT 4711 TO "${victim.user}"; PREPARE TRANSACTION 'named'`,
    );
    expect(await victim.revoke()).toBe(204);
    expect(await expectEnded(deployment, victim)).toBe(false);
    // The group owns it, as whom the session acts, and it is found by the lock.
    const { rows } = await deployment.superuser.query<{ comment: string }>(
      "SELECT shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = $1",
      [victim.user],
    );
    expect(rows[0]!.comment).toContain("not dropped (55006)");
    expect(await sweep(deployment)).toEqual({ dropped: [victim.user], kept: [] });
    expect((await deployment.superuser.query("SELECT FROM pg_prepared_xacts")).rowCount).toBe(0);
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(true);
  });

  test("one that its group owns and that holds nothing of a login is the group's, whose next login ends it", async () => {
    const login = await lease(deployment, "readwrite_role");
    await login.open(
      "BEGIN; LOCK TABLE pg_catalog.pg_class IN ACCESS SHARE MODE; PREPARE TRANSACTION 'left'",
    );
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(true);
    const next = await lease(deployment, "readwrite_role");
    await next.open("ROLLBACK PREPARED 'left'");
    expect((await deployment.superuser.query("SELECT FROM pg_prepared_xacts")).rowCount).toBe(0);
    expect(await next.revoke()).toBe(204);
    await next.close();
  });

  test("verify finds what holds a login, what changed a role, and what is older than a lease", async () => {
    const verified = async (maxTtl: number) => {
      const { databases, ...rest } = deployment.manifest;
      const manifest = {
        ...rest,
        databases: databases.map((database) => ({
          ...database,
          personas: database.personas.map((persona) => ({
            ...persona,
            databaseRole: { ...persona.databaseRole, maxTtl },
          })),
        })),
      };
      const report = await deployment.verify({ manifest, selection: { only: ["leased-logins"] } });
      return resultsOf(report).find(({ result }) => result.id === "leased-logins")!.result.findings;
    };
    const [login, victim] = [
      await lease(deployment, "readonly_role"),
      await lease(deployment, "readwrite_role"),
    ];
    await login.open(
      "BEGIN; LOCK TABLE pg_catalog.pg_class IN ACCESS SHARE MODE; PREPARE TRANSACTION 'left'",
    );
    await deployment.superuser.query(
      "BEGIN; ALTER ROLE example_owner VALID UNTIL 'infinity'; PREPARE TRANSACTION 'dba'",
    );
    expect(await verified(3600)).toEqual([]);
    await login.open(
      `SELECT lo_create(4711); BEGIN; GRANT SELECT ON LARGE OBJECT 4711 TO "${victim.user}"; PREPARE TRANSACTION 'named'`,
      { database: "postgres" },
    );
    await login.open(
      "SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'; SET ROLE readonly_role; PREPARE TRANSACTION 'it''s lent'",
    );
    await victim.open(
      "SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'; PREPARE TRANSACTION 'own'",
    );
    const lent = `the prepared transaction 'it''s lent' in nanvc, of readonly_role, has changed a role, such as its own login: ROLLBACK PREPARED 'it''s lent' in that database ends it`;
    const own = `the prepared transaction 'own' in nanvc, of ${victim.user}, has changed a role, such as its own login: ROLLBACK PREPARED 'own' in that database ends it`;
    const named = `the prepared transaction 'named' in postgres, of readonly_role, holds the leased login ${victim.user}: ROLLBACK PREPARED 'named' in that database ends it`;
    const left =
      "the prepared transaction 'left' in nanvc, of readonly_role, is older than any lease can be: ROLLBACK PREPARED 'left' in that database ends it";
    expect(await verified(3600)).toEqual([lent, own, named]);
    expect(await verified(0)).toEqual([lent, left, own, named]);
    for (const gid of ["left", "dba", "own", "it''s lent"])
      await deployment.superuser.query(`ROLLBACK PREPARED '${gid}'`);
    await query(deployment.sandbox.postgres, "ROLLBACK PREPARED 'named'", { database: "postgres" });
    expect(await verified(0)).toEqual([]);
    expect([await login.revoke(), await victim.revoke()]).toEqual([204, 204]);
    for (const ended of [login, victim]) await expectEnded(deployment, ended);
    await sweep(deployment);
  });

  test("one that holds a table ends with the next deploy", async () => {
    await deployment.superuser.query(
      "SET ROLE example_owner; CREATE TABLE example.kept (); RESET ROLE; SET lock_timeout = '5s'",
    );
    const login = await lease(deployment, "readwrite_role");
    await login.open(
      "SET ROLE NONE; BEGIN; LOCK TABLE example.kept IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'kept'",
    );
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(false);
    expect(await sweep(deployment)).toEqual({ dropped: [login.user], kept: [] });
    expect((await deployment.superuser.query("TABLE example.kept")).rowCount).toBe(0);
  });
});
