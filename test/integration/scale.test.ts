import { readFileSync } from "node:fs";
import { describeChecks } from "../../verify/checks";
import { Deployment, findings } from "../support/deployment";

/** What is about the users' objects. */
const only = describeChecks()
  .filter(({ group }) => ["privileges", "session", "roles and PUBLIC"].includes(group))
  .map(({ id }) => id);

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ postgresSettings: { log_statement: "all" } });
});

afterAll(() => deployment.stop());

async function make(first: number, last: number): Promise<void> {
  const each = (sql: string) =>
    `FOR i IN ${String(first)}..${String(last)} LOOP EXECUTE pg_catalog.format('${sql}', i); END LOOP;`;
  await deployment.superuser.query(
    `DO $$ BEGIN
       ${each("CREATE ROLE r%s")}
       SET LOCAL ROLE example_owner;
       ${each("CREATE TABLE example.t%s (id integer PRIMARY KEY, note text)")}
       ${each("CREATE SEQUENCE example.s%s")}
       ${each("CREATE FUNCTION example.f%s() RETURNS integer LANGUAGE sql AS ''SELECT 1''")}
     END $$`,
  );
}

async function statements(): Promise<number> {
  const { logFile } = deployment.sandbox.postgres;
  const before = readFileSync(logFile, "utf8").length;
  expect(findings(await deployment.verify({ selection: { only } }))).toEqual([]);
  // Vault's own are as many each time; its background is not verify's.
  return readFileSync(logFile, "utf8")
    .slice(before)
    .match(/LOG: {2}(statement|execute)/g)!.length;
}

test("the statements that are sent do not grow with tables, sequences, functions and roles", async () => {
  await make(1, 30);
  const few = await statements();
  await make(31, 400);
  expect(await statements()).toBe(few);
});
