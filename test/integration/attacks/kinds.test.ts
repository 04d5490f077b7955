import { resultsOf } from "../../../verify/report/report";
import { Deployment } from "../../support/deployment";
import { query } from "../../support/hand-made";
import { attacked } from "./environment";
import { expectEnded, expectOthersCanLease, lease, sweep, WAYS } from "./support";

/** What a login leaves behind, committed, with no more than PUBLIC's privileges, or than those that make a schema's admin. */
interface Kind {
  readonly role: "readonly_role" | "schema_admin_role";
  readonly sql: string;
  /** @default - the declared one */
  readonly database?: string;
}

const anybody = { role: "readonly_role", database: "theirs" } as const;
const admin = { role: "schema_admin_role" } as const;

const KINDS: Readonly<Record<string, Kind>> = {
  "settings of its own": { role: "readonly_role", sql: "ALTER ROLE CURRENT_USER SET work_mem = '1MB'" },
  "settings of its own in another database": {
    ...anybody,
    sql: "ALTER ROLE CURRENT_USER IN DATABASE theirs SET work_mem = '1MB'",
  },
  "a large object with a comment, granted to everybody": {
    ...anybody,
    sql: "DO $$ DECLARE id oid := lo_create(0); BEGIN EXECUTE format('COMMENT ON LARGE OBJECT %s IS ''x''; GRANT SELECT ON LARGE OBJECT %1$s TO vault, example_owner, readwrite_role, PUBLIC', id); END $$",
  },
  "default privileges of each kind": {
    ...anybody,
    sql: ["TABLES", "SEQUENCES", "FUNCTIONS", "TYPES", "SCHEMAS"]
      .map((what) => `ALTER DEFAULT PRIVILEGES GRANT ALL ON ${what} TO vault, readwrite_role`)
      .join("; "),
  },
  "a mapping to a foreign server": {
    ...anybody,
    sql: "DROP USER MAPPING IF EXISTS FOR CURRENT_USER SERVER elsewhere; CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere OPTIONS (user 'x', password 'y')",
  },
  "a foreign server of its own": {
    ...anybody,
    sql: "CREATE SERVER mine FOREIGN DATA WRAPPER postgres_fdw; GRANT USAGE ON FOREIGN SERVER mine TO vault; CREATE USER MAPPING FOR PUBLIC SERVER mine; DO $$ BEGIN EXECUTE format('ALTER SERVER mine RENAME TO %I', 'mine ' || clock_timestamp()); END $$",
  },
  "a schema and what it holds": {
    ...admin,
    sql: `CREATE SCHEMA mine;
      CREATE TABLE mine.t (id int GENERATED ALWAYS AS IDENTITY, x int);
      CREATE TYPE mine.e AS ENUM ('a'); CREATE TYPE mine.r AS RANGE (subtype = int4); CREATE DOMAIN mine.d AS int;
      CREATE TYPE mine.c AS (a int);
      CREATE FUNCTION mine.f(mine.c) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
      CREATE CAST (mine.c AS text) WITH FUNCTION mine.f(mine.c);
      CREATE FUNCTION mine.o(mine.c, mine.c) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
      CREATE OPERATOR mine.=== (FUNCTION = mine.o, LEFTARG = mine.c, RIGHTARG = mine.c);
      CREATE COLLATION mine.k FROM "C";
      CREATE TEXT SEARCH CONFIGURATION mine.s (COPY = pg_catalog.simple);
      CREATE TEXT SEARCH DICTIONARY mine.s (TEMPLATE = pg_catalog.simple);
      CREATE CONVERSION mine.v FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
      CREATE AGGREGATE mine.g(int) (SFUNC = pg_catalog.int4pl, STYPE = int);
      CREATE STATISTICS mine.q ON id, x FROM mine.t;
      CREATE VIEW mine.w AS SELECT * FROM mine.t; CREATE MATERIALIZED VIEW mine.m AS SELECT * FROM mine.t;
      CREATE RULE more AS ON INSERT TO mine.t DO ALSO NOTHING;
      ALTER TABLE mine.t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON mine.t TO readonly_role USING (true);
      DO $$ BEGIN EXECUTE format('ALTER SCHEMA mine RENAME TO %I', 'mine ' || clock_timestamp()); END $$`,
  },
  "a publication": {
    ...admin,
    sql: "CREATE PUBLICATION mine; DO $$ BEGIN EXECUTE format('ALTER PUBLICATION mine RENAME TO %I', 'mine ' || clock_timestamp()); END $$",
  },
  "an extension that PostgreSQL trusts": {
    ...admin,
    sql: "DROP EXTENSION IF EXISTS citext; CREATE EXTENSION citext SCHEMA example",
  },
  "what goes with its session": {
    ...anybody,
    sql: `CREATE TEMP TABLE t (x int); CREATE TYPE pg_temp.c AS (a int);
      CREATE FUNCTION pg_temp.f(pg_temp.c) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
      CREATE CAST (pg_temp.c AS text) WITH FUNCTION pg_temp.f(pg_temp.c);
      CREATE COLLATION pg_temp.k FROM "C"; CREATE TEXT SEARCH CONFIGURATION pg_temp.s (COPY = pg_catalog.simple);
      GRANT SELECT ON t TO vault, readwrite_role`,
  },
  "a second session, which the first one opened by dblink": {
    ...anybody,
    sql: "SELECT public.dblink_connect('mine', 'dbname=theirs ITSELF'); SELECT public.dblink_exec('mine', 'SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD NULL')",
  },
};

describe.each(WAYS)("on PostgreSQL %i, by %s", (postgresMajor, leases) => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await Deployment.start({ config: { ...attacked, leases }, postgresMajor });
    await deployment.superuser.query("CREATE DATABASE theirs");
    // What a DBA may have installed.
    for (const sql of [
      "CREATE EXTENSION postgres_fdw",
      "CREATE EXTENSION dblink",
      "GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO PUBLIC",
      "CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw",
      "GRANT USAGE ON FOREIGN SERVER elsewhere TO PUBLIC",
    ])
      await query(deployment.sandbox.postgres, sql, { database: "theirs" });
  });

  afterAll(() => deployment.stop());

  test.each(
    Object.entries(KINDS).flatMap(([what, kind]) => [
      [what, "", kind] as const,
      [what, "SET ROLE NONE; ", kind] as const,
    ]),
  )("a login that left %s ends (%s)", async (_, as, { role, sql, database }) => {
    const login = await lease(deployment, role);
    const { host, port } = deployment.sandbox.postgres;
    const own = `host=${host} port=${String(port)} user=${login.user} password=${login.password}`;
    await login.open(as + sql.replace("ITSELF", own), { database });
    expect(await login.revoke()).toBe(204);
    const isGone = await expectEnded(deployment, login);
    expect(["28P01", "28000"]).toContain(await login.refusal(database));
    await expectOthersCanLease(deployment);
    const report = await deployment.verify({ selection: { only: ["leased-logins"] } });
    const found = resultsOf(report).flatMap(({ result }) => result.findings);
    expect(found).toEqual(
      isGone
        ? []
        : [expect.stringContaining(`${login.user} is what a revocation could not drop and is closed`)],
    );
    expect(await sweep(deployment)).toEqual({ dropped: isGone ? [] : [login.user], kept: [] });
    expect(await deployment.leasedRoles()).toEqual([]);
  });
});
