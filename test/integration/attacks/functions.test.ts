import type { Client } from "pg";
import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { readFileSync } from "node:fs";
import { Deployment, findings } from "../../support/deployment";
import { query } from "../../support/hand-made";
import { eventually } from "../../support/program";
import { named, operators, plant, SPRUNG } from "../../support/traps";
import { attacked } from "./environment";
import {
  attempt,
  expectEnded,
  expectOthersCanLease,
  lease,
  LoginUnderTest,
  MAJORS,
  sqlstate,
  staticLogin,
} from "./support";

const GROUPS = ["readonly_role", "readwrite_role", "schema_admin_role", "maker_role"];
const UNTIL = "2099-01-01 00:00:00+0000";
const MARK = "leasehold local nanvc";
const SECRET = "It's a \\ secret";

/** What ends a literal, an identifier, a dollar quote or a comment, is a placeholder, or is no ASCII. */
const HOSTILE = [
  "'",
  "''",
  "\\'",
  "\\",
  "E'\\''",
  '"',
  '"; ALTER ROLE vault SUPERUSER; --',
  "'; ALTER ROLE vault SUPERUSER; --",
  "\\'; ALTER ROLE vault SUPERUSER; --",
  "$$",
  "$$; ALTER ROLE vault SUPERUSER; $$",
  "$body$; ALTER ROLE vault SUPERUSER; $body$",
  "%I %L %s %1$s",
  "{{name}} {{password}}",
  ":'mark' :groups",
  "/* */ -- \n",
  "\u0001\t\r\n",
  "ｖａｕｌｔ ＇ é",
  "é ' ʼ 🦊",
  "x' VALID UNTIL 'infinity' SUPERUSER PASSWORD 'y",
  "",
];

let count = 0;
/** As Vault makes them, each another. `asker` and `role` have 8 characters at the most. */
function leasedName(asker = "approle", role = "readonly"): string {
  count += 1;
  return `v-${asker}-${role}-Abcdefghijklmnop${String(count).padStart(4, "0")}-1900000000`;
}

const call = (name: string, ...args: (string | null)[]) =>
  `SELECT leasehold.${name}(${args.map((arg) => (arg === null ? "NULL" : literal(arg))).join(", ")})`;
const open = (login: string | null, group: string | null = "readonly_role", until: string | null = UNTIL) =>
  call("open", login, group, SECRET, until);

/** By function, a call that does something, as lists of arguments of which one is replaced. */
const CALLS: Readonly<Record<string, (login: string) => string[]>> = {
  open: (login) => [login, "readonly_role", SECRET, UNTIL],
  renew: (login) => [login, UNTIL],
  close: (login) => [login],
  drop: (login) => [login, "readonly_role"],
  set_password: () => ["report_login", SECRET],
};

/** What a login may set for itself, in a session or as it connects. */
const SETTINGS: readonly string[] = [
  "SET standard_conforming_strings = off",
  "SET standard_conforming_strings = off; SET backslash_quote = on",
  "SET DateStyle = 'SQL, DMY'",
  "SET DateStyle = 'German'; SET IntervalStyle = 'iso_8601'; SET TimeZone = 'Asia/Kathmandu'",
  "SET client_encoding = 'SQL_ASCII'",
  "SET client_encoding = 'LATIN1'",
  "SET quote_all_identifiers = on",
  "SET transform_null_equals = on; SET array_nulls = off",
  "SET plpgsql.extra_errors = 'all'; SET plpgsql.extra_warnings = 'all'",
  "SET plan_cache_mode = force_generic_plan",
  "SET plan_cache_mode = force_custom_plan",
  "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off; SET enable_nestloop = off; SET enable_hashjoin = off; SET enable_mergejoin = off",
  "SET enable_seqscan = on; SET jit_above_cost = 0; SET work_mem = '64kB'",
  "SET stats_fetch_consistency = snapshot; SELECT count(*) FROM pg_catalog.pg_stat_activity",
  "SET check_function_bodies = off; SET xmloption = document; SET extra_float_digits = -15",
  "SET lock_timeout = 1; SET bytea_output = escape",
  "SET row_security = off; SET SESSION AUTHORIZATION DEFAULT; SET ROLE NONE",
  "SET search_path = ''",
  "SET search_path = example, pg_temp, pg_catalog",
  "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, NOT DEFERRABLE",
  "SET default_transaction_isolation = 'repeatable read'",
];
/** Of later majors, by the first that has it. */
const LATER_SETTINGS: readonly (readonly [major: number, sql: string])[] = [
  [16, "SET createrole_self_grant = 'set, inherit'"],
  [16, "SET debug_parallel_query = regress"],
  [17, "SET restrict_nonsystem_relation_kind = 'view, foreign-table'"],
];

