import { Deployment } from "../../support/deployment";
import { attacked } from "./environment";
import { checkOwners } from "../../../ops/docker/preflight";
import { dropLogins, emptyGroups } from "../../../ops/postgres/leased-logins";
import { attempt, expectEnded, forCommands, lease, staticLogin, WAYS } from "./support";

/** What a persona leaves behind runs, and is read, with its own rights and no other. */
describe.each(WAYS)("on PostgreSQL %i, by %s", (postgresMajor, leases) => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await Deployment.start({ config: { ...attacked, leases }, postgresMajor });
    await deployment.superuser.query(`
      SET search_path = pg_catalog, pg_temp;
      SET ROLE example_owner;
      CREATE TABLE example.salaries (amount int);
      INSERT INTO example.salaries VALUES (1);
      RESET ROLE`);
  });

  afterAll(() => deployment.stop());

  const owner = async (catalog: string, prefix: string, name: string) => {
    const { rows } = await deployment.superuser.query<{ owner: string }>(
      `SELECT pg_get_userbyid(${prefix}owner) AS owner FROM ${catalog} WHERE ${prefix}name = $1`,
      [name],
    );
    return rows.map((row) => row.owner);
  };

  test("what one with CREATE that does not act as the owner makes belongs to its group, and has no more rights than that", async () => {
    const login = await lease(deployment, "maker_role");
    const { client } = await login.connect();
    await client.query(`
      CREATE FUNCTION example.who() RETURNS name LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user';
      CREATE FUNCTION example.pay() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN (SELECT count(*) FROM example.salaries); END';
      CREATE VIEW example.peek AS SELECT * FROM example.salaries;
      CREATE TABLE example.notes (note text);
      GRANT EXECUTE ON FUNCTION example.who(), example.pay() TO readonly_role;
      GRANT SELECT ON example.peek TO readonly_role`);
    expect(await attempt(client, "TABLE example.peek")).toBe("42501");
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(true);

    expect([
      await owner("pg_proc", "pro", "who"),
      await owner("pg_proc", "pro", "pay"),
      await owner("pg_class", "rel", "peek"),
      await owner("pg_class", "rel", "notes"),
    ]).toEqual([["maker_role"], ["maker_role"], ["maker_role"], ["maker_role"]]);
    const reader = await lease(deployment, "readonly_role");
    const { client: reading } = await reader.connect();
    const as = (await reading.query<{ who: string }>("SELECT example.who()")).rows;
    expect(as).toEqual([{ who: "maker_role" }]);
    expect([
      await attempt(reading, "SELECT example.pay()"),
      await attempt(reading, "TABLE example.peek"),
    ]).toEqual(["42501", "42501"]);
    expect(await reader.revoke()).toBe(204);
  });

  test("what it makes as itself is handed over to the group, with no more rights than that", async () => {
    const login = await lease(deployment, "maker_role");
    await login.open(`
      SET ROLE NONE;
      CREATE FUNCTION example.alone() RETURNS name LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user';
      GRANT EXECUTE ON FUNCTION example.alone() TO readonly_role`);
    expect(await owner("pg_proc", "pro", "alone")).toEqual([login.user]);
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(true);
    const reader = await lease(deployment, "readonly_role");
    const { client } = await reader.connect();
    expect((await client.query("SELECT example.alone()")).rows).toEqual([{ alone: "maker_role" }]);
    expect(await reader.revoke()).toBe(204);
  });

  test("a login of the persona uses what another made, while that lives and afterwards", async () => {
    const [one, next] = [await lease(deployment, "maker_role"), await lease(deployment, "maker_role")];
    await one.open("CREATE TABLE example.shared (note text)");
    const { client } = await next.connect();
    const use = async (column: string) => [
      await attempt(client, "INSERT INTO example.shared VALUES ('kept')"),
      await attempt(client, `ALTER TABLE example.shared ADD COLUMN ${column} text`),
    ];
    expect(await use("meanwhile")).toEqual(["allowed", "allowed"]);
    expect(await one.revoke()).toBe(204);
    expect(await expectEnded(deployment, one)).toBe(true);
    expect(await use("afterwards")).toEqual(["allowed", "allowed"]);
    expect(await next.revoke()).toBe(204);
    await next.close();
  });

  test("a large object that one login of a persona makes is there for the next", async () => {
    const one = await lease(deployment, "readwrite_role");
    await one.open(`
      SELECT lo_from_bytea(4701, 'made by the group');
      SET ROLE NONE;
      SELECT lo_from_bytea(4702, 'made by the login')`);
    const [next, other] = [
      await lease(deployment, "readwrite_role"),
      await lease(deployment, "readonly_role"),
    ];
    const { client } = await next.connect();
    expect(await attempt(client, "SELECT lo_put(4701, 0, 'used')")).toBe("allowed");
    expect(await one.revoke()).toBe(204);
    expect(await expectEnded(deployment, one)).toBe(true);
    for (const id of ["4701", "4702"]) {
      expect(await attempt(client, `SELECT lo_get(${id})`)).toBe("allowed");
      expect(await attempt((await other.connect()).client, `SELECT lo_get(${id})`)).toBe("42501");
    }
    expect([await next.revoke(), await other.revoke()]).toEqual([204, 204]);
  });

  test("what one that acts as the owner makes is the owner's, as itself too", async () => {
    const login = await lease(deployment, "schema_admin_role");
    await login.open("CREATE TABLE example.acting (); SET ROLE NONE; CREATE TABLE example.being ()");
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(true);
    expect([await owner("pg_class", "rel", "acting"), await owner("pg_class", "rel", "being")]).toEqual([
      ["example_owner"],
      ["example_owner"],
    ]);
  });

  test("so is what its login that stays makes; another persona's is the group's", async () => {
    const stays = await staticLogin(deployment, "keeper");
    await stays.open("CREATE TABLE example.staying ()");
    expect(await owner("pg_class", "rel", "staying")).toEqual(["example_owner"]);
    const report = await staticLogin(deployment, "report");
    await report.open("SELECT lo_create(4703)");
    const { rows } = await deployment.superuser.query(
      "SELECT pg_get_userbyid(lomowner) AS owner FROM pg_largeobject_metadata WHERE oid = 4703",
    );
    expect(rows).toEqual([{ owner: "readonly_role" }]);
    await Promise.all([stays.close(), report.close()]);
  });

  test("an owner that is a superuser is refused before a deploy changes anything", async () => {
    await checkOwners(forCommands(deployment));
    await deployment.superuser.query("ALTER ROLE example_owner SUPERUSER");
    await expect(checkOwners(forCommands(deployment))).rejects.toThrow(
      "the owner example_owner of the database nanvc is a superuser, to whom no persona's objects can be given: name another owner in the config",
    );
    await deployment.superuser.query("ALTER ROLE example_owner NOSUPERUSER");
  });

  /** Last, since the group has nothing afterwards. */
  test("what a persona that is no longer declared leaves has no more rights than before, in the owner's hands neither", async () => {
    const maker = await lease(deployment, "maker_role");
    // As ANALYZE does, autovacuum's too, and REFRESH: with the rights of the table's owner.
    const grab = (volatility: string, body: string) =>
      `RETURNS int ${volatility} LANGUAGE plpgsql AS $$ BEGIN ${body} RETURN 1; END $$`;
    await maker.open(`
      SET ROLE maker_role;
      CREATE TABLE example.inbox (x int);
      CREATE RULE more AS ON INSERT TO example.inbox DO ALSO DELETE FROM example.salaries;
      GRANT INSERT ON example.inbox TO readonly_role;
      CREATE FUNCTION example.grab() ${grab(
        "VOLATILE",
        "IF current_user = 'example_owner' THEN GRANT DELETE ON example.salaries TO readonly_role; END IF;",
      )};
      CREATE FUNCTION example.calm(int) ${grab("IMMUTABLE", "PERFORM example.grab();")};
      CREATE TABLE example.indexed (x int, y int);
      INSERT INTO example.indexed VALUES (1, 1), (2, 2);
      CREATE INDEX ON example.indexed (example.calm(x));
      CREATE STATISTICS example.counted ON (example.calm(x)), y FROM example.indexed;
      ALTER TABLE example.indexed ADD EXCLUDE USING btree ((example.calm(x) + x) WITH =);
      CREATE MATERIALIZED VIEW example.seen AS SELECT example.grab()`);
    if (postgresMajor >= 17)
      await maker.open("SET ROLE maker_role; GRANT MAINTAIN ON example.seen TO PUBLIC");
    const [commands, database] = [forCommands(deployment), deployment.manifest.databases[0]!];
    expect(await dropLogins(commands, database, ["maker_role"])).toEqual([maker.user]);
    expect(await emptyGroups(commands, database, ["maker_role"])).toEqual(["maker_role"]);
    expect(await owner("pg_class", "rel", "seen")).toEqual(["example_owner"]);

    const reader = await lease(deployment, "readonly_role");
    const { client } = await reader.connect();
    expect(await attempt(client, "INSERT INTO example.inbox VALUES (1)")).toBe("allowed");
    expect(await attempt(client, "REFRESH MATERIALIZED VIEW example.seen")).toBe("42501");
    await deployment.superuser.query("ANALYZE example.indexed");
    expect(await attempt(client, "DELETE FROM example.salaries")).toBe("42501");
    const { rows } = await deployment.superuser.query("TABLE example.salaries");
    expect(rows).toEqual([{ amount: 1 }]);
    expect(await reader.revoke()).toBe(204);
    await reader.close();
  });
});
