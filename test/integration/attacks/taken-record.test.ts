import type { Client } from "pg";
import { recordOwners } from "../../../ops/postgres/former-owners";
import { givePublicBack, givePublicKept, recordPublic } from "../../../ops/postgres/public-privileges";
import { changeRecord, emptyRecord, readRecord } from "../../../ops/postgres/record";
import { Deployment } from "../../support/deployment";
import existing from "../../environments/existing";
import { beforeOf } from "../../environments/load";
import { forCommands, MAJORS } from "./support";

/** Where deploy records what it takes: whoever could write there could have a destroy give anything to anybody. */
const environment = { ...process.env };
const TAKING = {
  ...existing,
  databases: existing.databases.map((database) => ({
    ...database,
    public: "take" as const,
    workload: undefined,
    // Nobody acts as the owner, who does not own what another creates.
    personas: database.personas.filter(({ actsAsOwner }) => !actsAsOwner),
    schemas: database.schemas!.map((schema) => ({ ...schema, creators: ["nightly"] })),
  })),
};

describe.each(MAJORS)("on PostgreSQL %i", (postgresMajor) => {
  let deployment: Deployment;
  let commands: ReturnType<typeof forCommands>;

  beforeAll(async () => {
    deployment = await Deployment.start({ config: TAKING, postgresMajor, apply: false });
    await deployment.superuser.query(beforeOf("existing")!);
    commands = forCommands(deployment);
  });

  afterAll(async () => {
    await deployment.stop();
    process.env = { ...environment };
  });

  const sql = (text: string) => deployment.superuser.query(text);
  const login = () => commands.superusers()[0]!;
  const isThere = async () => {
    const { rows } = await sql(
      "SELECT to_regnamespace('leasehold') IS NOT NULL AS schema, to_regclass('leasehold.taken') IS NOT NULL AS table",
    );
    return rows[0] as { schema: boolean; table: boolean };
  };
  const record = () => readRecord(commands, login());
  const close = (name: string) =>
    changeRecord(commands, login(), (before) => ({ ...before, closed: [...before.closed, name] }));

  test("what PUBLIC has is on record before it is taken, once: a later deploy does not write over it", async () => {
    await recordPublic(commands);
    const first = await record();
    expect(first.public["app"]).toMatchObject({ database: ["CONNECT", "TEMPORARY"] });
    expect(first.public["app"]!.functions).toContain("billing.total()");
    await sql(
      "REVOKE CONNECT, TEMPORARY ON DATABASE app FROM PUBLIC; REVOKE EXECUTE ON FUNCTION billing.total() FROM PUBLIC",
    );
    await recordPublic(commands);
    expect(await record()).toEqual(first);
    await sql(
      "UPDATE leasehold.taken SET record = jsonb_set(record, '{public,app,functions,1}', '\"billing.gone()\"')",
    );
    expect(await givePublicBack(commands, [])).toEqual({
      did: ["gave PUBLIC back what it had in the database app: CONNECT, TEMPORARY; EXECUTE on 1 routine"],
      left: [],
    });
    await emptyRecord(commands);
    expect(await isThere()).toEqual({ schema: false, table: false });
  });

  test("what the config lets PUBLIC have again is given back once, and the rest stays on record", async () => {
    await recordPublic(commands);
    await sql(
      "REVOKE CONNECT, TEMPORARY ON DATABASE app FROM PUBLIC; REVOKE EXECUTE ON FUNCTION billing.total() FROM PUBLIC",
    );
    const may = (kept: object) => {
      const later = forCommands(deployment);
      later.manifest.databases.forEach((database) => Object.assign(database, { public: kept }));
      return givePublicKept(later);
    };
    const connect = { database: ["CONNECT"] };
    expect(await may(connect)).toEqual(["gave PUBLIC back what it had in the database app: CONNECT"]);
    expect((await record()).public["app"]).toMatchObject({ database: ["TEMPORARY"] });
    await sql("REVOKE CONNECT ON DATABASE app FROM PUBLIC");
    expect(await may(connect)).toEqual([]);
    await sql("GRANT CONNECT ON DATABASE app TO PUBLIC");
    await recordPublic(commands);
    expect((await record()).public["app"]!.database!.toSorted()).toEqual(["CONNECT", "TEMPORARY"]);
    await sql("REVOKE CONNECT ON DATABASE app FROM PUBLIC");
    expect(await may(connect)).toEqual(["gave PUBLIC back what it had in the database app: CONNECT"]);
    expect(await may({ database: ["CONNECT", "TEMPORARY"], functions: ["EXECUTE"] })).toEqual([
      "gave PUBLIC back what it had in the database app: TEMPORARY; EXECUTE on 1 routine",
    ]);
    const { rows } = await sql(
      "SELECT has_function_privilege('public', 'billing.total()', 'EXECUTE') AS may",
    );
    expect(rows).toEqual([{ may: true }]);
    expect(await isThere()).toEqual({ schema: false, table: false });
  });

  test("so are roles whose later functions PUBLIC could execute, and they get it back; those of others stay taken", async () => {
    await sql("ALTER DEFAULT PRIVILEGES FOR ROLE nightly REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC");
    await recordPublic(commands);
    const { makers } = (await record()).public["app"]!;
    expect(makers).not.toContain("nightly");
    expect(makers.length).toBeGreaterThan(0);
    const closed = async () => {
      const { rows } = await sql(
        `SELECT rolname FROM pg_roles r WHERE rolname = ANY (ARRAY['nightly', '${makers.join("', '")}']) AND NOT EXISTS (
           SELECT FROM aclexplode(coalesce(
             (SELECT defaclacl FROM pg_default_acl WHERE defaclrole = r.oid AND defaclnamespace = 0 AND defaclobjtype = 'f'),
             acldefault('f', r.oid)
           )) WHERE grantee = 0
         ) ORDER BY 1`,
      );
      return rows.map(({ rolname }: { rolname: string }) => rolname);
    };
    for (const maker of makers)
      await sql(`ALTER DEFAULT PRIVILEGES FOR ROLE ${maker} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC`);
    expect(await closed()).toEqual(["nightly", ...makers].sort());
    await givePublicBack(commands, []);
    expect(await closed()).toEqual(["nightly"]);
    await emptyRecord(commands);
    await sql("ALTER DEFAULT PRIVILEGES FOR ROLE nightly GRANT EXECUTE ON FUNCTIONS TO PUBLIC");
  });

  test("owners who were there before and that the config has so are on no record", async () => {
    await recordOwners(commands, []);
    expect(await isThere()).toEqual({ schema: false, table: false });
  });

  test("nobody else can read it, whatever the bootstrap login's default privileges say", async () => {
    await sql("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, nightly");
    await close("theirs");
    await sql("ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC, nightly");
    const { rows } = await sql(
      "SELECT grantee FROM pg_class, aclexplode(relacl) WHERE oid = 'leasehold.taken'::regclass AND grantee <> relowner",
    );
    expect(rows).toEqual([]);
  });

  test("another environment's stays, with the table", async () => {
    await sql(`INSERT INTO leasehold.taken VALUES ('other', '{"closed": ["postgres"]}')`);
    expect(await record()).toMatchObject({ closed: ["theirs"] });
    expect(await emptyRecord(commands)).toEqual(["app"]);
    expect(await record()).toMatchObject({ closed: [] });
    expect((await sql("SELECT environment FROM leasehold.taken")).rows).toEqual([{ environment: "other" }]);
    await sql("DROP SCHEMA leasehold CASCADE");
  });

  test("what else is in the schema stays, with it", async () => {
    await sql(
      "CREATE SCHEMA leasehold; CREATE FUNCTION leasehold.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    );
    await close("theirs");
    await emptyRecord(commands);
    expect(await isThere()).toEqual({ schema: true, table: false });
    await sql("DROP SCHEMA leasehold CASCADE");
  });

  test.each([
    ["a schema", "CREATE SCHEMA leasehold AUTHORIZATION nightly", "schema leasehold"],
    [
      "a table",
      "CREATE SCHEMA leasehold CREATE TABLE taken (environment text PRIMARY KEY, record jsonb); ALTER TABLE leasehold.taken OWNER TO nightly",
      "table leasehold.taken",
    ],
  ])(
    "%s that is somebody else's is refused, and nothing is read or written there",
    async (_, plant, what) => {
      await sql(plant);
      const line = `the ${what} in the database app belongs to nightly, and it is where deploy records what it takes, for destroy to give back: drop it or rename it, then run the command again`;
      await expect(record()).rejects.toThrow(line);
      await expect(close("theirs")).rejects.toThrow(line);
      await sql("DROP SCHEMA leasehold CASCADE");
    },
  );
});

describe.each(MAJORS)("on PostgreSQL %i, of a second server", (postgresMajor) => {
  let deployment: Deployment;
  let commands: ReturnType<typeof forCommands>;
  let history: Client;

  beforeAll(async () => {
    deployment = await Deployment.start({ env: "two-servers", postgresMajor, apply: false });
    commands = forCommands(deployment);
    history = await deployment.connect(deployment.manifest.databases[1]!);
    await history.query("CREATE ROLE shop_owner");
  });

  afterAll(async () => {
    await history.end();
    await deployment.stop();
    process.env = { ...environment };
  });

  const has = async () => {
    const { rows } = await history.query<{ has: boolean }>(
      `SELECT has_database_privilege('public', 'history', 'CONNECT') AS has
       UNION ALL
       SELECT NOT EXISTS (SELECT FROM pg_default_acl WHERE defaclrole = 'shop_owner'::regrole AND defaclobjtype = 'f')`,
    );
    return rows.map((row) => row.has);
  };

  test("what is taken there is on record there, and given back there", async () => {
    await recordPublic(commands);
    const [first, second] = await Promise.all(
      commands.superusers().map(async (login) => (await readRecord(commands, login)).public),
    );
    expect(Object.keys(first!)).toEqual(["orders"]);
    // On the first one the owner is still to be made.
    expect(first!["orders"]!.makers).toEqual([]);
    expect(second).toEqual({
      history: { database: ["CONNECT", "TEMPORARY"], functions: [], schemas: {}, makers: ["shop_owner"] },
    });
    await history.query("REVOKE CONNECT, TEMPORARY ON DATABASE history FROM PUBLIC");
    await history.query(
      "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    );
    expect(await has()).toEqual([false, false]);
    const { did, left } = await givePublicBack(commands, []);
    expect({ did, left }).toEqual({
      did: expect.arrayContaining([
        "gave PUBLIC back what it had in the database history: CONNECT, TEMPORARY",
      ]) as string[],
      left: [],
    });
    expect(await has()).toEqual([true, true]);
    expect(await emptyRecord(commands)).toEqual([]);
    for (const login of commands.superusers()) expect((await readRecord(commands, login)).public).toEqual({});
    expect((await history.query("SELECT to_regclass('leasehold.taken') AS found")).rows).toEqual([
      { found: null },
    ]);
  });
});