describe.each(MAJORS)("with Vault's login, on PostgreSQL %i", (postgresMajor) => {
  let deployment: Deployment;
  let vault: LoginUnderTest;
  let client: Client;

  beforeAll(async () => {
    deployment = await Deployment.start({
      config: { ...attacked, leases: "functions" },
      postgresMajor,
      postgresSettings: { max_connections: "60", max_prepared_transactions: "5" },
    });
    const { superuser, root } = deployment;
    await superuser.query("SET search_path = pg_catalog, pg_temp");
    await superuser.query("CREATE DATABASE theirs");
    await superuser.query(`
      SET ROLE example_owner;
      CREATE TABLE example.people (name text);
      RESET ROLE;
      CREATE ROLE boss SUPERUSER LOGIN;
      CREATE ROLE billing LOGIN PASSWORD 'x';
      CREATE ROLE other_group`);
    // A thief has its password of the moment.
    await superuser.query("ALTER ROLE vault PASSWORD 'stolen'");
    await root.call("POST", "database/config/postgres-example", { password: "stolen" });
    vault = new LoginUnderTest(deployment, "vault", "stolen");
  });

  beforeEach(async () => {
    ({ client } = await vault.connect());
  });

  afterEach(async () => {
    await vault.close();
    vault.sessions.length = 0;
    for (const role of await deployment.leasedRoles())
      await deployment.superuser.query(`DROP OWNED BY ${ident(role)}; DROP ROLE ${ident(role)}`);
  });

  afterAll(() => deployment.stop());

  /** Roles, their memberships and settings, and what the schema of the functions holds. */
  async function state(): Promise<unknown[]> {
    const { rows } = await deployment.superuser.query<object>(`
      SELECT to_jsonb(a) - 'oid' || jsonb_build_object(
          'comment', shobj_description(oid, 'pg_authid'),
          'groups', ARRAY(SELECT roleid::regrole FROM pg_auth_members WHERE member = a.oid ORDER BY 1),
          'settings', ARRAY(SELECT setconfig FROM pg_db_role_setting WHERE setrole = a.oid)
        ) AS is
      FROM pg_authid a WHERE rolname !~ '^pg_'
      UNION ALL SELECT to_jsonb(p) FROM pg_proc p WHERE pronamespace = 'leasehold'::regnamespace
      UNION ALL SELECT to_jsonb(n) FROM pg_namespace n WHERE nspname !~ '^pg_'
      ORDER BY 1`);
    return rows;
  }

  const attributes = async (role: string) => {
    const { rows } = await deployment.superuser.query<object>(
      `SELECT rolcanlogin, rolconnlimit, rolvaliduntil, shobj_description(a.oid, 'pg_authid') AS comment, setconfig,
         ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = a.oid) AS groups
       FROM pg_authid a LEFT JOIN pg_db_role_setting ON setrole = a.oid WHERE rolname = $1`,
      [role],
    );
    return rows[0];
  };

  /** The whole life of a login, and what it was like. */
  async function life(through: Client, name = leasedName()): Promise<object | undefined> {
    expect(await attempt(through, open(name))).toBe("allowed");
    const was = await attributes(name);
    expect(await new LoginUnderTest(deployment, name, SECRET).refusal()).toBe("logged in");
    for (const sql of [
      call("renew", name, UNTIL),
      call("close", name),
      call("close", name),
      call("drop", name, "readonly_role"),
    ])
      expect([sql, await attempt(through, sql)]).toEqual([sql, "allowed"]);
    expect(await deployment.leasedRoles()).toEqual([]);
    return was;
  }

  describe("arguments", () => {
    test.each(["on", "off"])("are data, with standard_conforming_strings %s", async (setting) => {
      await client.query(`SET standard_conforming_strings = ${setting}`);
      const before = await state();
      for (const [name, args] of Object.entries(CALLS))
        for (const [i, text] of [...HOSTILE, null].flatMap((each) =>
          args("").map((_, at) => [at, each] as const),
        )) {
          const given: (string | null)[] = args(leasedName());
          // Any text is a password, but none at all.
          const isSecret = given[i] === SECRET && text !== null && text !== "";
          if (isSecret) continue;
          given[i] = text;
          const sent = {
            text: `SELECT leasehold.${name}(${given.map((_, at) => `$${String(at + 1)}`).join(", ")})`,
          };
          const answer = await client.query({ ...sent, values: given }).then(
            () => "allowed",
            (error: unknown) => sqlstate(error),
          );
          // What is no role's name has ended already.
          const isGone = ["close", "drop"].includes(name);
          expect([name, given, answer]).toEqual([
            name,
            given,
            isGone ? "allowed" : (expect.stringMatching(/^(22023|42501)$/) as string),
          ]);
        }
      expect(await state()).toEqual(before);
    });

    test.each(["on", "off"])(
      "any password is the login's, to the letter, with standard_conforming_strings %s",
      async (setting) => {
        await client.query(`SET standard_conforming_strings = ${setting}`);
        // As the driver sends it, and not as PostgreSQL normalizes it.
        for (const secret of HOSTILE.filter((text) => text !== "" && text === text.normalize("NFKC"))) {
          const name = leasedName();
          await client.query("SELECT leasehold.open($1, 'readonly_role', $2, $3)", [name, secret, UNTIL]);
          expect([secret, await new LoginUnderTest(deployment, name, secret).refusal()]).toEqual([
            secret,
            "logged in",
          ]);
          await client.query("SELECT leasehold.set_password('report_login', $1)", [secret]);
          expect([secret, await new LoginUnderTest(deployment, "report_login", secret).refusal()]).toEqual([
            secret,
            "logged in",
          ]);
          await client.query("SELECT leasehold.close($1), leasehold.drop($1, 'readonly_role')", [name]);
        }
        expect(await deployment.leasedRoles()).toEqual([]);
      },
    );

    test.each(["$$", ";--", "/*", "\\", "%I%s%L", "{{name}}", "a b", "é🦊ｖ", ""])(
      "a name with %j in it is that login's, and no other's",
      async (part) => {
        const name = leasedName(part, part);
        await life(client, name);
      },
    );

    test("a name of 63 bytes is taken, one of 64 is not", async () => {
      const [longest, longer] = [leasedName("🦊🦊🦊🦊🦊", "readonly"), leasedName("🦊🦊🦊🦊🦊", "readonlé")];
      const most = leasedName("🦊🦊🦊🦊🦊🦊🦊🦊", "🦊🦊🦊🦊🦊🦊🦊🦊");
      expect([longest, longer, most].map((name) => Buffer.byteLength(name))).toEqual([63, 64, 99]);
      await life(client, longest);
      const before = await state();
      for (const name of [longer, most])
        expect([name, await attempt(client, open(name))]).toEqual([name, "22023"]);
      expect(await state()).toEqual(before);
    });

    test.each([
      "infinity",
      "now",
      "2099-01-01",
      "2099-01-01 00:00:00",
      "2099-01-01 00:00:00+0000\n",
      "2099-01-01 00:00:00+0000' SUPERUSER",
      "0000-99-99 99:99:99+9999",
      "2099-02-30 00:00:00+0000",
      "２099-01-01 00:00:00+0000",
    ])("%j is no end", async (until) => {
      const name = leasedName();
      await client.query(open(name));
      const before = await state();
      const refused = expect.stringMatching(/^22(023|008)$/) as string;
      expect([
        await attempt(client, open(leasedName(), "readonly_role", until)),
        await attempt(client, call("renew", name, until)),
      ]).toEqual([refused, refused]);
      expect(await state()).toEqual(before);
    });
  });

  describe("others' roles", () => {
    test.each([
      "nanvc",
      "boss",
      "example_owner",
      ...GROUPS,
      "vault",
      "billing",
      "other_group",
      "keeper_login",
    ])("%s is not made, renewed, closed or dropped", async (role) => {
      const before = await state();
      expect([
        await attempt(client, open(role)),
        await attempt(client, call("renew", role, UNTIL)),
        await attempt(client, call("close", role)),
        await attempt(client, call("drop", role, "readonly_role")),
      ]).toEqual(["22023", "42501", "42501", "42501"]);
      if (role !== "keeper_login")
        expect(await attempt(client, call("set_password", role, "x"))).toBe("42501");
      expect(await state()).toEqual(before);
    });

    test.each([
      ["without a mark", "NULL"],
      ["of another database", "'leasehold local nanvc2'"],
      ["of another environment", "'leasehold prod nanvc'"],
      ["with more words", `'${MARK} too'`],
      ["of another case", `'${MARK.toUpperCase()}'`],
      ["with blanks", `' ${MARK}'`],
    ])("a login with a lease's name %s is not touched", async (_, comment) => {
      const name = leasedName();
      await deployment.superuser.query(
        `CREATE ROLE ${ident(name)} LOGIN PASSWORD 'x' IN ROLE other_group; COMMENT ON ROLE ${ident(name)} IS ${comment}`,
      );
      const before = await state();
      expect([
        await attempt(client, open(name)),
        await attempt(client, call("renew", name, UNTIL)),
        await attempt(client, call("close", name)),
        await attempt(client, call("drop", name, "readonly_role")),
      ]).toEqual(["42710", "42501", "42501", "42501"]);
      expect(await state()).toEqual(before);
    });

    test("a mark that somebody with CREATEROLE forged lets his own role be ended, as he could himself, and no superuser's", async () => {
      const name = leasedName();
      await deployment.superuser.query("CREATE ROLE forger LOGIN CREATEROLE PASSWORD 'x'");
      const forger = await new LoginUnderTest(deployment, "forger", "x").connect("theirs");
      await forger.client.query(
        `CREATE ROLE ${ident(name)} LOGIN PASSWORD 'x'; COMMENT ON ROLE ${ident(name)} IS '${MARK}'`,
      );
      expect(await attempt(forger.client, `COMMENT ON ROLE boss IS '${MARK}'`)).toBe("42501");
      expect(await attempt(forger.client, `ALTER ROLE boss RENAME TO ${ident(leasedName())}`)).toBe("42501");
      await client.query(call("close", name));
      expect(await attempt(client, call("drop", name, "readonly_role"))).toBe("allowed");
      expect(await deployment.leasedRoles()).toEqual([]);
      await forger.client.end();
      await deployment.superuser.query("DROP ROLE forger");
    });

    test.each([
      ...[
        "pg_read_all_data",
        "pg_execute_server_program",
        "nanvc",
        "boss",
        "example_owner",
        "vault",
        "other_group",
      ],
      ...[
        "report_login",
        "READONLY_ROLE",
        '"readonly_role"',
        "readonly_role ",
        "readonly_role, vault",
        "0",
        "public",
      ],
      null,
    ])("no login in %p, which no persona has", async (group) => {
      const [name, closed] = [leasedName(), leasedName()];
      await client.query(open(closed));
      await client.query(call("close", closed));
      const before = await state();
      expect([
        await attempt(client, open(name, group)),
        await attempt(client, call("drop", closed, group)),
      ]).toEqual(["42501", "42501"]);
      expect(await state()).toEqual(before);
    });

    test("a static login that became powerful is not given a password", async () => {
      for (const attribute of ["SUPERUSER", "CREATEROLE", "REPLICATION", "BYPASSRLS"]) {
        await deployment.superuser.query(`ALTER ROLE report_login ${attribute}`);
        expect([attribute, await attempt(client, call("set_password", "report_login", "x"))]).toEqual([
          attribute,
          "42501",
        ]);
        await deployment.superuser.query(`ALTER ROLE report_login NO${attribute}`);
      }
    });

    test("a login that is closed is not renewed, and one that is open is not dropped", async () => {
      const name = leasedName();
      await client.query(open(name));
      expect(await attempt(client, call("drop", name, "readonly_role"))).toBe("55000");
      await client.query(call("close", name));
      expect(await attempt(client, call("renew", name, UNTIL))).toBe("42501");
      expect(await attempt(client, call("drop", name, "readonly_role"))).toBe("allowed");
    });
  });

  describe("names and settings", () => {
    /** What a schema before pg_catalog answers with, were it asked. */
    const SHADOWS = [
      "pg_authid",
      "pg_roles",
      "pg_auth_members",
      "pg_stat_activity",
      "pg_locks",
      "pg_shdepend",
      "pg_database",
      "pg_prepared_xacts",
      "pg_db_role_setting",
    ];

    test("traps in a schema, in a temporary one and in Vault's own are not sprung", async () => {
      const functions = await named(
        deployment.superuser,
        ["open", "renew", "close", "drop", "set_password"].map((name) =>
          readFileSync(`sql/functions/body/${name}.sql`, "utf8"),
        ),
      );
      expect(functions.map(({ name }) => name)).toEqual(expect.arrayContaining(["format", "set_config"]));
      // More than it has: what a DBA may have given.
      await deployment.superuser.query("GRANT TEMPORARY ON DATABASE nanvc TO vault");
      await deployment.superuser.query(`
        SET ROLE example_owner; CREATE SCHEMA evil; CREATE SCHEMA vault;
        GRANT USAGE, CREATE ON SCHEMA evil, vault TO vault; RESET ROLE`);
      await client.query("CREATE TEMP TABLE opened ()");
      const { rows } = await client.query<{ name: string }>(
        "SELECT pg_catalog.pg_my_temp_schema()::pg_catalog.regnamespace::pg_catalog.text AS name",
      );
      const schemas = ["evil", "vault", rows[0]!.name];
      for (const schema of schemas) {
        await client.query("SET search_path = pg_catalog");
        expect(await plant(client, schema, functions, operators([]))).toBeGreaterThan(500);
        for (const shadow of SHADOWS)
          await client.query(
            `CREATE TABLE ${ident(schema)}.${shadow} (oid oid, rolname name, rolcanlogin boolean)`,
          );
        for (const type of ["text", "bool", "int4", "int8", "oid", "record", "timestamptz", "interval"])
          await client.query(`CREATE TYPE ${ident(schema)}.${type} AS ENUM ('trap')`);
        await client.query(
          `CREATE TYPE ${ident(schema)}.label AS ENUM ('x'); CREATE FUNCTION ${ident(schema)}.cast_trap(${ident(schema)}.label) RETURNS pg_catalog.text LANGUAGE plpgsql AS 'BEGIN RAISE LOG ''${SPRUNG}''; RAISE ''${SPRUNG}''; END';
           CREATE CAST (${ident(schema)}.label AS pg_catalog.text) WITH FUNCTION ${ident(schema)}.cast_trap AS IMPLICIT`,
        );
      }
      const log = () => readFileSync(deployment.sandbox.postgres.logFile, "utf8");
      const before = log().length;
      for (const path of ["evil, pg_temp, pg_catalog", "pg_temp, evil, vault, pg_catalog", '"$user", evil']) {
        await client.query(`SET search_path = ${path}`);
        await life(client);
        expect(await attempt(client, call("set_password", "report_login", "x"))).toBe("allowed");
      }
      expect(log().slice(before)).not.toContain(SPRUNG);
      // They are there.
      await expect(
        client.query(
          "SET search_path = evil, pg_catalog; SELECT format('x'::pg_catalog.text, 'y'::pg_catalog.text)",
        ),
      ).rejects.toThrow(SPRUNG);
      await client.query("DISCARD ALL");
      await deployment.superuser.query(
        "DROP SCHEMA evil, vault CASCADE; REVOKE TEMPORARY ON DATABASE nanvc FROM vault; RESET client_min_messages",
      );
    });

    test.each([
      ...SETTINGS,
      ...LATER_SETTINGS.flatMap(([major, sql]) => (postgresMajor >= major ? [sql] : [])),
    ])("%s changes nothing", async (sql) => {
      const usual = await life(client, leasedName());
      await client.query(sql);
      const was = await life(client, leasedName());
      const unquoted = (of: object | undefined) =>
        JSON.parse(JSON.stringify(of).replaceAll('\\"', "")) as unknown;
      expect(unquoted(was)).toEqual(unquoted(usual));
      expect(was).toMatchObject({ setconfig: expect.arrayContaining(["role=readonly_role"]) as unknown });
    });

    test("its own limits end its calls and leave nothing half done", async () => {
      const before = await state();
      for (const [sql, code] of [
        ["SET default_transaction_read_only = on", "25006"],
        ["BEGIN READ ONLY", "25006"],
        ["SET statement_timeout = 1; BEGIN; SELECT 1", "57014"],
      ] as const) {
        await client.query(sql);
        // The shortest there is can still be enough.
        expect([code, "allowed"]).toContain(await attempt(client, open(leasedName())));
        await client.query("ROLLBACK; RESET ALL");
      }
      expect(await state()).toEqual(before);
    });
  });

  describe("calls within calls", () => {
    test("a result, a cursor, a prepared statement and a loop are calls as any other", async () => {
      const names = Array.from({ length: 4 }, () => leasedName());
      await client.query(`BEGIN; DECLARE c CURSOR FOR ${open(names[0]!)}; FETCH ALL FROM c; COMMIT`);
      await client.query(`PREPARE p(text) AS SELECT leasehold.open($1, 'readonly_role', 'x', '${UNTIL}')`);
      await client.query(`EXECUTE p(${literal(names[1]!)})`);
      await client.query(
        `DO $$ BEGIN PERFORM leasehold.open('${names[2]!}', 'readonly_role', 'x', '${UNTIL}'); END $$`,
      );
      await client.query(
        `SELECT leasehold.close(pg_catalog.concat('${names[3]!}', leasehold.open('${names[3]!}', 'readonly_role', 'x', '${UNTIL}')))`,
      );
      expect((await deployment.leasedRoles()).sort()).toEqual([...names].sort());
      // All in one statement, and in whichever order.
      await client.query(
        `SELECT leasehold.close(n), leasehold.drop(n, 'readonly_role') FROM pg_catalog.unnest(ARRAY[${names.map((name) => literal(name)).join(", ")}]) AS n`,
      );
      expect(await deployment.leasedRoles()).toEqual([]);
    });

    test("in a subtransaction that is rolled back nothing was done", async () => {
      const [kept, undone] = [leasedName(), leasedName()];
      await client.query(open(kept));
      const before = await state();
      await client.query(
        `BEGIN; SAVEPOINT s; ${open(undone)}; ${call("close", kept)}; ${call("drop", kept, "readonly_role")}; ${call("set_password", "report_login", "x")}; ROLLBACK TO s; COMMIT`,
      );
      expect(await state()).toEqual(before);
      expect(await new LoginUnderTest(deployment, kept, SECRET).refusal()).toBe("logged in");
    });

    test("a trigger that calls them for somebody else calls as him", async () => {
      await deployment.superuser.query("GRANT TEMPORARY ON DATABASE nanvc TO vault");
      await client.query(`
        CREATE TEMP TABLE t (name text);
        CREATE FUNCTION pg_temp.f() RETURNS trigger LANGUAGE plpgsql AS $$
          BEGIN PERFORM leasehold.open(NEW.name, 'readonly_role', 'x', '${UNTIL}'); RETURN NEW; END $$;
        CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION pg_temp.f()`);
      const name = leasedName();
      await client.query(`INSERT INTO t VALUES (${literal(name)})`);
      expect(await deployment.leasedRoles()).toEqual([name]);
      await deployment.superuser.query("REVOKE TEMPORARY ON DATABASE nanvc FROM vault");
    });

    test("functions run as their owner for their time alone, and give back the caller", async () => {
      const who =
        "SELECT current_user AS current, session_user AS session, pg_catalog.current_setting('role') AS role";
      const before = (await client.query(who)).rows;
      await client.query(open(leasedName()));
      await attempt(client, open(null));
      expect((await client.query(who)).rows).toEqual(before);
      expect(before).toEqual([{ current: "vault", session: "vault", role: "none" }]);
    });
  });

  describe("two at once for one name", () => {
    /** While the first's transaction is open the second starts; the first ends as it is told. */
    async function race(first: string, end: "COMMIT" | "ROLLBACK", second: string): Promise<string> {
      const { client: other } = await vault.connect();
      await client.query(`BEGIN; ${first}`);
      const { rows } = await other.query<{ pid: number }>("SELECT pg_catalog.pg_backend_pid() AS pid");
      const answer = attempt(other, second);
      const waits =
        "SELECT FROM pg_stat_activity WHERE pid = $1 AND (wait_event_type = 'Lock' OR state = 'idle')";
      await eventually(
        async () => (await deployment.superuser.query(waits, [rows[0]!.pid])).rowCount === 1,
        10_000,
        () => `the second does neither wait nor end: ${second}`,
      );
      await client.query(end);
      return answer;
    }

    test("opened twice, it is the first's, and the second's where that was rolled back", async () => {
      const name = leasedName();
      expect(await race(open(name), "ROLLBACK", open(name))).toBe("allowed");
      expect(["42710", "23505"]).toContain(await race(call("renew", name, UNTIL), "COMMIT", open(name)));
      const other = leasedName();
      expect(["42710", "23505"]).toContain(await race(open(other), "COMMIT", open(other)));
      expect(await deployment.leasedRoles()).toHaveLength(2);
    });

    test.each(["COMMIT", "ROLLBACK"] as const)(
      "in each order of the others, the first's end being %s, none harms and nothing is left",
      async (end) => {
        const calls = (name: string) => [
          call("renew", name, UNTIL),
          call("close", name),
          `${call("close", name)}; ${call("drop", name, "readonly_role")}`,
        ];
        for (const [i, j] of [0, 1, 2].flatMap((a) => [0, 1, 2].map((b) => [a, b] as const))) {
          const name = leasedName();
          await client.query(open(name));
          const answer = await race(calls(name)[i]!, end, calls(name)[j]!);
          // Refused, not available in time, or changed meanwhile: Vault tries again.
          expect([i, j, answer]).toEqual([
            i,
            j,
            expect.stringMatching(/^(allowed|42501|55P03|55000|XX000|42704)$/),
          ]);
          expect(await attempt(client, call("close", name))).toBe("allowed");
          expect(await attempt(client, call("drop", name, "readonly_role"))).toBe("allowed");
          expect(await deployment.leasedRoles()).toEqual([]);
        }
      },
    );
  });

  describe("what a thief of it can't do", () => {
    const REFUSED: readonly (readonly [sql: string, code?: string])[] = [
      ["CREATE ROLE mine"],
      ["CREATE ROLE mine IN ROLE readonly_role"],
      ["CREATE DATABASE mine"],
      ["ALTER ROLE vault CREATEROLE"],
      ["ALTER ROLE vault SUPERUSER"],
      ["ALTER ROLE vault CONNECTION LIMIT -1"],
      ["ALTER ROLE readonly_role LOGIN"],
      ["ALTER ROLE report_login PASSWORD 'x'"],
      ["ALTER ROLE nanvc PASSWORD 'x'"],
      ["ALTER ROLE leased PASSWORD 'x'"],
      ["ALTER ROLE leased SET role = example_owner"],
      ["ALTER ROLE leased RENAME TO mine"],
      ["COMMENT ON ROLE leased IS 'x'"],
      ["COMMENT ON ROLE billing IS 'x'"],
      ["DROP ROLE leased"],
      ["DROP OWNED BY leased"],
      ["REASSIGN OWNED BY leased TO vault"],
      ["GRANT readonly_role TO vault"],
      ["GRANT readonly_role TO billing"],
      ["GRANT leased TO vault"],
      ["GRANT example_owner TO vault"],
      ["GRANT pg_read_all_data TO vault"],
      ["REVOKE readonly_role FROM leased"],
      ["SET ROLE readonly_role"],
      ["SET ROLE example_owner"],
      ["SET ROLE leased"],
      ["SET ROLE nanvc"],
      ["SET SESSION AUTHORIZATION nanvc"],
      ["SET SESSION AUTHORIZATION leased"],
      ["TABLE example.people"],
      ["INSERT INTO example.people VALUES ('x')"],
      ["CREATE TABLE example.mine ()"],
      ["CREATE TABLE public.mine ()"],
      ["CREATE TEMP TABLE mine ()"],
      ["CREATE SCHEMA mine"],
      ["ALTER DATABASE nanvc SET search_path = x"],
      ["CREATE EXTENSION citext"],
      ["CREATE TABLE leasehold.mine ()"],
      ["CREATE FUNCTION leasehold.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'"],
      ["CREATE OR REPLACE FUNCTION leasehold.close(login text) RETURNS void LANGUAGE sql AS ''"],
      ["ALTER FUNCTION leasehold.close(text) SECURITY INVOKER"],
      ["ALTER FUNCTION leasehold.close(text) OWNER TO vault"],
      ["ALTER FUNCTION leasehold.close(text) SET search_path = example"],
      ["ALTER FUNCTION leasehold.close(text) RENAME TO shut"],
      ["ALTER FUNCTION leasehold.close(text) SET SCHEMA public"],
      ["DROP FUNCTION leasehold.close(text)"],
      ["COMMENT ON FUNCTION leasehold.close(text) IS 'x'"],
      ["ALTER SCHEMA leasehold OWNER TO vault"],
      ["ALTER SCHEMA leasehold RENAME TO mine"],
      ["DROP SCHEMA leasehold CASCADE"],
      ["SELECT rolpassword FROM pg_catalog.pg_authid"],
      ["TABLE pg_catalog.pg_shadow"],
      ["UPDATE pg_catalog.pg_authid SET rolsuper = true"],
      ["INSERT INTO pg_catalog.pg_auth_members DEFAULT VALUES"],
      ["UPDATE pg_catalog.pg_db_role_setting SET setconfig = NULL"],
      ["COPY example.people TO PROGRAM 'true'"],
      ["SELECT pg_catalog.pg_read_file('PG_VERSION')"],
      ["SELECT pg_catalog.pg_ls_dir('.')"],
      ["SELECT pg_catalog.lo_import('/etc/hostname')"],
      ["SELECT pg_catalog.pg_reload_conf()"],
      ["SELECT pg_catalog.pg_terminate_backend(victim)"],
      ["SELECT pg_catalog.pg_cancel_backend(victim)"],
      ["ALTER SYSTEM SET log_statement = 'all'"],
      ["SET log_statement = 'none'"],
      ["SET session_replication_role = replica"],
      ["CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION pg_catalog.now()"],
      ["CREATE PUBLICATION mine FOR ALL TABLES"],
      ["CREATE SERVER mine FOREIGN DATA WRAPPER postgres_fdw", "42704"],
    ];

    test("each is refused", async () => {
      const leased = leasedName();
      await client.query(open(leased));
      const session = await new LoginUnderTest(deployment, leased, SECRET).connect();
      const { rows } = await session.client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      const before = await state();
      const passed: string[] = [];
      for (const [sql, code = "42501"] of REFUSED) {
        const sent = sql.replace(/\bleased\b/, ident(leased)).replace("victim", String(rows[0]!.pid));
        const got = await attempt(client, sent);
        if (got !== code) passed.push(`${sql}: ${got}`);
      }
      expect(passed).toEqual([]);
      // What it has not the right to give is left with a warning.
      await attempt(
        client,
        "GRANT USAGE ON SCHEMA leasehold TO PUBLIC; GRANT EXECUTE ON FUNCTION leasehold.close TO PUBLIC",
      );
      expect(await state()).toEqual(before);
      expect(await attempt(session.client, "SELECT 1")).toBe("allowed");
      await session.client.end();
    });

    test("what it may: the functions by name, and in databases nobody declared what PUBLIC may", async () => {
      const { rows } = await client.query<{ what: string }>(`
        SELECT 'function ' || oid::regprocedure AS what FROM pg_proc p
          WHERE has_function_privilege(oid, 'EXECUTE') AND has_schema_privilege(pronamespace, 'USAGE')
            AND pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
        UNION ALL SELECT 'relation ' || oid::regclass FROM pg_class
          WHERE relkind <> 'i' AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
            AND has_table_privilege(oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
        UNION ALL SELECT 'create in ' || nspname FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE')
        UNION ALL SELECT 'member of ' || rolname FROM pg_roles WHERE pg_has_role(oid, 'MEMBER') AND rolname <> current_user
        UNION ALL SELECT 'role ' || rolname FROM pg_roles
          WHERE rolname = current_user AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
        ORDER BY 1`);
      expect(rows.map(({ what }) => what)).toEqual([
        "function leasehold.close(text)",
        "function leasehold.drop(text,text)",
        "function leasehold.open(text,text,text,text)",
        "function leasehold.renew(text,text)",
        "function leasehold.set_password(text,text)",
      ]);
    });
  });

  describe("what personas can't do", () => {
    const WHO = [...GROUPS, "report", "keeper"];
    const login = async (who: string) => {
      if (who.endsWith("_role")) return lease(deployment, who);
      await deployment.root.call("POST", `database/rotate-role/${who}`);
      return staticLogin(deployment, who);
    };

    test.each(WHO)("%s neither calls nor replaces them, nor takes the schema", async (who) => {
      const persona = await login(who);
      const session = await persona.connect();
      const before = await state();
      const mine = literal(persona.user);
      for (const as of ["RESET ROLE", "SET ROLE NONE"])
        for (const sql of [
          ...Object.entries(CALLS).map(([name, args]) => call(name, ...args(persona.user))),
          `SELECT leasehold.renew(${mine}, '${UNTIL}')`,
          "CREATE OR REPLACE FUNCTION leasehold.close(login text) RETURNS void LANGUAGE sql AS ''",
          "CREATE FUNCTION leasehold.open() RETURNS int LANGUAGE sql AS 'SELECT 1'",
          "CREATE TABLE leasehold.mine ()",
          "ALTER FUNCTION leasehold.close(text) SECURITY INVOKER",
          "ALTER FUNCTION leasehold.close(text) OWNER TO CURRENT_USER",
          "DROP FUNCTION leasehold.close(text)",
          "ALTER SCHEMA leasehold OWNER TO CURRENT_USER",
          "ALTER SCHEMA leasehold RENAME TO gone",
          "DROP SCHEMA leasehold CASCADE",
          "GRANT USAGE ON SCHEMA leasehold TO CURRENT_USER",
          "REVOKE USAGE ON SCHEMA leasehold FROM vault",
          "REVOKE EXECUTE ON FUNCTION leasehold.close(text) FROM vault",
          "COMMENT ON SCHEMA leasehold IS 'x'",
        ]) {
          await session.client.query(as);
          expect([as, sql, await attempt(session.client, sql)]).toEqual([as, sql, "42501"]);
        }
      expect(await attempt(session.client, "CREATE SCHEMA leasehold")).toMatch(/^(42501|42P06)$/);
      expect(await state()).toEqual(before);
      await persona.close();
    });
  });

  test("a row that is held in a prepared transaction of the group's, between close and drop, holds nothing up", async () => {
    const name = leasedName();
    await client.query(open(name));
    const holder = await new LoginUnderTest(deployment, name, SECRET).connect();
    await client.query(call("close", name));
    await holder.client.query(
      "SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'; SET ROLE readonly_role; PREPARE TRANSACTION 'row'",
    );
    expect(await attempt(client, call("drop", name, "readonly_role"))).toBe("allowed");
    expect(await holder.ended).toBe("57P01");
    expect(await attributes(name)).toMatchObject({
      rolcanlogin: false,
      groups: [],
      comment: `${MARK}: revoked, not dropped (55006); heir readonly_role`,
    });
    await deployment.superuser.query("ROLLBACK PREPARED 'row'");
    expect(await attempt(client, call("drop", name, "readonly_role"))).toBe("allowed");
    expect(await deployment.leasedRoles()).toEqual([]);
  });

  test("what a login takes from its group by DROP OWNED, its default privileges, is found", async () => {
    const login = await lease(deployment, "readonly_role");
    await login.open("DROP OWNED BY CURRENT_USER");
    expect(await login.revoke()).toBe(204);
    const lost = ["SELECT on tables", "SELECT on sequences", "EXECUTE on functions"];
    expect(findings(await deployment.verify())).toEqual(
      expect.arrayContaining(
        lost.map(
          (what) =>
            expect.stringContaining(
              `no default privileges of example_owner grant readonly_role ${what}`,
            ) as string,
        ),
      ),
    );
    await deployment.superuser.query(`
      ALTER DEFAULT PRIVILEGES FOR ROLE example_owner IN SCHEMA example GRANT SELECT ON TABLES TO readonly_role;
      ALTER DEFAULT PRIVILEGES FOR ROLE example_owner IN SCHEMA example GRANT SELECT ON SEQUENCES TO readonly_role;
      ALTER DEFAULT PRIVILEGES FOR ROLE example_owner IN SCHEMA example GRANT EXECUTE ON FUNCTIONS TO readonly_role;
      DROP TABLE example.users`);
    expect(findings(await deployment.verify())).toEqual([]);
  });

  describe("a role with objects in three databases", () => {
    beforeAll(async () => {
      await query(deployment.sandbox.postgres, "GRANT CREATE ON SCHEMA public TO PUBLIC", {
        database: "theirs",
      });
    });

    test("is closed and left, and nothing of it in the declared one", async () => {
      const login = await lease(deployment, "schema_admin_role");
      await login.open("SET ROLE NONE; CREATE TABLE example.here ()");
      await login.open("SET ROLE NONE; SELECT lo_create(0)", { database: "postgres" });
      await login.open("SET ROLE NONE; CREATE TABLE public.there ()", { database: "theirs" });
      expect(await login.revoke()).toBe(204);
      expect(await expectEnded(deployment, login)).toBe(false);
      await expectOthersCanLease(deployment);
      await query(deployment.sandbox.postgres, `DROP OWNED BY ${ident(login.user)}`, { database: "theirs" });
      await query(deployment.sandbox.postgres, `DROP OWNED BY ${ident(login.user)}`, {
        database: "postgres",
      });
    });

    test("whose holder does all that there is, in a loop, while it is revoked", async () => {
      const login = await lease(deployment, "schema_admin_role");
      const all: readonly (readonly [database: string, sql: string])[] = [
        ["nanvc", "SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'"],
        [
          "nanvc",
          "SET ROLE NONE; ALTER ROLE CURRENT_USER SET role = none; ALTER ROLE CURRENT_USER RESET ALL",
        ],
        [
          "nanvc",
          `SET ROLE NONE; CREATE TABLE IF NOT EXISTS example.looped (); GRANT SELECT ON example.looped TO PUBLIC; ${open(login.user)}`,
        ],
        ["nanvc", "BEGIN; GRANT USAGE ON SCHEMA example TO PUBLIC; SELECT leasehold.close('x')"],
        ["nanvc", "COMMENT ON ROLE readonly_role IS 'x'"],
        ["postgres", "SET ROLE NONE; SELECT lo_create(0); BEGIN; DROP OWNED BY CURRENT_USER"],
        [
          "theirs",
          "SET ROLE NONE; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC; SELECT pg_sleep(60)",
        ],
        [
          "theirs",
          "SET ROLE NONE; BEGIN; CREATE TABLE public.looped (); LOCK TABLE pg_catalog.pg_shdepend IN ACCESS SHARE MODE",
        ],
      ];
      let connected = 0;
      const loops = all.map(async ([database, sql]) => {
        for (;;) {
          try {
            const session = await login.connect(database);
            connected += 1;
            await session.client.query(sql).catch(() => undefined);
            // A transaction that an error has not ended stays until the server ends its session.
            if (sql.includes("BEGIN;") && !sql.includes("leasehold.")) await session.ended;
            else await session.client.end().catch(() => undefined);
          } catch (error) {
            if (/^(28P01|28000)$/.test(sqlstate(error))) return;
          }
        }
      });
      while (connected < 2 * all.length) await new Promise(setImmediate);
      const [revoked] = await Promise.all([login.revoke(), expectOthersCanLease(deployment)]);
      await Promise.all(loops);
      expect(revoked).toBe(204);
      login.sessions.length = 0;
      await expectEnded(deployment, login);
      for (const database of ["theirs", "postgres"])
        if ((await deployment.leasedRoles()).includes(login.user))
          await query(deployment.sandbox.postgres, `DROP OWNED BY ${ident(login.user)}`, { database });
    });
  });
});

