import type { Client } from "pg";
import severalSchemas from "../environments/several-schemas";
import { Deployment, findings } from "../support/deployment";

let deployment: Deployment;
let stats: Client;

beforeAll(async () => {
  deployment = await Deployment.start({ env: "several-schemas" });
  stats = await deployment.connect(deployment.manifest.databases[1]!);
});

afterAll(async () => {
  await stats.end();
  await deployment.stop();
});

const evidenceOf = async (id: string) =>
  (await deployment.verify()).databases.map(({ personas }) =>
    personas.map(({ matrix }) =>
      matrix
        .find((cell) => cell.id === id)!
        .evidence.map(({ sent }) => sent)
        .join("\n"),
    ),
  );

test("each schema's objects are tried, in public and in those of another owner too", async () => {
  const [shop, statistics] = await evidenceOf("tables.INSERT");
  for (const sent of shop!)
    for (const schema of ["public", "billing", "Order-items"])
      expect(sent).toContain(`INSERT INTO "${schema}".`);
  for (const sent of statistics!)
    for (const schema of ["daily", "monthly"]) expect(sent).toContain(`INSERT INTO "${schema}".`);
  expect(await deployment.probeObjects()).toBe(0);
});

test("public keeps its owner, and PUBLIC has lost it", async () => {
  const { rows } = await deployment.superuser.query(
    "SELECT pg_get_userbyid(nspowner)::text AS owner, has_schema_privilege('public', 'public', 'USAGE') AS open FROM pg_namespace WHERE nspname = 'public'",
  );
  expect(rows).toEqual([{ owner: "pg_database_owner", open: false }]);
});

test("what a creator makes later is the personas', and its functions are not PUBLIC's", async () => {
  await stats.query(
    "CREATE TABLE daily.visits (n integer); CREATE FUNCTION daily.visitors() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
  );
  const { rows } = await stats.query(
    `SELECT has_table_privilege('stats_report', 'daily.visits', 'SELECT') AS reads,
       has_table_privilege('stats_report', 'daily.visits', 'INSERT') AS writes,
       has_function_privilege('public', 'daily.visitors()', 'EXECUTE') AS public`,
  );
  expect(rows).toEqual([{ reads: true, writes: false, public: false }]);
  const report = await deployment.verify();
  await stats.query("DROP TABLE daily.visits; DROP FUNCTION daily.visitors()");
  expect(findings(report)).toEqual([]);
});

const LATER = "ALTER DEFAULT PRIVILEGES FOR ROLE";

test.each<[string, "shop" | "stats", string, string, RegExp]>([
  [
    "a later privilege in the second schema",
    "shop",
    `${LATER} shop_owner IN SCHEMA billing GRANT TRUNCATE ON TABLES TO shop_report`,
    `${LATER} shop_owner IN SCHEMA billing REVOKE TRUNCATE ON TABLES FROM shop_report`,
    /^report tables\.TRUNCATE: TRUNCATE on "?billing"?\./,
  ],
  [
    "PUBLIC in the second schema",
    "shop",
    "GRANT USAGE ON SCHEMA billing TO PUBLIC",
    "REVOKE USAGE ON SCHEMA billing FROM PUBLIC",
    /^ PUBLIC has nothing: .*granted to PUBLIC by shop_owner: USAGE on schema billing/,
  ],
  [
    "PUBLIC in the schema public",
    "shop",
    "GRANT USAGE ON SCHEMA public TO PUBLIC",
    "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
    /^ PUBLIC has nothing: .*USAGE on schema public/,
  ],
  [
    "an owner who may not create in public",
    "shop",
    "REVOKE CREATE ON SCHEMA public FROM shop_owner",
    "GRANT CREATE ON SCHEMA public TO shop_owner",
    /permission denied for schema public/,
  ],
  [
    "a search path without a schema",
    "shop",
    "ALTER ROLE shop_report SET search_path = public, billing",
    `ALTER ROLE shop_report SET search_path = public, billing, "Order-items"`,
    /shop_report has the setting search_path=public, billing, which is not declared/,
  ],
  [
    "the second owner's later objects",
    "stats",
    `${LATER} monthly_owner IN SCHEMA monthly REVOKE SELECT ON TABLES FROM stats_report`,
    `${LATER} monthly_owner IN SCHEMA monthly GRANT SELECT ON TABLES TO stats_report`,
    /^report tables\.SELECT: SELECT on "monthly"\..* is declared and is refused/,
  ],
  [
    "a creator without default privileges",
    "stats",
    `${LATER} monthly_owner IN SCHEMA daily REVOKE SELECT ON TABLES FROM stats_report`,
    `${LATER} monthly_owner IN SCHEMA daily GRANT SELECT ON TABLES TO stats_report`,
    /^ what creators make later .*: no default privileges of monthly_owner in daily grant stats_report SELECT on tables$/,
  ],
  [
    "a creator with too many",
    "stats",
    `${LATER} postgres IN SCHEMA daily GRANT DELETE ON TABLES TO stats_report`,
    `${LATER} postgres IN SCHEMA daily REVOKE DELETE ON TABLES FROM stats_report`,
    /^report .*not declared: granted to stats_report by default privileges: DELETE on later tables of postgres in schema daily/,
  ],
  [
    "a creator whose later functions are PUBLIC's",
    "stats",
    `${LATER} postgres GRANT EXECUTE ON FUNCTIONS TO PUBLIC`,
    `${LATER} postgres REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC`,
    /^ PUBLIC has nothing: .*EXECUTE on later functions of postgres/,
  ],
])("%s is found", async (_, where, plant, undo, finding) => {
  const client = where === "shop" ? deployment.superuser : stats;
  await client.query(plant);
  const lines = await deployment.verify().then(findings, (error: unknown) => [String(error)]);
  await client.query(undo);
  expect(lines).toContainEqual(expect.stringMatching(finding));
});

test("afterwards everything holds", async () => {
  const report = await deployment.verify();
  expect(findings(report)).toEqual([]);
  expect(report.left).toEqual([]);
});

test("leased by CREATEROLE everything holds as well", async () => {
  const other = await Deployment.start({ config: { ...severalSchemas, leases: "createrole" } });
  const report = await other.verify();
  await other.stop();
  expect(findings(report)).toEqual([]);
  expect(report.left).toEqual([]);
});
