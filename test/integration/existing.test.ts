import { checkOwners } from "../../ops/docker/preflight";
import { Deployment, findings } from "../support/deployment";
import { forCommands } from "./attacks/support";

let deployment: Deployment;

beforeAll(async () => (deployment = await Deployment.start({ env: "existing" })));

afterAll(() => deployment.stop());

test("the owner and the schemas are as they were, and everything holds", async () => {
  const { rows } = await deployment.superuser.query(
    `SELECT rolcanlogin, rolconnlimit, rolconfig,
       ARRAY(SELECT nspname || ' ' || pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname IN ('public', 'billing') ORDER BY 1) AS schemas,
       has_schema_privilege('app_owner', 'public', 'CREATE') AS "mayCreate"
     FROM pg_roles WHERE rolname = 'app_owner'`,
  );
  expect(rows).toEqual([
    {
      rolcanlogin: true,
      rolconnlimit: 7,
      rolconfig: ["statement_timeout=60s"],
      schemas: ["billing app_owner", "public pg_database_owner"],
      mayCreate: true,
    },
  ]);
  const report = await deployment.verify();
  expect(findings(report)).toEqual([]);
  expect(report.left).toEqual([]);
});

const LATER = "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA billing";

test.each([
  [
    "a table of the owner's that a reader may write",
    "GRANT DELETE ON public.customers TO app_report",
    "REVOKE DELETE ON public.customers FROM app_report",
    /^report tables\.DELETE: DELETE on "public"\.customers is not declared/,
  ],
  [
    "a later privilege in the owner's schema",
    `${LATER} GRANT TRUNCATE ON TABLES TO app_report`,
    `${LATER} REVOKE TRUNCATE ON TABLES FROM app_report`,
    /^report tables\.TRUNCATE: TRUNCATE on "billing"\./,
  ],
  [
    "PUBLIC may create in public",
    "GRANT CREATE ON SCHEMA public TO PUBLIC",
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    /^ PUBLIC has nothing: .*CREATE on schema public/,
  ],
  [
    "an owner who is another's as well",
    "GRANT nightly TO app_owner",
    "REVOKE nightly FROM app_owner",
    /^admin set role\.another: SET ROLE nightly is not declared/,
  ],
  [
    "a reader who is in the owner",
    "GRANT app_owner TO app_report",
    "REVOKE app_owner FROM app_report",
    /^report set role\.the owner: SET ROLE app_owner is not declared/,
  ],
])("%s is found", async (_, plant, undo, finding) => {
  await deployment.superuser.query(plant);
  const lines = findings(await deployment.verify());
  await deployment.superuser.query(undo);
  expect(lines).toContainEqual(expect.stringMatching(finding));
});

test("what the config has as one that exists, and is not there, is refused before a deploy changes anything", async () => {
  await checkOwners(forCommands(deployment));
  await deployment.superuser.query(
    "ALTER ROLE app_owner RENAME TO gone_owner; ALTER SCHEMA billing RENAME TO gone",
  );
  const refusal = await checkOwners(forCommands(deployment)).catch((error: unknown) => String(error));
  await deployment.superuser.query(
    "ALTER ROLE gone_owner RENAME TO app_owner; ALTER SCHEMA gone RENAME TO billing",
  );
  expect(refusal).toMatch(
    /the role app_owner, which the config has as one that exists, is not there .*\nthe schema billing, which/,
  );
});

describe("an owner who is the superuser", () => {
  let approle: Deployment;

  beforeAll(async () => (approle = await Deployment.start({ env: "approle" })));

  afterAll(() => approle.stop());

  test("is accepted, since nobody acts as it", async () => {
    await checkOwners(forCommands(approle));
    const { rows } = await approle.superuser.query(
      "SELECT rolname FROM pg_auth_members JOIN pg_roles m ON m.oid = member WHERE roleid = 'vaultadmin'::regrole",
    );
    expect(rows).toEqual([]);
  });

  test.each([
    [
      "a table that a reader may write",
      'CREATE TABLE public.orders (id integer); GRANT INSERT ON public.orders TO "app-role"',
      "DROP TABLE public.orders",
      /^myapp tables\.INSERT: INSERT on "public"\.orders is not declared/,
    ],
    [
      "a later privilege that is not declared",
      'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT DELETE ON TABLES TO "app-role"',
      'ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE DELETE ON TABLES FROM "app-role"',
      /^myapp tables\.DELETE: DELETE on "public"\."leasehold_probe_\S+, .* is not declared and is allowed: granted to app-role/,
    ],
    [
      "a later privilege that is gone",
      'ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM "app-role"',
      'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO "app-role"',
      /^myapp tables\.SELECT: .*no default privileges of vaultadmin grant app-role SELECT on tables/,
    ],
    [
      "functions of the superuser's that are everybody's later",
      "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
      "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
      /^myapp functions\.EXECUTE: EXECUTE on "public"\."leasehold_probe_/,
    ],
    [
      "a verifier's login that could act as the superuser",
      "GRANT vaultadmin TO appdb_verify_owner",
      "REVOKE vaultadmin FROM appdb_verify_owner",
      /membership of appdb_verify_owner in vaultadmin/,
    ],
    [
      "a probe object of a killed run, with a column's sequence",
      'CREATE TABLE public."leasehold_probe_0000000001_aaaa_users" (id integer GENERATED BY DEFAULT AS IDENTITY); ALTER TABLE public."leasehold_probe_0000000001_aaaa_users" OWNER TO appdb_verify_owner',
      "",
      undefined,
    ],
  ])("%s is found", async (_, plant, undo, finding) => {
    await approle.superuser.query(plant);
    const lines = findings(await approle.verify());
    await approle.superuser.query(undo);
    if (finding) expect(lines).toContainEqual(expect.stringMatching(finding));
    else expect(lines).toEqual([]);
    expect(await approle.probeObjects()).toBe(0);
  });
});
