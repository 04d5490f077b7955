import { OwnServers } from "./own-servers";

/**
 * Functions and procedures alike, by the command line with real Terraform, whose provider reads procedures back as functions and does
 * not grant on them as such. The tests are its steps, in order.
 */
let servers: OwnServers;

/** `p(integer)` fits both procedures. */
const make = (when: string) => `
  CREATE FUNCTION app.f_${when}() RETURNS integer LANGUAGE sql AS 'SELECT 1';
  CREATE AGGREGATE app.a_${when}(integer) (SFUNC = int4pl, STYPE = integer);
  CREATE PROCEDURE app.p_${when}(IN a integer, OUT b integer) LANGUAGE sql AS 'SELECT a';
  CREATE PROCEDURE app.p_${when}(OUT a integer) LANGUAGE sql AS 'SELECT 1';`;
const made = (...when: string[]) =>
  when.flatMap((each) => [`a_${each}(integer)`, `f_${each}()`, `p_${each}()`, `p_${each}(integer)`]).sort();

beforeAll(async () => {
  servers = await OwnServers.start();
  await servers.deployment.superuser.query(`
    CREATE ROLE app_owner; CREATE ROLE migrations;
    CREATE SCHEMA app AUTHORIZATION app_owner;
    GRANT USAGE, CREATE ON SCHEMA app TO migrations;
    SET ROLE app_owner; ${make("by_owner")}
    SET ROLE migrations; ${make("by_other")}
    GRANT EXECUTE ON PROCEDURE app.p_by_other(IN integer, OUT integer) TO PUBLIC;
    RESET ROLE`);
  servers.configure((draft) => {
    const [database] = draft.databases;
    const { schema: _, owner: __, ...rest } = database!;
    // One that acts as the owner has what the owner has.
    const [, ...personas] = database!.personas;
    draft.databases[0] = {
      ...{ ...rest, personas, workload: { kind: "leases", reader: "report" } },
      schemas: [{ name: "app", owner: { name: "app_owner", exists: true }, exists: true }],
    };
    draft.accepted = ["CREATE", "USAGE"].map((privilege) => ({
      id: `grant:schema in app:${privilege} to migrations`,
      reason: "it makes routines",
    }));
  });
}, 60_000);

afterAll(() => servers.stop());

const succeeds = (...args: string[]) => servers.succeeds(...args);

const executable = (role: string) =>
  servers.query(
    `SELECT replace(p.oid::regprocedure::text, 'app.', '') COLLATE "C" FROM pg_proc p
     WHERE pronamespace = 'app'::regnamespace AND has_function_privilege('${role}', p.oid, 'EXECUTE') ORDER BY 1`,
  );

test("those made before: the next deploy and the diff are empty, and verify holds", async () => {
  await succeeds("init");
  await succeeds("deploy", "--auto-approve");
  expect(await executable("app_report")).toEqual(made("by_other", "by_owner"));
  expect(await executable("public")).toEqual([]);
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  expect(await succeeds("deploy", "--auto-approve")).toContain("Nothing to do");
  await succeeds("verify", "--no-expiry");
});

test("the owner's later ones are the personas' at once", async () => {
  await servers.deployment.superuser.query(`SET ROLE app_owner; ${make("later")} RESET ROLE`);
  expect(await executable("app_report")).toEqual(made("by_other", "by_owner", "later"));
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  await succeeds("verify", "--no-expiry");
});

test("another role's later ones are found by verify, and a deploy grants them and takes them from PUBLIC", async () => {
  await servers.deployment.superuser.query(`
    SET ROLE migrations; ${make("since")} RESET ROLE;
    REVOKE EXECUTE ON PROCEDURE app.p_since(OUT integer) FROM PUBLIC`);
  const found = await servers.leasehold("verify", "--no-expiry");
  expect(found.code).toBe(1);
  expect(found.output).toMatch(
    /report: functions\.EXECUTE: EXECUTE on "app"\.p_since\(\) is declared .*mend: GRANT EXECUTE ON ROUTINE app\.p_since\(OUT a integer\) TO "app_report"/,
  );
  expect((await servers.leasehold("diff")).code).toBe(2);
  expect(await succeeds("deploy", "--auto-approve")).toContain(
    "took from PUBLIC in the database app: EXECUTE on 3 routines",
  );
  expect(await executable("app_service")).toEqual(made("by_other", "by_owner", "later", "since"));
  expect(await executable("public")).toEqual([]);
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  await succeeds("verify", "--no-expiry");
});

test("destroy gives PUBLIC back what it had before, and what it had of later ones", async () => {
  const output = await succeeds("destroy", "--auto-approve");
  expect(output).toContain("EXECUTE on 11 routines");
  // Taken by its maker.
  const closed = "p_since()";
  expect(await executable("public")).toEqual(
    made("by_other", "by_owner", "since").filter((name) => name !== closed),
  );
});
