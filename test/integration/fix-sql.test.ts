import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ManifestSchema } from "../../manifest/schema";
import type { Report } from "../../verify/report/report";
import { LONGEST_STATEMENT } from "../../verify/report/mend";
import { Deployment } from "../support/deployment";
import { messages, Program } from "../support/program";

/** `leasehold verify --fix-sql FILE` as a DBA has it: the command, the file, and what psql would make of it. */
let deployment: Deployment;
let fixFile: string;
let jsonFile: string;

beforeAll(async () => {
  deployment = await Deployment.start({ env: "two-databases" });
  fixFile = deployment.workspace.path("fix.sql");
  jsonFile = deployment.workspace.path("report.json");
  const made = (schema: string) => names.map((table) => `CREATE TABLE ${schema}.${table} (id integer);`);
  await byHand(({ name, owner }) => `SET ROLE ${owner}; ${made(name).join("\n")}`);
});

afterAll(() => deployment.stop());

const databases = () => deployment.manifest.databases;
/** Of which a statement takes several, and that psql must not read as its own. */
const names = [
  ...Array.from({ length: 40 }, (_, i) => `t${String(i)}`),
  `"it's ""mine""; \\connect :x -- $$"`,
];

async function verified(...args: string[]): Promise<Program & { code: number | string }> {
  const { postgres, vault, initialised } = deployment.sandbox;
  const program = new Program(
    [
      ...["verify", "--no-expiry", "--only", "tables.SELECT,tables.DELETE,public,nothing-else"],
      ...["--manifest", join(deployment.synthesized, "access.json"), ...args],
    ],
    {
      VAULT_ADDR: vault.address,
      VAULT_TOKEN: initialised.tokens.verifier,
      PGHOST: postgres.host,
      PGPORT: String(postgres.port),
    },
  );
  return Object.assign(program, { code: await program.ended });
}

/** In each of the databases. */
async function byHand(statements: (schema: ManifestSchema, groups: string[]) => string): Promise<void> {
  for (const database of databases()) {
    const client = await deployment.connect(database);
    const groups = database.personas.map(({ groupRole }) => groupRole);
    await client.query(statements(database.schemas[0]!, groups));
    await client.end();
  }
}

/** As psql does: a connection for each `\connect`, the superuser's, and a statement at a time. */
async function run(sql: string): Promise<void> {
  const [, ...parts] = sql.split(/^\\connect "(.*)"$/m);
  while (parts.length > 0) {
    const [name, text] = parts.splice(0, 2);
    const client = await deployment.connect(databases().find((each) => each.name === name)!);
    for (const line of text!.split("\n")) await client.query(line);
    await client.end();
  }
}

test("the file mends what was found in each database, may be run again, and is its owner's alone", async () => {
  await byHand(
    ({ name: schema }, [, service, report]) =>
      `REVOKE SELECT ON ALL TABLES IN SCHEMA ${schema} FROM ${report!};
       GRANT DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${report!};
       GRANT SELECT ON ${schema}.t1 TO ${report!};
       GRANT SELECT ON ${schema}.t1 TO ${service!} WITH GRANT OPTION;
       SET ROLE ${service!}; GRANT SELECT ON ${schema}.t1 TO PUBLIC; RESET ROLE;
       GRANT UPDATE (id) ON ${schema}.t2 TO PUBLIC`,
  );
  // An older run's, which others may read.
  writeFileSync(fixFile, "-- of yesterday\n");
  chmodSync(fixFile, 0o644);
  const red = await verified("--fix-sql", fixFile, "--json", jsonFile);
  expect(red.code).toBe(1);
  expect(red.output).toContain(
    `${fixFile}: statements that would mend it, for a superuser to read and run: psql -v ON_ERROR_STOP=1 -f ${fixFile}`,
  );
  expect(statSync(fixFile).mode & 0o777).toBe(0o600);

  const sql = readFileSync(fixFile, "utf8");
  const lines = sql.split("\n");
  expect(sql).not.toContain("yesterday");
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(LONGEST_STATEMENT + 1);
  // Not a statement a table.
  const grants = lines.filter((line) => line.startsWith("GRANT SELECT ON TABLE "));
  expect(grants.length).toBeLessThan(2 * 10);
  expect(grants.join().match(/\.t\d+/g)).toHaveLength(2 * 39);
  const report = JSON.parse(readFileSync(jsonFile, "utf8")) as Report;
  const written = JSON.stringify(report);
  for (const line of grants) expect(written).toContain(JSON.stringify(line.slice(0, -1)).slice(1, -1));
  for (const secret of [deployment.sandbox.postgres.password, deployment.sandbox.initialised.tokens.verifier])
    expect(sql).not.toContain(secret);
  // Who passed it on takes it back, before the right to pass it on is taken.
  const [back, option] = [
    /^SET LOCAL ROLE ".*"; REVOKE SELECT ON TABLE .* FROM PUBLIC; RESET ROLE;$/,
    /^REVOKE GRANT OPTION FOR SELECT ON TABLE /,
  ].map((pattern) => lines.findIndex((line) => pattern.test(line)));
  expect(back).toBeGreaterThan(0);
  expect(option).toBeGreaterThan(back!);

  await run(sql);
  await run(sql);
  const green = await verified("--fix-sql", fixFile);
  expect({ code: green.code, output: green.output }).toMatchObject({ code: 0 });
  expect(messages(green.output).at(-1)).toBe(`${fixFile}: there is no statement that would mend anything`);
  // Those of before are not there to be run again.
  expect(readFileSync(fixFile, "utf8")).toBe(
    "-- leasehold verify found nothing in two-databases that a statement would mend.\n",
  );
});

test("what can't be written is told before the work, and nothing is verified", async () => {
  const nowhere = join(deployment.workspace.path("nowhere"), "fix.sql");
  const program = await verified("--fix-sql", nowhere);
  expect(program.code).toBe(2);
  expect(messages(program.output)).toEqual([
    expect.stringMatching(
      /^the file with statements can't be written \(ENOENT.*\): name a file in a folder that exists and can be written$/,
    ),
  ]);
  expect(existsSync(nowhere)).toBe(false);
});
