import { fixSql } from "../../ops/verification/fix-sql";
import severalSchemas from "../environments/several-schemas";
import { Deployment, findings } from "../support/deployment";
import { MAJORS } from "./attacks/support";

/** Functions and procedures of the superuser and of another role, made before the deploy and since, in two schemas. */
const [server] = severalSchemas.servers;
const config = {
  ...severalSchemas,
  servers: [{ ...server!, database: "stats" }],
  databases: severalSchemas.databases.slice(1),
};

/** `p(integer)` fits both procedures. */
const make = (when: string) =>
  ["daily", "monthly"]
    .map(
      (schema) => `
        CREATE FUNCTION ${schema}.f_${when}() RETURNS integer LANGUAGE sql AS 'SELECT 1';
        CREATE PROCEDURE ${schema}.p_${when}(IN a integer, OUT b integer) LANGUAGE sql AS 'SELECT a';
        CREATE PROCEDURE ${schema}.p_${when}(OUT a integer) LANGUAGE sql AS 'SELECT 1';`,
    )
    .join("");

describe.each(MAJORS)("on PostgreSQL %i", (postgresMajor) => {
  let deployment: Deployment;

  const sql = (text: string) => deployment.superuser.query<{ routine: string }>(text);
  const asStranger = (text: string) =>
    sql(`GRANT CREATE, USAGE ON SCHEMA daily, monthly TO stranger;
      SET ROLE stranger; ${text} RESET ROLE;
      REVOKE CREATE, USAGE ON SCHEMA daily, monthly FROM stranger`);
  const closedTo = async (role: string) => {
    const { rows } = await sql(
      `SELECT p.oid::regprocedure::text AS routine FROM pg_proc p
       WHERE pronamespace IN ('daily'::regnamespace, 'monthly'::regnamespace)
         AND NOT has_function_privilege('${role}', p.oid, 'EXECUTE')`,
    );
    return rows.map(({ routine }) => routine);
  };

  beforeAll(async () => {
    deployment = await Deployment.start({ config, apply: false, postgresMajor });
    await sql(`CREATE ROLE stranger; CREATE SCHEMA daily; CREATE SCHEMA monthly; ${make("before")}`);
    await asStranger(make("of_another"));
    await deployment.sandbox.apply();
  });

  afterAll(() => deployment.stop());

  test("those made before are the personas', also of static logins, and none is PUBLIC's", async () => {
    expect(await closedTo("stats_service")).toEqual([]);
    expect(await closedTo("stats_report")).toEqual([]);
    expect(await closedTo("stats_nightly")).toEqual([]);
    expect(await closedTo("public")).toHaveLength(12);
    expect(findings(await deployment.verify())).toEqual([]);
  });

  test("so are the owners' and the creators' later ones", async () => {
    await sql(`SET ROLE daily_owner;
      CREATE PROCEDURE daily.p_owners() LANGUAGE sql AS 'SELECT 1';
      SET ROLE monthly_owner;
      CREATE PROCEDURE monthly.p_owners() LANGUAGE sql AS 'SELECT 1';
      RESET ROLE;
      CREATE PROCEDURE daily.p_creators() LANGUAGE sql AS 'SELECT 1'`);
    expect(await closedTo("stats_report")).toEqual([]);
    expect(await closedTo("public")).toHaveLength(15);
    expect(findings(await deployment.verify())).toEqual([]);
  });

  test("another role's later ones are found, and the statements mend them", async () => {
    await asStranger(make("since"));
    const report = await deployment.verify();
    expect(findings(report)).toEqual([
      expect.stringMatching(/^ PUBLIC has nothing: .* EXECUTE on function daily\.p_since\(\) /),
    ]);
    await sql(fixSql(report, deployment.manifest).text.split(/^\\connect .*$/m)[1]!);
    const closed = await deployment.verify();
    expect(findings(closed)).toEqual(
      ["service", "report"].map((persona): unknown =>
        expect.stringMatching(
          new RegExp(
            `^${persona} functions\\.EXECUTE: EXECUTE on "daily"\\.f_since\\(\\), .* is declared and is not held`,
          ),
        ),
      ),
    );
    await sql(fixSql(closed, deployment.manifest).text.split(/^\\connect .*$/m)[1]!);
    expect(await closedTo("stats_report")).toEqual([]);
    expect(findings(await deployment.verify())).toEqual([]);
  });
});
