import { cellsOf, type Report } from "../../verify/report/report";
import { Deployment, findings } from "../support/deployment";

/** Privileges by schema, by table and by column, on tables that were there before (named-privileges.sql). */
let deployment: Deployment;

beforeAll(async () => (deployment = await Deployment.start({ env: "named-privileges" })));

afterAll(() => deployment.stop());

const cells = (report: Report, persona: string, kind: string) =>
  cellsOf(report)
    .filter((cell) => cell.persona === persona && cell.result.kind === kind)
    .map(({ result: { name, declared, catalogued, exercised } }) => [name, declared, catalogued, exercised]);

test("what is declared is used, the rest is refused, and nothing is left", async () => {
  const report = await deployment.verify();
  expect(findings(report)).toEqual([]);
  expect(report.left).toEqual([]);
  expect(cells(report, "service", "schema")).toEqual([
    ["USAGE", true, true, true],
    ["CREATE", false, false, false],
    ["USAGE on others", false, false, false],
  ]);
  expect(cells(report, "service", "columns")).toEqual([
    ["SELECT", true, true, true],
    ["SELECT on others", false, false, false],
    ["INSERT", true, true, true],
    ["INSERT on others", false, false, false],
    ["UPDATE", true, true, true],
    ["UPDATE on others", false, false, false],
  ]);
  expect(cells(report, "report", "tables")).toEqual(
    expect.arrayContaining([
      ["SELECT", true, true, true],
      ["SELECT on others", false, false, false],
      ["UPDATE", false, false, false],
    ]),
  );
  expect(cells(report, "admin", "tables").map(([name]) => name)).not.toContain("SELECT on others");
});

test("evidence names the tables and the columns", async () => {
  const sent = (name: string, kind: string, report: Report) =>
    cellsOf(report)
      .find(({ persona, result }) => persona === "report" && result.kind === kind && result.name === name)!
      .result.evidence.map(({ sent }) => sent);
  const report = await deployment.verify();
  expect(sent("SELECT on others", "tables", report)).toContain('SELECT * FROM "sales".refunds LIMIT 0');
  expect(sent("SELECT", "columns", report)).toContain('SELECT "id" FROM "sales".customers LIMIT 0');
  expect(sent("SELECT on others", "columns", report)).toContain(
    'SELECT "Full name" FROM "sales".customers LIMIT 0',
  );
});

const ORDERS = 'sales."Order-items"';

test.each<[string, string, string, string]>([
  [
    "a table that is not declared",
    "GRANT SELECT ON sales.refunds TO shop_service",
    "REVOKE SELECT ON sales.refunds FROM shop_service",
    'service tables.SELECT on others: SELECT on "sales".refunds is not declared and is allowed: granted to shop_service by shop_owner: SELECT on table sales.refunds',
  ],
  [
    "a privilege that is not declared, on a table that is",
    `GRANT DELETE ON ${ORDERS} TO shop_service`,
    `REVOKE DELETE ON ${ORDERS} FROM shop_service`,
    'service tables.DELETE: DELETE on "sales"."Order-items" is not declared and is allowed: granted to shop_service by shop_owner: DELETE on table sales."Order-items"',
  ],
  [
    "a declared table's grant is gone",
    `REVOKE INSERT ON ${ORDERS} FROM shop_service`,
    `GRANT INSERT ON ${ORDERS} TO shop_service`,
    'service tables.INSERT: INSERT on "sales"."Order-items" is declared and is refused: no grant of INSERT to shop_service',
  ],
  [
    "a column that is not declared",
    'GRANT SELECT ("Full name") ON sales.customers TO shop_service',
    'REVOKE SELECT ("Full name") ON sales.customers FROM shop_service',
    'service columns.SELECT on others: SELECT on Full name, initial of "sales".customers is not declared and is allowed: granted to shop_service by shop_owner: SELECT on column "Full name" of sales.customers',
  ],
  [
    "a declared column's grant is gone",
    'REVOKE UPDATE (paid) ON sales."Order-items" FROM shop_report',
    'GRANT UPDATE (paid) ON sales."Order-items" TO shop_report',
    'report columns.UPDATE: UPDATE on paid of "sales"."Order-items" is declared and is refused: no grant of UPDATE to shop_report on paid',
  ],
  [
    "one of several columns is gone",
    "REVOKE SELECT (email) ON sales.customers FROM shop_service",
    "GRANT SELECT (email) ON sales.customers TO shop_service",
    'service columns.SELECT: SELECT on id, email of "sales".customers is declared and is refused: no grant of SELECT to shop_service on email',
  ],
  [
    "the whole of a table with declared columns",
    "GRANT UPDATE ON sales.customers TO shop_service",
    "REVOKE UPDATE ON sales.customers FROM shop_service; GRANT UPDATE (email) ON sales.customers TO shop_service",
    'service columns.UPDATE on others: UPDATE on id, Full name, initial of "sales".customers is not declared and is allowed: granted to shop_service by shop_owner: UPDATE on table sales.customers',
  ],
  [
    "a column of a table that is not declared",
    "GRANT REFERENCES (id) ON sales.refunds TO shop_report",
    "REVOKE REFERENCES (id) ON sales.refunds FROM shop_report",
    'report tables.REFERENCES: REFERENCES on "sales".refunds is not declared and is held by the catalogs: granted to shop_report by shop_owner: REFERENCES on column id of sales.refunds',
  ],
  [
    "a column beside the whole table",
    `GRANT SELECT (paid) ON ${ORDERS} TO shop_service`,
    `REVOKE SELECT (paid) ON ${ORDERS} FROM shop_service; GRANT SELECT ON ${ORDERS} TO shop_service`,
    'service nothing else granted or owned: not declared: granted to shop_service by shop_owner: SELECT on column paid of sales."Order-items"',
  ],
  [
    "a declared column that can be passed on",
    "GRANT SELECT (id) ON sales.customers TO shop_report WITH GRANT OPTION",
    "REVOKE GRANT OPTION FOR SELECT (id) ON sales.customers FROM shop_report",
    "report nothing else granted or owned: not declared: granted to shop_report by shop_owner: SELECT on column id of sales.customers WITH GRANT OPTION",
  ],
  [
    "another schema",
    "GRANT USAGE ON SCHEMA billing TO shop_service",
    "REVOKE USAGE ON SCHEMA billing FROM shop_service",
    "service schema.USAGE on others: USAGE on billing is not declared and is allowed: granted to shop_service by shop_owner: USAGE on schema billing",
  ],
  [
    "later tables, where tables are named",
    "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA sales GRANT SELECT ON TABLES TO shop_service",
    "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA sales REVOKE SELECT ON TABLES FROM shop_service",
    "granted to shop_service by default privileges: SELECT on later tables of shop_owner in schema sales",
  ],
  [
    "a table that is gone",
    "ALTER TABLE sales.customers RENAME TO people",
    "ALTER TABLE sales.people RENAME TO customers",
    " named tables and columns are there: service has privileges on the table sales.customers: there is none",
  ],
  [
    "a column that is gone",
    "ALTER TABLE sales.customers RENAME email TO mail",
    "ALTER TABLE sales.customers RENAME mail TO email",
    " named tables and columns are there: service has privileges on the columns email of the table sales.customers: there is none",
  ],
])("%s is found", async (_, plant, undo, finding) => {
  await deployment.superuser.query(plant);
  const lines = findings(await deployment.verify());
  await deployment.superuser.query(undo);
  expect(lines).toContainEqual(expect.stringContaining(finding));
});

test("with all of it undone, everything holds", async () => {
  expect(findings(await deployment.verify())).toEqual([]);
});