describe.each(MAJORS)("with others who may execute them, on PostgreSQL %i", (postgresMajor) => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await Deployment.start({
      config: { ...attacked, leases: "functions" },
      postgresMajor,
      apply: false,
    });
    const { sandbox, superuser } = deployment;
    const inDatabase = await deployment.connect(deployment.manifest.databases[0]!);
    for (const sql of [
      "CREATE ROLE defaulting LOGIN PASSWORD 'x'",
      "CREATE ROLE given LOGIN PASSWORD 'x'",
      "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO defaulting",
      "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO defaulting",
    ])
      await inDatabase.query(sql);
    await inDatabase.end();
    // As plain cdktf, which takes nothing from anybody.
    await sandbox.apply();
    await superuser.query(
      "GRANT CONNECT ON DATABASE nanvc TO defaulting, given; GRANT USAGE ON SCHEMA leasehold TO given; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA leasehold TO given",
    );
  });

  afterAll(() => deployment.stop());

  /** How many of the five a role may call. */
  const executable = async (role: string) => {
    const { rows } = await deployment.superuser.query<{ count: number }>(
      `SELECT count(*)::int4 FROM pg_proc WHERE pronamespace = 'leasehold'::regnamespace
         AND has_schema_privilege($1, pronamespace, 'USAGE') AND has_function_privilege($1, oid, 'EXECUTE')`,
      [role],
    );
    return rows[0]!.count;
  };

  test.each(["defaulting", "given", "nanvc"])("%s is refused by each", async (who) => {
    expect(await executable(who)).toBe(5);
    const login = await lease(deployment, "readonly_role");
    const session = who === "nanvc" ? undefined : await new LoginUnderTest(deployment, who, "x").connect();
    const client = session?.client ?? deployment.superuser;
    // What is alive, and what is no role.
    for (const name of [login.user, leasedName()])
      for (const [called, args] of Object.entries(CALLS)) {
        const refused = await client.query(call(called, ...args(name))).then(
          () => "allowed",
          (error: unknown) => `${sqlstate(error)}: ${(error as Error).message}`,
        );
        expect([called, refused]).toEqual([called, `42501: this function of ${MARK} is for vault alone`]);
      }
    await session?.client.end();
    expect(await deployment.leasedRoles()).toEqual([login.user]);
    expect(await login.refusal()).toBe("logged in");
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(true);
  });
});
