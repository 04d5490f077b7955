import { parseEnvironment } from "../../config/schema/schema";
import { Deployment as DeployedByCommands } from "../../ops/deployment/deployment";
import {
  adoptFunctions,
  checkLeaseSchema,
  dropEmptySchema,
  dropFunctions,
} from "../../ops/postgres/lease-functions";
import { SetupError } from "../../clients/setup-error";
import { synthesizeApp } from "../../stacks/app";
import { Deployment, findings } from "../support/deployment";
import { recordState } from "../support/state";
import { attacked } from "./attacks/environment";
import { expectOthersCanLease, forCommands, MAJORS } from "./attacks/support";

/** Two environments that lease in one database: what deploy does with functions, it does with those of its own alone. */
const FIVE = ["close", "drop", "open", "renew", "set_password"];

describe.each(MAJORS)("on PostgreSQL %i", (postgresMajor) => {
  let deployment: Deployment;
  let own: DeployedByCommands;
  /** Is about to be deployed. */
  let other: DeployedByCommands;

  beforeAll(async () => {
    const config = { ...attacked, leases: "functions" } as const;
    deployment = await Deployment.start({ config, postgresMajor });
    await deployment.superuser.query("SET search_path = pg_catalog, pg_temp");
    const folder = deployment.workspace.path("other");
    synthesizeApp(parseEnvironment("the other config", { ...config, name: "staging" }), folder);
    own = forCommands(deployment);
    other = DeployedByCommands.read(folder)!;
  });

  afterEach(() => {
    for (const commands of [own, other]) record(commands, []);
  });

  afterAll(() => deployment.stop());

  const there = async () =>
    (
      await deployment.superuser.query<{ name: string; body: string }>(
        "SELECT proname AS name, prosrc AS body FROM pg_proc WHERE pronamespace = to_regnamespace('leasehold') ORDER BY 1",
      )
    ).rows;
  const names = async () => (await there()).map(({ name }) => name);
  const hasSchema = async () =>
    (await deployment.superuser.query("SELECT WHERE to_regnamespace('leasehold') IS NOT NULL")).rowCount ===
    1;
  const database = ({ manifest }: DeployedByCommands) => manifest.databases[0]!;

  /** Terraform has made all resources of these types. */
  function record(commands: DeployedByCommands, types: readonly string[]): void {
    recordState(commands, (type) => types.includes(type));
  }

  /** In one line, with what the function is told by. */
  async function expectRefused(commands: DeployedByCommands, mark: string): Promise<void> {
    const error: unknown = await checkLeaseSchema(commands, database(commands)).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(SetupError);
    expect((error as SetupError).message).toMatch(
      new RegExp(
        `^the function leasehold\\.\\S+ in the database nanvc is not this environment's \\(its mark is ${mark}\\), .*$`,
      ),
    );
  }

  test("another environment's deploy takes none of them, drops none, and is refused; its schema stays too", async () => {
    const found = await there();
    expect(found.map(({ name }) => name)).toEqual(FIVE);
    record(other, ["postgresql_schema"]);
    expect(await dropFunctions(other, database(other))).toEqual([]);
    expect(await adoptFunctions(other, database(other))).toEqual([]);
    expect(await dropEmptySchema(other, database(other))).toEqual([]);
    await expectRefused(other, "leasehold local nanvc");
    // Those that it has overwritten are in its state.
    record(other, ["postgresql_function"]);
    await expectRefused(other, "leasehold local nanvc");
    expect(await there()).toEqual(found);
    expect(await checkLeaseSchema(own, database(own))).toEqual([]);
    await expectOthersCanLease(deployment);
  });

  test("one whose body was replaced by hand is one's own where Terraform has made it, and else somebody's", async () => {
    const { rows } = await deployment.superuser.query<{ definition: string }>(
      "SELECT pg_get_functiondef('leasehold.close(text)'::regprocedure) AS definition",
    );
    await deployment.superuser.query(
      "CREATE OR REPLACE FUNCTION leasehold.close(login text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN END'",
    );
    await expectRefused(own, "none");
    record(own, ["postgresql_function"]);
    expect(await checkLeaseSchema(own, database(own))).toEqual([]);
    await deployment.superuser.query(rows[0]!.definition);
    expect(findings(await deployment.verify())).toEqual([]);
  });

  test("one's own go all five, and the schema, unless something else is in it", async () => {
    await deployment.superuser.query("CREATE TABLE leasehold.kept ()");
    const line = "dropped the functions of the schema leasehold, which Vault no longer calls";
    const definitions = await deployment.superuser.query<{ definition: string }>(
      "SELECT pg_get_functiondef(oid) AS definition FROM pg_proc WHERE pronamespace = 'leasehold'::regnamespace",
    );
    record(own, ["postgresql_schema"]);
    expect(await dropFunctions(own, database(own))).toEqual([line]);
    expect(await names()).toEqual([]);
    expect(await dropEmptySchema(own, database(own))).toEqual([]);
    expect(await hasSchema()).toBe(true);
    for (const { definition } of definitions.rows) await deployment.superuser.query(definition);
    await deployment.superuser.query("DROP TABLE leasehold.kept");
    expect(await dropEmptySchema(own, database(own))).toEqual([]);
    expect(await names()).toEqual(FIVE);
    expect(await dropFunctions(own, database(own))).toEqual([line]);
    expect(await hasSchema()).toBe(false);
    expect(await dropFunctions(own, database(own))).toEqual([]);
  });

  test("a schema that is empty goes where Terraform has made it, and else stays", async () => {
    await deployment.superuser.query("CREATE SCHEMA IF NOT EXISTS leasehold");
    await dropEmptySchema(own, database(own));
    expect(await hasSchema()).toBe(true);
    record(own, ["postgresql_schema"]);
    await dropEmptySchema(own, database(own));
    expect(await hasSchema()).toBe(false);
  });
});
