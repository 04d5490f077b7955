import { parseEnvironment, type EnvironmentInput } from "../../config/schema/schema";
import { SetupError } from "../../clients/setup-error";
import { maintainQueries, withoutMaintain } from "../../manifest/maintain";
import { checkMaintain, grantMaintain } from "../../ops/postgres/maintain";
import { beforeOf } from "../environments/load";
import named from "../environments/named-privileges";
import { Deployment, findings } from "../support/deployment";
import { CREATOR, maintain, MAKE_CREATOR } from "../support/maintain";
import { attempt, forCommands, lease } from "./attacks/support";

/** MAINTAIN, which Terraform's provider refuses: on a role of its own, by whoever deploys. */
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ config: maintain, postgresMajor: 18, apply: false });
  await deployment.superuser.query(`${beforeOf("named-privileges")!}; ${MAKE_CREATOR}`);
  await deployment.sandbox.apply();
}, 60_000);

afterAll(() => deployment.stop());

const sql = (text: string) => deployment.superuser.query(text);
const REFUSED = "42501";
/** To change. */
type Personas = {
  groupRole: string;
  privileges: { tables?: unknown; schemas?: Record<string, { tables?: unknown }> };
}[];

test("whoever has it maintains those tables, later ones too, and no others", async () => {
  await sql(
    `SET ROLE shop_owner; CREATE TABLE billing.later (id integer PRIMARY KEY); CREATE TABLE sales.later (id integer PRIMARY KEY);
     SET ROLE ${CREATOR}; CREATE TABLE billing.nights (id integer PRIMARY KEY); RESET ROLE`,
  );
  const work = async (group: string, table: string) => {
    const leased = await lease(deployment, group);
    const { client: session } = await leased.connect();
    const warnings: string[] = [];
    session.on("notice", ({ message }) => warnings.push(message!));
    const outcome = await attempt(session, `REINDEX TABLE ${table}`);
    await session.query(`VACUUM ${table}`);
    await session.query(`ANALYZE ${table}`);
    await leased.close();
    await leased.revoke();
    return [outcome, warnings.length];
  };
  try {
    for (const table of ["billing.invoices", "billing.later", "billing.nights"])
      expect(await work("shop_report", table)).toEqual(["allowed", 0]);
    expect(await work("shop_service", 'sales."Order-items"')).toEqual(["allowed", 0]);
    for (const [group, table] of [
      ["shop_report", "sales.later"],
      ["shop_report", 'sales."Order-items"'],
      ["shop_service", "sales.later"],
      ["shop_service", "sales.customers"],
    ] as const)
      expect(await work(group, table)).toEqual([REFUSED, 2]);
    expect(findings(await deployment.verify())).toEqual([]);
  } finally {
    await sql("DROP TABLE billing.later, sales.later, billing.nights");
  }
}, 60_000);

test.each<[string, string, string, string[]]>([
  [
    "one that is gone",
    'REVOKE MAINTAIN ON sales."Order-items" FROM shop_service_maintain',
    'GRANT MAINTAIN ON sales."Order-items" TO shop_service_maintain',
    [
      'service tables.MAINTAIN: MAINTAIN on "sales"."Order-items" is declared and is not held by the catalogs: no grant of MAINTAIN to shop_service_maintain',
    ],
  ],
  [
    "one on another table",
    "GRANT MAINTAIN ON sales.refunds TO shop_service_maintain",
    "REVOKE MAINTAIN ON sales.refunds FROM shop_service_maintain",
    [
      'service tables.MAINTAIN on others: MAINTAIN on "sales".refunds is not declared and is held by the catalogs: granted to shop_service_maintain by shop_owner: MAINTAIN on table sales.refunds',
    ],
  ],
  [
    "default privileges that are gone",
    "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA billing REVOKE MAINTAIN ON TABLES FROM shop_report_maintain",
    "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA billing GRANT MAINTAIN ON TABLES TO shop_report_maintain",
    [
      "is declared and is refused: no default privileges of shop_owner grant shop_report_maintain MAINTAIN on tables",
    ],
  ],
  [
    "a creator's that are gone",
    `ALTER DEFAULT PRIVILEGES FOR ROLE ${CREATOR} IN SCHEMA billing REVOKE MAINTAIN ON TABLES FROM shop_report_maintain`,
    `ALTER DEFAULT PRIVILEGES FOR ROLE ${CREATOR} IN SCHEMA billing GRANT MAINTAIN ON TABLES TO shop_report_maintain`,
    ["no default privileges of nightly in billing grant shop_report_maintain MAINTAIN on tables"],
  ],
  [
    "another privilege of the role's",
    "GRANT DELETE ON billing.invoices TO shop_report_maintain",
    "REVOKE DELETE ON billing.invoices FROM shop_report_maintain",
    [
      'report tables.DELETE: DELETE on "billing".invoices is not declared and is allowed: granted to shop_report_maintain by shop_owner',
    ],
  ],
  [
    "another member of the role",
    `GRANT shop_report_maintain TO ${CREATOR}`,
    `REVOKE shop_report_maintain FROM ${CREATOR}`,
    ["nightly, a member of shop_report_maintain, granted by postgres, is not declared"],
  ],
  [
    "the membership",
    "REVOKE shop_report_maintain FROM shop_report",
    "GRANT shop_report_maintain TO shop_report",
    [
      "report tables.MAINTAIN: MAINTAIN on ",
      "declared and missing: membership of shop_report in shop_report_maintain",
    ],
  ],
])(
  "verify finds %s",
  async (_, plant, mend, wanted) => {
    await sql(plant);
    try {
      const found = findings(await deployment.verify());
      expect(found).toEqual(wanted.map((line) => expect.stringContaining(line) as string));
    } finally {
      await sql(mend);
    }
    expect(findings(await deployment.verify())).toEqual([]);
  },
  60_000,
);

