import {
  closeOthers,
  findLockedOut,
  lockedOutText,
  reopenOthers,
} from "../../../ops/postgres/other-databases";
import { moveHomeRecord, readRecord } from "../../../ops/postgres/record";
import type { AccessManifest } from "../../../manifest/schema";
import { resultsOf } from "../../../verify/report/report";
import { Deployment } from "../../support/deployment";
import { query } from "../../support/hand-made";
import { attacked } from "./environment";
import { forCommands, lease, MAJORS } from "./support";

/** Databases of the server that the config does not name. */
describe.each(MAJORS)("on PostgreSQL %i", (postgresMajor) => {
  let deployment: Deployment;
  let kept: AccessManifest;

  beforeAll(async () => {
    const servers = attacked.servers.map((server) => ({ ...server, otherDatabases: "close" as const }));
    deployment = await Deployment.start({ config: { ...attacked, servers }, postgresMajor });
    const { manifest } = deployment;
    kept = {
      ...manifest,
      servers: manifest.servers.map((server) => ({ ...server, otherDatabases: "keep" as const })),
    };
    for (const sql of [
      "CREATE DATABASE theirs",
      "CREATE DATABASE shut",
      "REVOKE CONNECT ON DATABASE shut FROM PUBLIC",
      "CREATE ROLE reporting LOGIN PASSWORD 'x'",
      "CREATE ROLE billing LOGIN PASSWORD 'x'",
      "GRANT CONNECT ON DATABASE theirs, postgres, template1 TO billing",
      "CREATE ROLE owning LOGIN PASSWORD 'x'",
      "ALTER DATABASE theirs OWNER TO owning",
      "GRANT CONNECT ON DATABASE postgres, template1 TO owning",
      "CREATE ROLE boss LOGIN SUPERUSER",
    ])
      await deployment.superuser.query(sql);
    await inTheirs("GRANT CREATE ON SCHEMA public TO PUBLIC");
  });

  afterAll(() => deployment.stop());

  const inTheirs = (sql: string) => query(deployment.sandbox.postgres, sql, { database: "theirs" });

  const check = async (manifest: AccessManifest) => {
    const report = await deployment.verify({ manifest, selection: { only: ["closed-databases"] } });
    return resultsOf(report).find(({ result }) => result.id === "closed-databases")!.result;
  };

  /** What PUBLIC may connect to. */
  const open = async () => {
    const { rows } = await deployment.superuser.query<{ name: string }>(
      "SELECT datname AS name FROM pg_database WHERE datallowconn AND has_database_privilege('public', oid, 'CONNECT') ORDER BY 1",
    );
    return rows.map(({ name }) => name);
  };

  test("where they are kept, verify says what a leased login may do there, and is green", async () => {
    const { held, remarks } = await check(kept);
    expect(held).toBe(true);
    expect(remarks).toEqual([
      'a leased login may connect to 3 databases that the config does not name (postgres, template1, theirs) and make large objects and default privileges in each, temporary tables in postgres, theirs, objects in schemas (public of theirs); otherDatabases: "close" of the server ends it',
    ]);
  });

  test("what leased logins left there is shown", async () => {
    const login = await lease(deployment, "readonly_role");
    await login.open("SELECT lo_create(4711)", { database: "postgres" });
    await login.open("SET ROLE NONE; CREATE TABLE public.mine ()", { database: "theirs" });
    expect(await login.revoke()).toBe(204);
    expect((await check(kept)).remarks).toContainEqual(
      expect.stringContaining(`1 of readonly_role in postgres, 1 of ${login.user} in theirs`),
    );
    await query(deployment.sandbox.postgres, "SELECT lo_unlink(4711)", { database: "postgres" });
    await inTheirs("DROP TABLE public.mine");
  });

  test("closed, they take no leased login; who is locked out by it is known, and gets back what was taken", async () => {
    expect((await check(deployment.manifest)).findings).toEqual([
      "PUBLIC may connect to 3 databases that the config does not name (postgres, template1, theirs): npx leasehold deploy takes CONNECT there",
    ]);
    const commands = forCommands(deployment);
    expect((await findLockedOut(commands)).map(lockedOutText)).toEqual(
      ["postgres", "template1", "theirs"].map(
        (name) =>
          `reporting could no longer connect to the database ${name}; to keep it: GRANT CONNECT ON DATABASE "${name}" TO "reporting"`,
      ),
    );

    expect(await open()).toEqual(["postgres", "template1", "theirs"]);
    expect(await closeOthers(commands)).toHaveLength(3);
    expect(await open()).toEqual([]);
    expect(await closeOthers(commands)).toEqual([]);
    expect(await findLockedOut(commands)).toEqual([]);
    const login = await lease(deployment, "schema_admin_role");
    for (const database of ["postgres", "template1", "theirs"])
      expect([database, await login.refusal(database)]).toEqual([database, "42501"]);
    expect(await login.refusal()).toBe("logged in");
    expect(await login.revoke()).toBe(204);
    expect(await check(deployment.manifest)).toMatchObject({ held: true, remarks: [] });

    // One that is made later.
    await deployment.superuser.query("CREATE DATABASE later");
    expect((await check(deployment.manifest)).findings).toEqual([
      "PUBLIC may connect to 1 database that the config does not name (later): npx leasehold deploy takes CONNECT there",
    ]);
    expect(await closeOthers(commands)).toEqual([
      "took CONNECT on the database later, which the config does not name, from PUBLIC",
    ]);

    await deployment.superuser.query("DROP DATABASE later");
    expect(await reopenOthers(commands, { all: true })).toHaveLength(3);
    expect(await open()).toEqual(["postgres", "template1", "theirs"]);
    expect(await reopenOthers(commands, { all: true })).toEqual([]);
  });

  test("what others than the owner granted PUBLIC is taken as well", async () => {
    await deployment.superuser.query(`
      CREATE ROLE generous;
      GRANT CONNECT ON DATABASE shut TO generous WITH GRANT OPTION;
      SET ROLE generous; GRANT CONNECT ON DATABASE shut TO PUBLIC; RESET ROLE;
      GRANT CONNECT ON DATABASE theirs TO generous WITH GRANT OPTION;
      SET ROLE generous; GRANT CONNECT ON DATABASE theirs TO PUBLIC; RESET ROLE`);
    const commands = forCommands(deployment);
    expect(await open()).toEqual(["postgres", "shut", "template1", "theirs"]);
    expect(await closeOthers(commands)).toEqual(
      ["postgres", "shut", "template1", "theirs"].map(
        (name) => `took CONNECT on the database ${name}, which the config does not name, from PUBLIC`,
      ),
    );
    expect(await open()).toEqual([]);
    expect(await closeOthers(commands)).toEqual([]);
    expect(await reopenOthers(commands, { all: true })).toHaveLength(4);
    await deployment.superuser.query("REVOKE CONNECT ON DATABASE shut FROM PUBLIC");
  });

  test("a login that another environment leased is locked out, one of this one's is to stay out", async () => {
    const commands = forCommands(deployment);
    const before = await findLockedOut(commands);
    const own = await lease(deployment, "readonly_role");
    const other = "v-approle-readonly-abcdefghijklmnopqrst-1900000000";
    await deployment.superuser.query(
      `CREATE ROLE "${other}" LOGIN PASSWORD 'x'; COMMENT ON ROLE "${other}" IS 'leasehold other x'`,
    );
    const more = (await findLockedOut(commands)).filter(
      (who) => !before.some(({ login }) => login === who.login),
    );
    expect(more.map(({ database, login }) => [database, login])).toEqual([
      ["postgres", other],
      ["template1", other],
      ["theirs", other],
    ]);
    await deployment.superuser.query(`DROP ROLE "${other}"`);
    expect(await own.revoke()).toBe(204);
  });

  test("what an earlier version recorded in the home folder is moved to the server, once", async () => {
    const commands = forCommands(deployment);
    const record = () => readRecord(commands, commands.superusers()[0]!);
    expect(await record()).toMatchObject({ closed: [], public: {} });
    const had = { database: ["CONNECT"], functions: [] };
    commands.home.setPublicPrivileges(
      JSON.stringify({
        "postgres/nanvc": had,
        "postgres/theirs": { ...had, isOther: true },
        "former/their s": { ...had, isOther: true },
      }),
    );
    expect(await moveHomeRecord(commands)).toEqual([
      'the database their s stays closed, since the config no longer names its server former: GRANT CONNECT ON DATABASE "their s" TO PUBLIC gives it back',
    ]);
    expect(await moveHomeRecord(commands)).toEqual([]);
    expect(commands.home.publicPrivileges()).toBeUndefined();
    expect(await record()).toMatchObject({ closed: ["theirs"], public: { nanvc: had } });
    expect(await reopenOthers(commands, { all: true })).toEqual([
      "gave CONNECT on the database theirs back to PUBLIC",
    ]);
  });
});
