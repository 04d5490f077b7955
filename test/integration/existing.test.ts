import { checkOwners, checkVault } from "../../ops/docker/preflight";
import { findLosses } from "../../ops/postgres/losses";
import { Session } from "../../verify/session/session";
import type { ManifestDatabase } from "../../manifest/schema";
import { renderDetails } from "../../verify/report/details";
import { renderOverview } from "../../verify/report/overview";
import { cellsOf, checksOf, type Report } from "../../verify/report/report";
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

const cellsByPublic = (report: Report) =>
  cellsOf(report).flatMap(({ persona, result }) => (result.byPublic ? [`${persona!} ${result.id}`] : []));

/** The manifest, as if its one database were declared otherwise. */
const declaredAs = (change: Partial<ManifestDatabase>) => ({
  manifest: { ...deployment.manifest, databases: [{ ...deployment.manifest.databases[0]!, ...change }] },
});

test("PUBLIC has what it had, and what a persona has by it alone is told apart", async () => {
  const { rows } = await deployment.superuser.query(
    `SELECT has_database_privilege('nightly', 'app', 'CONNECT, TEMPORARY') AS database,
       has_function_privilege('nightly', 'billing.total()', 'EXECUTE') AS function`,
  );
  expect(rows).toEqual([{ database: true, function: true }]);
  const [{ personas }] = deployment.manifest.databases as [ManifestDatabase];
  const report = await deployment.verify(
    declaredAs({
      personas: personas.map((persona) =>
        // With what its group has, it has no function but by PUBLIC.
        persona.name === "report"
          ? { ...persona, privileges: { ...persona.privileges, functions: [] } }
          : persona,
      ),
    }),
  );
  const temporary = ["admin", "service", "report"].map((persona) => `${persona} database.TEMPORARY`);
  expect(cellsByPublic(report)).toEqual(temporary);
  // Its group has it as well.
  expect(findings(report)).toContainEqual(
    expect.stringMatching(/^report functions\.EXECUTE: .* granted to app_report by app_owner: EXECUTE/),
  );
  const cells = cellsOf(report).map(({ result }) => result);
  const isCounted = ({ byPublic, held }: (typeof cells)[number]) => held && !byPublic;
  const checks = checksOf(report).filter(({ result }) => result.held).length;
  expect(report.passed).toBe(cells.filter(isCounted).length + checks);
  const [shown] = cells.filter(({ byPublic }) => byPublic);
  expect(shown).toMatchObject({ declared: false, catalogued: true, exercised: true });
  expect(shown!.evidence).toContainEqual({
    sent: "TEMPORARY on app is PUBLIC's",
    got: "granted to PUBLIC by postgres: TEMPORARY on database app",
  });
  for (const render of [renderOverview, renderDetails]) {
    expect(render(report, false)).toMatch(/^ +TEMPORARY +◐.*◐.*◐/m);
    expect(render(report, false)).toContain("◐ not declared, and had by what PUBLIC may keep");
  }
});

test("a static role's login that was there before has a password from Vault and the persona's privileges", async () => {
  const { data } = await deployment.root.call("GET", "database/static-creds/batch");
  const { host, port } = deployment.sandbox.postgres;
  const login = { username: "batch", password: String(data!["password"]) };
  const session = await Session.open({ host, port }, "app", login);
  const outcome = await session.attempt(
    "SELECT current_user, current_schemas(false), count(*) FROM public.customers",
  );
  await session.close();
  expect(outcome).toMatchObject({
    rows: [{ current_user: "batch", current_schemas: "{public}", count: "0" }],
  });
});

test("others lose nothing by the deploy but the password of that login", async () => {
  const losses = await findLosses(forCommands(deployment));
  expect(losses).toEqual([
    {
      id: "loss:role batch:PASSWORD",
      text: "batch loses the password that it has, and has from then on the one at database/static-creds/batch; to keep it: let the config name another login",
    },
  ]);
});

