import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "pg";
import { ROOT } from "../../support/program";
import { Deployment } from "../../support/deployment";
import { attacked } from "./environment";
import { ask, expectEnded, lease, WAYS, type Lease } from "./support";
import { named, operators, plant, SPRUNG } from "../../support/traps";

const SETTINGS = { log_statement: "all", max_connections: "60" };
const GROUPS = ["readonly_role", "readwrite_role", "schema_admin_role", "maker_role"];

/** What the project sends by itself, as it stands in its sources: SQL, and what is around it, which names no function. */
function sources(...folders: string[]): string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => /\.(sql|ts)$/.test(file))
      .map((file) => readFileSync(join(ROOT, folder, file), "utf8")),
  );
}

describe.each(WAYS)("on PostgreSQL %i, by %s", (postgresMajor, leases) => {
  let deployment: Deployment;
  let attacker: Lease;
  let logged = 0;

  beforeAll(async () => {
    deployment = await Deployment.start({
      config: { ...attacked, leases },
      postgresMajor,
      postgresSettings: SETTINGS,
    });
    await deployment.superuser.query("SET search_path = pg_catalog, pg_temp");
    const functions = await named(deployment.superuser, sources("sql", "ops", "verify", "sandbox"));
    const symbols = operators(sources("sql"));
    expect(functions.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["array_agg", "pg_terminate_backend", "unnest"]),
    );

    attacker = await lease(deployment, "schema_admin_role");
    const { client } = await attacker.connect();
    await client.query("SET search_path = pg_catalog");
    for (const schema of ["example", "vault", "nanvc", attacker.user]) {
      if (schema !== "example")
        await client.query(`CREATE SCHEMA "${schema}"; GRANT USAGE ON SCHEMA "${schema}" TO PUBLIC`);
      expect(await plant(client, schema, functions, symbols)).toBeGreaterThan(1_000);
    }
    // Its own session has one where it may make temporary tables: nobody else searches there.
    const elsewhere = await attacker.connect("postgres");
    await elsewhere.client.query("SET search_path = pg_catalog; CREATE TEMP TABLE opened ()");
    expect(
      await plant(elsewhere.client, await temporarySchema(elsewhere.client), functions, symbols),
    ).toBeGreaterThan(1_000);
    logged = log().length;
  }, 180_000);

  afterAll(() => deployment.stop());

  const log = () => readFileSync(deployment.sandbox.postgres.logFile, "utf8");
  const sprung = () => [
    ...new Set(
      log()
        .slice(logged)
        .match(new RegExp(`LOG: +${SPRUNG}.*`, "g")),
    ),
  ];

  afterEach(() => {
    logged = log().length;
  });

  test("a trap is sprung where a name is looked up", async () => {
    const { client } = await attacker.connect();
    await expect(
      client.query("SET search_path = example; SELECT array_agg(pid) FROM pg_locks"),
    ).rejects.toThrow(SPRUNG);
    await client.end();
    attacker.sessions.pop();
    expect(sprung()).not.toEqual([]);
  });

  test.each(GROUPS)("leasing, renewing and revoking a login of %s run none", async (group) => {
    const login = await lease(deployment, group);
    await login.open("SELECT 1");
    await login.open("SET ROLE NONE; SELECT pg_catalog.lo_create(0)");
    expect(await login.renew()).toBe(200);
    const answer = await login.revoke();
    expect(sprung()).toEqual([]);
    expect(answer).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(true);
  });

  test.each(["report", "keeper"])("rotating the static role %s runs none", async (name) => {
    const answer = await ask(deployment, "POST", `database/rotate-role/${name}`);
    expect(sprung()).toEqual([]);
    expect(answer).toBe(204);
  });

  test("Vault's new password for itself runs none", async () => {
    const answer = await ask(deployment, "POST", "database/rotate-root/postgres-example");
    expect(sprung()).toEqual([]);
    expect(answer).toBe(204);
  });

  test("a verification runs none", async () => {
    // It finds them, as it should; that it ran none is what counts here.
    await deployment.verify();
    expect(sprung()).toEqual([]);
  });

  test("the revocation of who planted them runs none", async () => {
    const answer = await attacker.revoke();
    expect(sprung()).toEqual([]);
    expect(answer).toBe(204);
    await expectEnded(deployment, attacker);
  });
});

describe.each(WAYS)("on PostgreSQL %i, by %s", (postgresMajor, leases) => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await Deployment.start({ config: { ...attacked, leases }, postgresMajor });
    await deployment.superuser.query("SET search_path = pg_catalog, pg_temp");
  });

  afterAll(() => deployment.stop());

  /** The attack as it was carried out, with what it did for itself. */
  test("an aggregate of an admin's does not become Vault's login", async () => {
    const attacker = await lease(deployment, "schema_admin_role");
    const { client } = await attacker.connect();
    await client.query(`
      CREATE TABLE example.seen (by_session name, by_current name);
      CREATE FUNCTION example.step(state int[], next int) RETURNS int[] LANGUAGE sql AS 'SELECT state';
      CREATE FUNCTION example.final(state int[]) RETURNS int[] LANGUAGE plpgsql AS $$
        BEGIN
          IF session_user = 'vault' THEN
            INSERT INTO example.seen VALUES (session_user, current_user);
            CREATE ROLE "v-approle-forged-0" LOGIN CREATEROLE PASSWORD 'known';
          END IF;
          RETURN NULL;
        END $$;
      CREATE AGGREGATE example.array_agg(int) (SFUNC = example.step, STYPE = int[], FINALFUNC = example.final)`);
    const victim = await lease(deployment, "readonly_role");
    expect(await victim.revoke()).toBe(204);
    expect((await deployment.superuser.query("SELECT FROM example.seen")).rowCount).toBe(0);
    expect(await deployment.leasedRoles()).toEqual([attacker.user]);
    expect(await attacker.revoke()).toBe(204);
  });
});

async function temporarySchema(client: Client): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    "SELECT nspname AS name FROM pg_catalog.pg_namespace WHERE oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()",
  );
  return rows[0]!.name;
}
