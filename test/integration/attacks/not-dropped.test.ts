import { Deployment, findings } from "../../support/deployment";
import { attacked } from "./environment";
import { expectEnded, expectOthersCanLease, lease, WAYS, sweep } from "./support";

/** What can't be handed over at a revocation: it ends all the same, and a deploy sees to the rest. */
describe.each(WAYS)("on PostgreSQL %i, by %s", (postgresMajor, leases) => {
  let deployment: Deployment;

  beforeAll(async () => {
    // Few locks, so that few tables take them all.
    const postgresSettings = { max_locks_per_transaction: "10", max_connections: "20" };
    deployment = await Deployment.start({ config: { ...attacked, leases }, postgresMajor, postgresSettings });
    await deployment.superuser.query("SET search_path = pg_catalog, pg_temp");
  });

  afterAll(() => deployment.stop());

  const owners = async (schema: string) => {
    const { rows } = await deployment.superuser.query<{ owner: string; count: number }>(
      `SELECT pg_get_userbyid(relowner) AS owner, count(*)::int4 AS count FROM pg_class
       WHERE relnamespace = to_regnamespace($1) AND relkind = 'r' GROUP BY 1
       UNION ALL SELECT pg_get_userbyid(proowner), count(*)::int4 FROM pg_proc
       WHERE pronamespace = to_regnamespace($1) GROUP BY 1`,
      [schema],
    );
    return Object.fromEntries(rows.map(({ owner, count }) => [owner, count]));
  };

  test("more tables than the server has room for locks", async () => {
    const login = await lease(deployment, "schema_admin_role");
    const { client } = await login.connect();
    await client.query("SET ROLE NONE; SET client_min_messages = error");
    const TABLES = 4_000;
    for (let from = 0; from < TABLES; from += 50)
      await client.query(
        Array.from({ length: 50 }, (_, i) => `CREATE TABLE example.many_${String(from + i)} ()`).join("; "),
      );
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(false);
    await expectOthersCanLease(deployment);
    expect(await sweep(deployment)).toEqual({ dropped: [login.user], kept: [] });
    expect(await owners("example")).toEqual({ example_owner: TABLES });
  }, 180_000);

  test("a function in a schema where the owner may not CREATE", async () => {
    const login = await lease(deployment, "schema_admin_role");
    await login.open(`
      CREATE SCHEMA mine;
      GRANT USAGE, CREATE ON SCHEMA mine TO schema_admin_role;
      REVOKE CREATE ON SCHEMA mine FROM example_owner;
      SET ROLE NONE;
      CREATE FUNCTION mine.f() RETURNS int LANGUAGE sql AS 'SELECT 1'`);
    expect(await login.revoke()).toBe(204);
    // A superuser, as whom the functions hand over, needs nobody's leave.
    const isGone = leases === "functions";
    expect(await expectEnded(deployment, login)).toBe(isGone);
    await expectOthersCanLease(deployment);
    expect(await sweep(deployment)).toEqual({ dropped: isGone ? [] : [login.user], kept: [] });
    expect(await owners("mine")).toEqual({ example_owner: 1 });
  });

  test("two procedures that one name fits both", async () => {
    const login = await lease(deployment, "schema_admin_role");
    await login.open(`
      SET ROLE NONE;
      CREATE PROCEDURE example.fits(IN a int, OUT b int) LANGUAGE plpgsql AS 'BEGIN b := 1; END';
      CREATE PROCEDURE example.fits(OUT a int) LANGUAGE plpgsql AS 'BEGIN a := 1; END'`);
    await login.open("SET ROLE NONE; SELECT lo_create(0)", { database: "postgres" });
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(false);
    expect(await sweep(deployment)).toEqual({ dropped: [login.user], kept: [] });
  });

  test("privileges on each column of many tables, which take long to hand over", async () => {
    const login = await lease(deployment, "maker_role");
    const { client } = await login.connect();
    const [TABLES, COLUMNS] = [300, 1_500];
    const columns = Array.from({ length: COLUMNS }, (_, i) => `c${String(i)}`);
    await client.query("SET ROLE NONE; SET client_min_messages = error");
    for (let i = 0; i < TABLES; i += 1)
      await client.query(
        `CREATE TABLE example.wide_${String(i)} (${columns.join(" int, ")} int);
         GRANT SELECT (${columns.join(", ")}) ON example.wide_${String(i)} TO CURRENT_USER`,
      );
    expect(await login.revoke()).toBe(204);
    // As a superuser it can be over within the time that it is given.
    const isGone = await expectEnded(deployment, login);
    if (leases === "createrole") expect(isGone).toBe(false);
    await expectOthersCanLease(deployment);
    expect(await sweep(deployment)).toEqual({ dropped: isGone ? [] : [login.user], kept: [] });
  }, 300_000);

  test("a table that another session has locked", async () => {
    const login = await lease(deployment, "schema_admin_role");
    await login.open("SET ROLE NONE; CREATE TABLE example.locked ()");
    await deployment.superuser.query("BEGIN; LOCK TABLE example.locked IN ACCESS SHARE MODE");
    expect(await login.revoke()).toBe(204);
    await deployment.superuser.query("COMMIT");
    expect(await expectEnded(deployment, login)).toBe(false);
    expect(await sweep(deployment)).toEqual({ dropped: [login.user], kept: [] });
  });

  test("an event trigger that raises for Vault's login", async () => {
    const [idle, maker] = [
      await lease(deployment, "readonly_role"),
      await lease(deployment, "schema_admin_role"),
    ];
    await maker.open("SET ROLE NONE; CREATE TABLE example.made ()");
    await deployment.superuser.query(`
      CREATE FUNCTION public.guard() RETURNS event_trigger LANGUAGE plpgsql AS
        'BEGIN IF session_user = ''vault'' THEN RAISE ''not here''; END IF; END';
      CREATE EVENT TRIGGER guard ON ddl_command_start EXECUTE FUNCTION public.guard()`);
    try {
      expect([await idle.revoke(), await maker.revoke()]).toEqual([204, 204]);
      // What owns nothing needs none of the statements that fire it.
      expect([await expectEnded(deployment, idle), await expectEnded(deployment, maker)]).toEqual([
        true,
        false,
      ]);
      expect(await sweep(deployment)).toEqual({ dropped: [maker.user], kept: [] });
    } finally {
      await deployment.superuser.query("DROP EVENT TRIGGER guard; DROP FUNCTION public.guard()");
    }
  });

  /** While all that a statement does waits for ten minutes at its end. */
  async function whileSlow(event: string, work: () => Promise<void>): Promise<void> {
    await deployment.superuser.query(`
      CREATE FUNCTION public.slow() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_catalog.pg_sleep(600); END';
      CREATE EVENT TRIGGER slow ON ${event} EXECUTE FUNCTION public.slow()`);
    try {
      await work();
    } finally {
      await deployment.superuser.query("DROP EVENT TRIGGER slow; DROP FUNCTION public.slow()");
    }
  }

  test("an event trigger on ddl_command_end that takes ten minutes", async () => {
    const [first, second] = [
      await lease(deployment, "schema_admin_role"),
      await lease(deployment, "schema_admin_role"),
    ];
    for (const each of [first, second]) await each.open("SET ROLE NONE; SELECT lo_create(0)");
    await whileSlow("ddl_command_end", async () => {
      expect([await first.revoke(), await second.revoke()]).toEqual([204, 204]);
      for (const ended of [first, second]) expect(await expectEnded(deployment, ended)).toBe(false);
      await expectOthersCanLease(deployment);
      const report = await deployment.verify({ readOnly: true, selection: { only: ["leased-logins"] } });
      for (const { user } of [first, second])
        expect(findings(report).join()).toContain(
          `${user} is what a revocation could not drop and is closed (revoked, not dropped (57014); heir example_owner)`,
        );
      const [waited, untried] = [first.user, second.user].sort();
      expect(await sweep(deployment)).toEqual({
        dropped: [],
        kept: [
          expect.stringMatching(`^${waited!}: .* \\(57014\\): canceling statement due to statement timeout$`),
          `${untried!}: not tried, since handing over what ${waited!} owns took too long`,
        ],
      });
    });
    expect(await sweep(deployment)).toEqual({ dropped: [first.user, second.user].sort(), kept: [] });
  }, 180_000);

  test("an event trigger on sql_drop that takes ten minutes", async () => {
    const login = await lease(deployment, "schema_admin_role");
    await login.open("SET ROLE NONE; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC");
    await whileSlow("sql_drop", async () => {
      expect(await login.revoke()).toBe(204);
      expect(await expectEnded(deployment, login)).toBe(false);
      await expectOthersCanLease(deployment);
    });
    expect(await sweep(deployment)).toEqual({ dropped: [login.user], kept: [] });
  });
});