test("a deploy brings it to what is declared, whatever was granted or revoked by hand, and does nothing the second time", async () => {
  const commands = forCommands(deployment);
  expect(await grantMaintain(commands)).toEqual([]);
  await sql(
    `REVOKE MAINTAIN ON billing.invoices FROM shop_report_maintain;
     GRANT MAINTAIN, DELETE ON sales.customers TO shop_report_maintain WITH GRANT OPTION;
     ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA billing REVOKE MAINTAIN ON TABLES FROM shop_report_maintain;
     ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA sales GRANT MAINTAIN ON TABLES TO shop_report_maintain;
     ALTER DEFAULT PRIVILEGES FOR ROLE ${CREATOR} GRANT SELECT ON TABLES TO shop_report_maintain`,
  );
  expect(await grantMaintain(commands)).toEqual([
    "brought what shop_report_maintain has in the database shop to MAINTAIN as declared: 6 changes",
  ]);
  expect(findings(await deployment.verify())).toEqual([]);
  expect(await grantMaintain(commands)).toEqual([]);
}, 60_000);

test.each([
  ["a member of the owners", ""],
  ["one that may make members", "WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"],
])(
  "who is no superuser grants it as %s",
  async (_, option) => {
    await sql(
      `REVOKE MAINTAIN ON billing.invoices FROM shop_report_maintain;
     ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA billing REVOKE MAINTAIN ON TABLES FROM shop_report_maintain;
     CREATE ROLE bootstrap; GRANT shop_owner, ${CREATOR} TO bootstrap ${option}`,
    );
    try {
      for (const { text, values } of maintainQueries(deployment.manifest.databases[0]!)) {
        await sql("SET ROLE bootstrap; SET search_path = pg_catalog");
        const { rows } = await deployment.superuser.query<{ sql: string }>(text, [...values]);
        // RESET ROLE would be the superuser's again.
        for (const row of rows)
          await sql(`SET SESSION AUTHORIZATION bootstrap; ${row.sql}; RESET SESSION AUTHORIZATION`);
        await sql("RESET ROLE; RESET search_path");
      }
      expect(findings(await deployment.verify())).toEqual([]);
    } finally {
      await sql("RESET SESSION AUTHORIZATION; RESET ROLE; DROP OWNED BY bootstrap; DROP ROLE bootstrap");
    }
  },
  60_000,
);

test.each([15, 16] as const)(
  "PostgreSQL %s is refused in a line, before anything is started",
  async (major) => {
    const started = await Deployment.start({ config: maintain, postgresMajor: major, apply: false }).catch(
      (error: unknown) => error,
    );
    expect(started).toBeInstanceOf(SetupError);
    expect((started as Error).message).toBe(
      `PostgreSQL ${String(major)} has no MAINTAIN, which the persona service of the database shop declares: upgrade the server to 17 or later, or correct the config`,
    );
  },
);

test("a deploy to an older server is refused", async () => {
  const older = await Deployment.start({ env: "named-privileges", postgresMajor: 16, apply: false });
  try {
    const commands = forCommands(older);
    await checkMaintain(commands);
    Object.assign(commands.manifest, { databases: deployment.manifest.databases });
    await expect(checkMaintain(commands)).rejects.toThrow(/^PostgreSQL 16 has no MAINTAIN, which .*$/);
  } finally {
    await older.stop();
  }
}, 60_000);

test("17 is new enough, and where nobody declares it any version is", () => {
  const [database] = deployment.manifest.databases;
  expect(withoutMaintain(database!, 17)).toBeUndefined();
  expect(withoutMaintain({ ...database!, personas: [] }, 15)).toBeUndefined();
});

test("the config refuses a group role without room for the other's name, an owner's MAINTAIN, and MAINTAIN on columns", () => {
  const refusal = ({ databases: [database] }: EnvironmentInput, change: (personas: Personas) => void) => {
    const personas = structuredClone(database!.personas) as unknown as Personas;
    change(personas);
    try {
      parseEnvironment("the config", {
        ...maintain,
        databases: [{ ...database!, personas: personas as never }],
      });
      return "accepted";
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(refusal(maintain, ([, report]) => (report!.groupRole = "r".repeat(55)))).toContain(
    `allowed: a name that leaves room for ${"r".repeat(55)}_maintain in 63 bytes, since the persona declares MAINTAIN`,
  );
  expect(refusal(maintain, ([, report]) => (report!.groupRole = "r".repeat(54)))).toBe("accepted");
  expect(refusal(maintain, ([service]) => (service!.groupRole = "shop_report_maintain"))).toMatch(
    /received 'shop_report', allowed: a name that does not lead to the PostgreSQL role of server postgres shop_report_maintain/,
  );
  expect(
    refusal(
      named,
      ([admin]) => (admin!.privileges.tables = [...(admin!.privileges.tables as string[]), "MAINTAIN"]),
    ),
  ).toContain("allowed: a list without MAINTAIN, which a persona that acts as the owner has in any case");
  const onColumns = { customers: { MAINTAIN: ["id"] } } as never;
  expect(
    refusal(maintain, ([service]) => (service!.privileges.schemas!["sales"]!.tables = onColumns)),
  ).toContain("allowed: true, since it is on the whole table");
});