test.each([
  ["NOLOGIN", "LOGIN", /^batch, the login of a static role of the database app, can't log in, or /],
  ["CREATEROLE", "NOCREATEROLE", /^batch, the login of a static role of the database app, can't log in, or /],
  [
    "NOLOGIN; ALTER ROLE batch RENAME TO gone",
    undefined,
    /^the role batch, which the config has as one that exists, /,
  ],
])(
  "a static role's login with %s is refused before a deploy changes anything",
  async (change, undo, finding) => {
    await deployment.superuser.query(`ALTER ROLE batch ${change}`);
    const refusal = await checkOwners(forCommands(deployment)).catch(
      (error: unknown) => (error as Error).message,
    );
    await deployment.superuser.query(
      undo ? `ALTER ROLE batch ${undo}` : "ALTER ROLE gone RENAME TO batch; ALTER ROLE batch LOGIN",
    );
    expect(refusal).toMatch(finding);
  },
);

test("a rotation that Vault does not have is refused before anything is written", async () => {
  const [role] = deployment.manifest.databases[0]!.staticRoles as [ManifestDatabase["staticRoles"][number]];
  const refusal = async (change: Partial<typeof role>) => {
    const { manifest } = declaredAs({ staticRoles: [{ ...role, ...change }] });
    return checkVault(Object.assign(forCommands(deployment), { manifest })).catch((error: unknown) =>
      (error as Error).message.replaceAll(deployment.root.address, "V"),
    );
  };
  const isOpenBao = deployment.sandbox.vault.product === "OpenBao";
  expect(await refusal({ rotationPeriod: undefined, rotationSchedule: "0 3 * * SAT" })).toMatch(
    isOpenBao
      ? /^the static role batch has a rotationSchedule, for which it takes HashiCorp's Vault; Vault at V is [\d.]+, OpenBao's: declare a rotationPeriod$/
      : /^there is no operator's token/,
  );
  expect(await refusal({ skipImportRotation: true })).toMatch(
    /^the static role batch has skipImportRotation, for which it takes Vault Enterprise 1.18 or later; Vault at V is .*: without it the login has a new password at once$/,
  );
});

test("what PUBLIC has beyond what it may keep is found, on the database and of a persona", async () => {
  const some = { database: ["CONNECT"], schema: [], functions: [] } as const;
  const lines = findings(await deployment.verify(declaredAs({ public: some })));
  for (const finding of [
    / PUBLIC has nothing: not declared: granted to PUBLIC by postgres: TEMPORARY on database app /,
    / PUBLIC has nothing: .* USAGE on schema public /,
    / PUBLIC has nothing: .* EXECUTE on function billing\.total\(\) /,
    / PUBLIC has nothing: .* EXECUTE on later functions of app_owner /,
    /^report database\.TEMPORARY: TEMPORARY on app is not declared and is allowed: granted to PUBLIC/,
  ])
    expect(lines).toContainEqual(expect.stringMatching(finding));
});

test("where PUBLIC keeps what it has, anything in the database is no finding", async () => {
  await deployment.superuser.query(
    "GRANT SELECT ON public.customers TO PUBLIC; GRANT CREATE ON SCHEMA billing TO PUBLIC; GRANT SELECT (id) ON billing.invoices TO PUBLIC",
  );
  const report = await deployment.verify(declaredAs({ public: "keep" }));
  const lines = findings(await deployment.verify());
  await deployment.superuser.query(
    "REVOKE SELECT ON public.customers FROM PUBLIC; REVOKE CREATE ON SCHEMA billing FROM PUBLIC; REVOKE SELECT (id) ON billing.invoices FROM PUBLIC",
  );
  expect(findings(report)).toEqual([]);
  expect(cellsByPublic(report)).toEqual([
    "admin database.TEMPORARY",
    "service database.TEMPORARY",
    "service schema.CREATE",
    "report database.TEMPORARY",
    "report schema.CREATE",
  ]);
  expect(lines).toContainEqual(
    expect.stringMatching(/ PUBLIC has nothing: .* SELECT on table public\.customers /),
  );
});

test("a database that the schema's owner owns", async () => {
  await deployment.superuser.query("ALTER DATABASE app OWNER TO app_owner");
  const [{ personas }] = deployment.manifest.databases as [ManifestDatabase];
  const asOwner = personas.map((persona) =>
    persona.actsAsOwner
      ? {
          ...persona,
          privileges: { ...persona.privileges, database: ["CONNECT", "TEMPORARY", "CREATE"] as const },
        }
      : persona,
  );
  const report = await deployment.verify(declaredAs({ personas: asOwner }));
  const undeclared = findings(await deployment.verify());
  const others = findings(await deployment.verify(declaredAs({ exists: false, personas: asOwner })));
  await deployment.superuser.query("ALTER DATABASE app OWNER TO postgres");
  expect(findings(report)).toEqual([]);
  const finding = (privilege: string): unknown =>
    expect.stringMatching(`^admin database.${privilege}: .* is allowed: .*it belongs to app_owner`);
  expect(undeclared).toEqual([finding("TEMPORARY"), finding("CREATE")]);
  expect(others).toEqual([
    expect.stringMatching(
      /^admin set role\.another: SET ROLE pg_database_owner is not declared and is held .* exists: true of the database/,
    ),
  ]);
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

test("a database that the config has as one that exists, and is not there, is refused in one line", async () => {
  const commands = forCommands(deployment);
  const { manifest } = declaredAs({ name: "gone", schemas: [] });
  const refusal = checkOwners(Object.assign(commands, { manifest }));
  await expect(refusal).rejects.toThrow(
    /^the database gone, which the config has as one that exists, is not there on the server .*: create it, or correct the config$/,
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
