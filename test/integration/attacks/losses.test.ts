import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { findLosses } from "../../../ops/postgres/losses";
import { takeLater } from "../../../ops/postgres/public-privileges";
import { Deployment } from "../../support/deployment";
import { attacked } from "./environment";
import { forCommands, LoginUnderTest, MAJORS } from "./support";

/** Who else uses the server, and what a first deploy would take from them. */
describe.each(MAJORS)("on PostgreSQL %i", (postgresMajor) => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await Deployment.start({ config: attacked, apply: false, postgresMajor });
    for (const sql of [
      // Owns the schema that the config gives to its own owner.
      "CREATE ROLE billing_app LOGIN PASSWORD 'x'",
      "CREATE SCHEMA example AUTHORIZATION billing_app",
      "CREATE FUNCTION example.total(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
      "CREATE FUNCTION example.total() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
      "CREATE FUNCTION example.\"Shut\"() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
      'REVOKE EXECUTE ON FUNCTION example."Shut"() FROM PUBLIC',
      "CREATE PROCEDURE example.run() LANGUAGE sql AS 'SELECT 1'",
      // Where there is one with an OUT argument alone, its name with `(integer)` fits both.
      "CREATE PROCEDURE example.run(IN integer, OUT integer) LANGUAGE sql AS 'SELECT 1'",
      "CREATE PROCEDURE example.\"Shut\"(INOUT integer) LANGUAGE sql AS 'SELECT 1'",
      'REVOKE EXECUTE ON PROCEDURE example."Shut"(INOUT integer) FROM PUBLIC',
      // Has all of it by PUBLIC, and the schema.
      "CREATE ROLE \"Reporting\" LOGIN PASSWORD 'x'",
      'GRANT USAGE ON SCHEMA example TO "Reporting"',
      // Acts as a group by SET ROLE alone.
      "CREATE ROLE jobs",
      "CREATE ROLE batch LOGIN PASSWORD 'x' NOINHERIT IN ROLE jobs",
      "GRANT CONNECT ON DATABASE nanvc TO batch",
      "GRANT USAGE ON SCHEMA example TO jobs",
      // Keep what they have: by grants, by a group's, as a superuser.
      "CREATE ROLE keeper LOGIN PASSWORD 'x'",
      "GRANT CONNECT, TEMPORARY ON DATABASE nanvc TO keeper",
      "GRANT USAGE ON SCHEMA example TO keeper",
      "GRANT EXECUTE ON ALL ROUTINES IN SCHEMA example TO keeper",
      "CREATE ROLE staff",
      "GRANT CONNECT, TEMPORARY ON DATABASE nanvc TO staff",
      "CREATE ROLE clerk LOGIN PASSWORD 'x' IN ROLE staff",
      "CREATE ROLE boss LOGIN SUPERUSER",
      // Another environment's lease, and a login that is called like one.
      'CREATE ROLE "v-token-other-1" LOGIN',
      "COMMENT ON ROLE \"v-token-other-1\" IS 'leasehold other app'",
      'CREATE ROLE "v-alike" LOGIN',
    ])
      await deployment.superuser.query(sql);
  });

  afterAll(() => deployment.stop());

  const others = ["billing_app", "Reporting", "jobs", "batch", "keeper", "clerk", "v-alike"];

  /** What each of them may do. */
  const privileges = async () => {
    const { rows } = await deployment.superuser.query<{ held: string }>(
      `SELECT format('%s: %s on %s', r, privilege, name) AS held FROM unnest($1::text[]) r, LATERAL (
         SELECT p, 'nanvc', has_database_privilege(r, 'nanvc', p) FROM unnest('{CONNECT,TEMPORARY,CREATE}'::text[]) p
         UNION ALL
         SELECT p, 'example', has_schema_privilege(r, 'example', p) FROM unnest('{USAGE,CREATE}'::text[]) p
         UNION ALL
         SELECT 'EXECUTE', p.oid::regprocedure::text,
           has_function_privilege(r, p.oid, 'EXECUTE') AND has_schema_privilege(r, 'example', 'USAGE')
         FROM pg_proc p WHERE pronamespace = 'example'::regnamespace
       ) has (privilege, name, has) WHERE has
         -- A role that can't log in connects nowhere.
         AND NOT (r = 'jobs' AND privilege = 'CONNECT')
       ORDER BY 1`,
      [others],
    );
    return rows.map(({ held }) => held);
  };

  test("each login and role with what it loses, and the grant that keeps it", async () => {
    const losses = await findLosses(forCommands(deployment));
    const database = (role: string, privileges: string) =>
      `${role} loses ${privileges} on the database nanvc; to keep it: GRANT ${privileges} ON DATABASE nanvc TO "${role}"`;
    const functions = (role: string) =>
      `${role} loses EXECUTE on 2 functions of the schema example of the database nanvc; to keep it: GRANT EXECUTE ON FUNCTION example.total(), example.total(integer) TO "${role}"`;
    const procedures = (role: string) =>
      `${role} loses EXECUTE on 2 procedures of the schema example of the database nanvc; to keep it: GRANT EXECUTE ON PROCEDURE example.run(), example.run(IN integer, OUT integer) TO "${role}"`;
    expect(losses.map(({ text }) => text)).toEqual([
      database("Reporting", "CONNECT, TEMPORARY"),
      functions("Reporting"),
      procedures("Reporting"),
      database("batch", "TEMPORARY"),
      database("billing_app", "CONNECT, TEMPORARY"),
      functions("billing_app"),
      procedures("billing_app"),
      'billing_app loses CREATE, USAGE on the schema example of the database nanvc; to keep it, after the deploy: GRANT CREATE, USAGE ON SCHEMA example TO "billing_app"',
      database("jobs", "TEMPORARY"),
      functions("jobs"),
      procedures("jobs"),
      database("v-alike", "CONNECT, TEMPORARY"),
    ]);
    expect(losses.slice(0, 3).map(({ id }) => id)).toEqual([
      "loss:database nanvc:CONNECT, TEMPORARY of Reporting",
      "loss:functions in example:EXECUTE of Reporting",
      "loss:procedures in example:EXECUTE of Reporting",
    ]);
  });

  test("somebody else's leases are one, by an id that the next lease has too", async () => {
    const leases = ["AAAAAAAAAAAAAAAAAAAA-1700000001", "BBBBBBBBBBBBBBBBBBBB-1700000002"].map(
      (random) => `"v-token-theirs-${random}"`,
    );
    for (const lease of leases) await deployment.superuser.query(`CREATE ROLE ${lease} LOGIN`);
    const losses = await findLosses(forCommands(deployment));
    expect(losses.filter(({ id }) => id.includes("theirs"))).toEqual([
      {
        id: "loss:database nanvc:CONNECT, TEMPORARY of v-token-theirs-*",
        text: 'v-token-theirs-* loses CONNECT, TEMPORARY on the database nanvc; to keep it: GRANT CONNECT, TEMPORARY ON DATABASE nanvc TO "{{name}}" in the creation statements of its database role',
      },
    ]);
    for (const lease of leases) await deployment.superuser.query(`DROP ROLE ${lease}`);
  });

  test("an owner who logs in", async () => {
    await deployment.superuser.query("CREATE ROLE example_owner LOGIN");
    expect(await findLosses(forCommands(deployment))).toContainEqual({
      id: "loss:role example_owner:LOGIN",
      text: "example_owner could no longer log in, as the config has it as the owner of a schema; to keep it: let the config name another role",
    });
    await deployment.superuser.query("DROP ROLE example_owner");
  });

  test("the deploy takes just that, the grants give it back, and nothing is lost by the next", async () => {
    const losses = await findLosses(forCommands(deployment));
    const before = await privileges();
    await deployment.sandbox.apply();
    const after = await privileges();
    const lost = before.filter((held) => !after.includes(held));
    expect(lost).toHaveLength(22);
    expect(await findLosses(forCommands(deployment))).toEqual([]);
    for (const { text } of losses) await deployment.superuser.query(/to keep it.*?: (.*)/.exec(text)![1]!);
    expect(await privileges()).toEqual(before);
    expect(await findLosses(forCommands(deployment))).toEqual([]);
  });

  test("functions and procedures that are made later are lost with the next deploy, which takes what Terraform does not see", async () => {
    const commands = forCommands(deployment);
    const { json, folder } = commands.stack("postgres")!;
    const resources = Object.keys(json.resource["postgresql_grant"]!).map((name) => ({
      ...{ mode: "managed", type: "postgresql_grant", name },
      instances: [{ attributes: {} }],
    }));
    const { path } = json.terraform.backend["local"]!;
    writeFileSync(resolve(folder, String(path)), JSON.stringify({ version: 4, resources }));
    expect(await takeLater(commands)).toEqual([]);
    for (const name of ["later", "granted"])
      await deployment.superuser.query(
        `CREATE FUNCTION example.${name}() RETURNS integer LANGUAGE sql AS 'SELECT 1'`,
      );
    await deployment.superuser.query(`
      CREATE PROCEDURE example.later(IN integer, OUT integer) LANGUAGE sql AS 'SELECT 1';
      CREATE PROCEDURE example.sent(OUT integer) LANGUAGE sql AS 'SELECT 1'`);
    await deployment.superuser.query("GRANT EXECUTE ON FUNCTION example.granted() TO PUBLIC, keeper");
    const lost = async () => (await findLosses(commands)).map(({ id, text }) => [id, text.split("; ")[1]]);
    const functions = (role: string, ...names: string[]) => [
      `loss:functions in example:EXECUTE of ${role}`,
      `to keep it: GRANT EXECUTE ON FUNCTION ${names.join(", ")} TO "${role}"`,
    ];
    const procedures = (role: string) => [
      `loss:procedures in example:EXECUTE of ${role}`,
      `to keep it: GRANT EXECUTE ON PROCEDURE example.later(IN integer, OUT integer), example.sent(OUT integer) TO "${role}"`,
    ];
    expect(await lost()).toEqual([
      ...["Reporting", "billing_app", "jobs"].flatMap((role) => [
        functions(role, "example.granted()", "example.later()"),
        procedures(role),
      ]),
      functions("keeper", "example.later()"),
      procedures("keeper"),
    ]);
    expect(await takeLater(commands)).toEqual([
      "took from PUBLIC in the database nanvc: EXECUTE on 3 routines",
    ]);
    expect(await takeLater(commands)).toEqual([]);
    expect(await lost()).toEqual(
      ["Reporting", "billing_app", "jobs"].map((role) => functions(role, "example.granted()")),
    );
  });

  test("sessions that it concerns are counted", async () => {
    await deployment.superuser.query("GRANT CONNECT ON DATABASE nanvc TO PUBLIC");
    const late = new LoginUnderTest(deployment, "late", "x");
    await deployment.superuser.query("CREATE ROLE late LOGIN PASSWORD 'x'");
    await late.connect();
    expect((await findLosses(forCommands(deployment))).map(({ text }) => text)).toContainEqual(
      'late loses CONNECT on the database nanvc, where it has 1 session now; to keep it: GRANT CONNECT ON DATABASE nanvc TO "late"',
    );
    await late.close();
  });
});
