import { readFileSync } from "node:fs";
import { escapeIdentifier as ident } from "pg";
import type { AccessManifest } from "../../../manifest/schema";
import { checksOf, resultsOf, type Report } from "../../../verify/report/report";
import { Deployment, findings } from "../../support/deployment";

/** What somebody leaves for the verifier, or hides from it: attacks 11, 12 and 13 of the ninth issue. */
let deployment: Deployment;
let manifest: AccessManifest;
let version: number;

beforeAll(async () => {
  deployment = await Deployment.start({ postgresSettings: { max_prepared_transactions: "2" } });
  const { databases, ...rest } = deployment.manifest;
  manifest = { ...rest, databases: databases.map((database) => ({ ...database, workload: undefined })) };
  const { rows } = await deployment.superuser.query<{ server_version_num: string }>(
    "SHOW server_version_num",
  );
  version = Number(rows[0]!.server_version_num);
  await sql("CREATE ROLE alice LOGIN");
});

afterAll(() => deployment.stop());

const sql = (statements: string) => deployment.superuser.query(statements);

/** By the catalogs, and nothing made: what is planted here shows in them. */
const verify = (accepted: AccessManifest["accepted"] = []): Promise<Report> =>
  deployment.verify({ manifest: { ...manifest, accepted }, readOnly: true });

const MARK = "leasehold local nanvc";

/** Statements, what undoes them, a part of the finding, and PostgreSQL's server_version_num from which on it is one. */
type Fault = readonly [plant: string, undo: string, finding: string, since?: number];

/** Plants all of them, verifies once, and takes them away. */
async function found(faults: readonly Fault[]): Promise<string[]> {
  const planted: Fault[] = [];
  try {
    for (const fault of faults) {
      if (version < (fault[3] ?? 0)) continue;
      await sql(fault[0]);
      planted.unshift(fault);
    }
    const report = await verify();
    return findings(report);
  } finally {
    for (const [, undo] of planted) await sql(undo);
  }
}

/** A test for each, of one verification of all: each is a finding of the check. */
function each(check: string, faults: Readonly<Record<string, Fault>>): void {
  let lines: string[];
  beforeAll(async () => {
    lines = (await found(Object.values(faults))).filter((line) => line.startsWith(check));
  });
  test.each(Object.entries(faults))("%s", (_, [, , finding, since = 0]) => {
    if (version >= since) expect(lines).toContainEqual(expect.stringContaining(finding));
  });
}

test("an owner whose later functions are PUBLIC's by PostgreSQL's own default is found, without a probe too, by an id that stays", async () => {
  await sql("ALTER DEFAULT PRIVILEGES FOR ROLE example_owner GRANT EXECUTE ON FUNCTIONS TO PUBLIC");
  try {
    const id = "public:later functions of example_owner:EXECUTE";
    const text = "EXECUTE on later functions of example_owner";
    for (const readOnly of [true, false]) {
      const lines = findings(await deployment.verify({ readOnly, selection: { only: ["public"] } }));
      expect(lines).toEqual([
        ` PUBLIC has nothing: not declared: granted to PUBLIC by PostgreSQL's own default privileges: ${text} (id ${id})`,
      ]);
    }
  } finally {
    await sql("ALTER DEFAULT PRIVILEGES FOR ROLE example_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC");
  }
});

test("what mends Vault's own login mends it", async () => {
  await sql("ALTER ROLE vault CREATEDB CONNECTION LIMIT 50 VALID UNTIL '2100-01-01Z'");
  await sql("GRANT pg_read_all_data TO vault; GRANT SELECT ON pg_catalog.pg_authid TO vault");
  const check = async () => {
    const report = await deployment.verify({
      manifest,
      readOnly: true,
      selection: { only: ["vault-login"] },
    });
    const found = resultsOf(report).flatMap(({ result }) => result);
    return {
      findings: found.flatMap(({ findings }) => findings),
      mends: found.flatMap(({ details }) => details.flatMap(({ mends }) => mends)),
    };
  };
  const { findings, mends } = await check();
  expect(findings).toHaveLength(5);
  for (const mend of mends) await sql(mend);
  expect((await check()).findings).toEqual([]);
});

test("nothing is found as it is deployed, and what the server leaves possible is said", async () => {
  const report = await verify();
  expect(findings(report)).toEqual([]);
  expect(checksOf(report)[0]!.result.title).toBe("Vault's own login: attributes, memberships, settings");
  const remarks = checksOf(report).flatMap(({ result }) => result.remarks);
  expect(remarks).toEqual([
    expect.stringMatching(/^a leased login may connect to 2 databases that the config does not name/),
    expect.stringMatching(/^max_prepared_transactions is 2: /),
  ]);
  expect(report.remarks).toEqual([]);
});

describe("Vault's own login (11)", () => {
  const of = (attribute: string): Fault => [
    `ALTER ROLE vault ${attribute}`,
    `ALTER ROLE vault NO${attribute}`,
    `vault has ${attribute}`,
  ];
  each(" Vault's own login: attributes, memberships, settings: ", {
    // First: what a superuser makes it is no member of.
    "a role that it made": [
      "SET ROLE vault; CREATE ROLE backdoor; RESET ROLE",
      "DROP ROLE backdoor",
      "not declared: membership of vault in backdoor, granted by nanvc WITH ADMIN OPTION",
      160_000,
    ],
    SUPERUSER: of("SUPERUSER"),
    CREATEDB: of("CREATEDB"),
    REPLICATION: of("REPLICATION"),
    BYPASSRLS: of("BYPASSRLS"),
    "no CREATEROLE": [
      "ALTER ROLE vault NOCREATEROLE",
      "ALTER ROLE vault CREATEROLE",
      "vault is without CREATEROLE",
    ],
    "an end": [
      "ALTER ROLE vault VALID UNTIL '2100-01-01Z'",
      "ALTER ROLE vault VALID UNTIL 'infinity'",
      "vault has VALID UNTIL 2100-01-01 00:00:00+00",
    ],
    "a connection limit": [
      "ALTER ROLE vault CONNECTION LIMIT 50",
      "ALTER ROLE vault CONNECTION LIMIT -1",
      "vault has the connection limit 50",
    ],
    "what all may read": [
      "GRANT pg_read_all_data TO vault",
      "REVOKE pg_read_all_data FROM vault",
      "not declared: membership of vault in pg_read_all_data, granted by nanvc",
    ],
    "a shell of the server's user": [
      "GRANT pg_execute_server_program TO vault",
      "REVOKE pg_execute_server_program FROM vault",
      "not declared: membership of vault in pg_execute_server_program, granted by nanvc",
    ],
    "the owner, to be handed on": [
      "GRANT example_owner TO vault WITH ADMIN OPTION",
      "REVOKE ADMIN OPTION FOR example_owner FROM vault",
      "not declared: membership of vault in example_owner, granted by nanvc WITH ADMIN OPTION",
    ],
    "the owner, not inherited": [
      "GRANT example_owner TO vault WITH INHERIT FALSE",
      "GRANT example_owner TO vault WITH INHERIT TRUE",
      "vault is not a member of example_owner that inherits and may SET ROLE",
      160_000,
    ],
    "a group that it can't hand out any more": [
      "REVOKE ADMIN OPTION FOR readonly_role FROM vault",
      "GRANT readonly_role TO vault WITH ADMIN OPTION",
      "vault is not a member of readonly_role WITH ADMIN OPTION, without which it can't lease: npx leasehold deploy grants it",
    ],
    "the application's schema as its search path": [
      "ALTER ROLE vault SET search_path = example",
      "ALTER ROLE vault SET search_path = pg_catalog",
      "vault lacks the setting search_path=pg_catalog: npx leasehold deploy sets it",
    ],
    "the same in one database": [
      "ALTER ROLE vault IN DATABASE nanvc SET search_path = example",
      "ALTER ROLE vault IN DATABASE nanvc RESET search_path",
      "vault has the setting search_path=example in database nanvc, which is not declared",
    ],
    "another setting": [
      "ALTER ROLE vault SET work_mem = '1GB'",
      "ALTER ROLE vault RESET work_mem",
      "vault has the setting work_mem=1GB, which is not declared",
    ],
    "a table of its own": [
      "CREATE TABLE public.kept (); ALTER TABLE public.kept OWNER TO vault",
      "DROP TABLE public.kept",
      "vault owns table public.kept",
    ],
    "a grant": [
      "CREATE TABLE public.shown (); GRANT SELECT ON public.shown TO vault",
      "DROP TABLE public.shown",
      "not declared: granted to vault by nanvc: SELECT on table public.shown",
    ],
  });

  test("who is a member of it", async () => {
    expect(await found([["GRANT vault TO alice", "REVOKE vault FROM alice", ""]])).toContain(
      " group roles hold leased logins alone: alice, a member of vault, granted by nanvc, is not declared and can log in: Vault did not lease it",
    );
  });

  test("leases that live, one that is about to end and a reserved slot are none of it", async () => {
    const { lease_id: id, data } = await deployment.root.call("GET", "database/creds/readonly_role");
    const login = ident(String(data!["username"]));
    // As a revocation does before it ends the login's sessions.
    await sql(`SET ROLE vault; GRANT ${login} TO vault; RESET ROLE`);
    if (version >= 160_000) await sql("GRANT pg_use_reserved_connections TO vault");
    expect(findings(await verify())).toEqual([]);
    if (version >= 160_000) await sql("REVOKE pg_use_reserved_connections FROM vault");
    await deployment.root.call("POST", "sys/leases/revoke", { lease_id: id, sync: true });
  });
});

describe("what PUBLIC holds, of whatever kind (12)", () => {
  const on = (what: string, privilege: string, finding: string, make = "", drop?: string): Fault => [
    `${make}; GRANT ${privilege} ON ${what} TO PUBLIC`,
    drop ?? `REVOKE ${privilege} ON ${what} FROM PUBLIC`,
    `granted to PUBLIC by ${finding}`,
  ];
  const later = (by: string, what: string, finding: string): Fault => [
    `ALTER DEFAULT PRIVILEGES ${by} GRANT ${what} TO PUBLIC`,
    `ALTER DEFAULT PRIVILEGES ${by} REVOKE ${what} FROM PUBLIC`,
    `granted to PUBLIC by default privileges: ${finding}`,
  ];
  const function_ = (kind: string, name: string, returns: string) =>
    on(
      `${kind} ${name}()`,
      "EXECUTE",
      `nanvc: EXECUTE on function ${name}()`,
      `CREATE ${kind} ${name}() ${returns} LANGUAGE sql AS 'SELECT 1'`,
      `DROP ${kind} ${name}()`,
    );
  beforeAll(async () => {
    await sql("SET allow_in_place_tablespaces = on");
    await sql("CREATE TABLESPACE space LOCATION ''");
  });

  afterAll(() => sql("DROP TABLESPACE space"));

  each(" PUBLIC has nothing: ", {
    "a table": on(
      "public.t",
      "SELECT",
      "nanvc: SELECT on table public.t (id public:table public.t:SELECT)",
      "CREATE TABLE public.t (c integer)",
      "DROP TABLE public.t",
    ),
    "a column": on(
      "public.u",
      "UPDATE (c)",
      "nanvc: UPDATE on column c of public.u",
      "CREATE TABLE public.u (c integer)",
      "DROP TABLE public.u",
    ),
    "a sequence": on(
      "public.s",
      "USAGE",
      "nanvc: USAGE on sequence public.s",
      "CREATE SEQUENCE public.s",
      "DROP SEQUENCE public.s",
    ),
    "a function of the schema": function_("FUNCTION", "example.f", "RETURNS integer"),
    "a procedure of the schema": function_("PROCEDURE", "example.p", ""),
    "a function that PostgreSQL keeps to itself": on(
      "FUNCTION pg_catalog.pg_read_file(text)",
      "EXECUTE",
      "nanvc: EXECUTE on function pg_catalog.pg_read_file(text)",
    ),
    "a catalog that PostgreSQL keeps to itself": on(
      "pg_catalog.pg_authid",
      "SELECT",
      "nanvc: SELECT on table pg_catalog.pg_authid",
    ),
    "the schema": on("SCHEMA example", "USAGE", "example_owner: USAGE on schema example"),
    "another schema": on(
      "SCHEMA other",
      "USAGE",
      "nanvc: USAGE on schema other",
      "CREATE SCHEMA other; CREATE TABLE other.t ()",
      "DROP SCHEMA other CASCADE",
    ),
    "the database": on("DATABASE nanvc", "CONNECT", "nanvc: CONNECT on database nanvc"),
    "a tablespace": on("TABLESPACE space", "CREATE", "nanvc: CREATE on tablespace space"),
    "a foreign-data wrapper": on(
      "FOREIGN DATA WRAPPER w",
      "USAGE",
      "nanvc: USAGE on foreign-data wrapper w",
      "CREATE FOREIGN DATA WRAPPER w",
      "DROP FOREIGN DATA WRAPPER w",
    ),
    "a foreign server": on(
      "FOREIGN SERVER far",
      "USAGE",
      "nanvc: USAGE on foreign server far",
      "CREATE FOREIGN DATA WRAPPER v; CREATE SERVER far FOREIGN DATA WRAPPER v",
      "DROP FOREIGN DATA WRAPPER v CASCADE",
    ),
    "a large object": on(
      "LARGE OBJECT 4711",
      "SELECT",
      "nanvc: SELECT on large object 4711",
      "SELECT lo_create(4711)",
      "SELECT lo_unlink(4711)",
    ),
    "a parameter": on("PARAMETER log_statement", "SET", "nanvc: SET on parameter log_statement"),
    "later tables of the owner": later(
      "FOR ROLE example_owner",
      "SELECT ON TABLES",
      "SELECT on later tables of example_owner",
    ),
    "later sequences of another role in the schema": later(
      "FOR ROLE alice IN SCHEMA example",
      "USAGE ON SEQUENCES",
      "USAGE on later sequences of alice in schema example",
    ),
    "later tables of a superuser, anywhere": later("", "SELECT ON TABLES", "SELECT on later tables of nanvc"),
    "later schemas": later(
      "FOR ROLE example_owner",
      "USAGE ON SCHEMAS",
      "USAGE on later schemas of example_owner",
    ),
  });

  test("what PostgreSQL grants from the start, written down, is none of it", async () => {
    const lines = await found([
      [
        `GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC; CREATE DOMAIN example.d AS text; GRANT USAGE ON DOMAIN example.d TO PUBLIC, readonly_role;
         GRANT EXECUTE ON FUNCTION pg_catalog.lower(text) TO alice; ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO readonly_role`,
        `DROP DOMAIN example.d; REVOKE EXECUTE ON FUNCTION pg_catalog.lower(text) FROM alice; ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM readonly_role`,
        "",
      ],
    ]);
    expect(lines.filter((line) => line.startsWith(" PUBLIC"))).toEqual([]);
  });
});

test("an estate with extensions, in the schema and in one of their own, holds", async () => {
  const inSchema = ["pgcrypto", "pg_trgm", "citext", "pg_stat_statements"];
  const inTheirOwn = ["hstore", "lo", "dblink", "postgres_fdw"];
  const create = (names: readonly string[], schema: string) =>
    names.map((name) => `CREATE EXTENSION ${name} SCHEMA ${schema};`).join(" ");
  await sql(
    `${create(inSchema, "example")} CREATE SCHEMA extensions; GRANT USAGE ON SCHEMA extensions TO PUBLIC; ${create(inTheirOwn, "extensions")}`,
  );
  try {
    const report = await deployment.verify({ manifest });
    expect(findings(report)).toEqual([]);
    const { remarks } = checksOf(report).find(({ result }) => result.id === "public")!.result;
    const line = remarks.find((text) => text.startsWith("objects of extensions: "))!;
    expect(Array.from(line.matchAll(/(\w+ in \w+) \(/g), ([, found]) => found)).toEqual(
      [
        ...inSchema.map((name) => `${name} in example`),
        ...inTheirOwn.map((name) => `${name} in extensions`),
      ].sort(),
    );
  } finally {
    await sql(`DROP EXTENSION ${inSchema.join(", ")}; DROP SCHEMA extensions CASCADE`);
  }
});

test("what the owner put into an extension that it installed is the owner's", async () => {
  await sql(`SET ROLE example_owner; SET search_path = example; CREATE EXTENSION pgcrypto;
    CREATE FUNCTION hidden() RETURNS name LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user'; GRANT EXECUTE ON FUNCTION hidden TO readonly_role;
    CREATE AGGREGATE array_agg(integer) (SFUNC = pg_catalog.array_append, STYPE = integer[]);
    CREATE TYPE label AS ENUM ('a'); CREATE FUNCTION truth(label) RETURNS boolean LANGUAGE sql AS 'SELECT true'; CREATE CAST (label AS boolean) WITH FUNCTION truth AS IMPLICIT;
    CREATE TABLE concealed (); GRANT DELETE ON concealed TO readonly_role; GRANT SELECT ON concealed TO alice;
    ALTER EXTENSION pgcrypto ADD FUNCTION hidden(); ALTER EXTENSION pgcrypto ADD AGGREGATE array_agg(integer); ALTER EXTENSION pgcrypto ADD TABLE concealed;
    ALTER EXTENSION pgcrypto ADD FUNCTION truth(label); ALTER EXTENSION pgcrypto ADD CAST (label AS boolean);
    RESET search_path; RESET ROLE`);
  try {
    const lines = findings(await verify()).join("\n");
    expect(lines).toContain("SECURITY DEFINER function example.hidden() can be executed");
    expect(lines).toContain("aggregate example.array_agg(integer) of example_owner has the name of");
    expect(lines).toContain("cast (example.label AS boolean) is implicit");
    expect(lines).toContain('DELETE on "example".concealed is not declared');
    expect(lines).toContain("granted to alice by example_owner: SELECT on table example.concealed");
    expect(lines).not.toMatch(/gen_salt|crypt/);
  } finally {
    await sql("DROP EXTENSION pgcrypto CASCADE; DROP TYPE example.label CASCADE");
  }
});

test("a range type's constructors, which PostgreSQL makes as its first superuser's, hold", async () => {
  await sql("SET ROLE example_owner; CREATE TYPE example.span AS RANGE (subtype = date); RESET ROLE");
  try {
    expect(findings(await verify())).toEqual([]);
  } finally {
    await sql("DROP TYPE example.span");
  }
});

describe("what is left behind (13)", () => {
  const definer = (name: string, body = "SELECT current_user") =>
    [
      `CREATE FUNCTION ${name} RETURNS name LANGUAGE sql SECURITY DEFINER AS '${body}'; ALTER FUNCTION ${name} OWNER TO example_owner; REVOKE EXECUTE ON FUNCTION ${name} FROM PUBLIC; GRANT EXECUTE ON FUNCTION ${name} TO readwrite_role, readonly_role`,
      `DROP FUNCTION ${name}`,
      `SECURITY DEFINER function ${name} can be executed and runs as example_owner (id definer:${name}:readonly_role as example_owner)`,
    ] as const;

  describe("functions of the owner's", () => {
    each("readonly nothing else granted or owned: ", {
      "with arguments": definer("example.f(integer)"),
      "called like a probe": definer("example.leasehold_probe_1900000000_abcd_before_definer()"),
      "among PostgreSQL's own": definer("pg_catalog.f(integer)"),
    });
  });

  describe("grants", () => {
    each(" roles that are not declared have nothing: ", {
      "on tables": [
        "CREATE TABLE example.t (); CREATE TABLE example.u (); GRANT SELECT ON example.t, example.u TO alice",
        "DROP TABLE example.t, example.u",
        "granted to alice by nanvc: SELECT on table example.t and 1 more (id grant:table in example:SELECT to alice)",
      ],
      "that can be passed on": [
        "CREATE TABLE example.v (); GRANT INSERT ON example.v TO alice WITH GRANT OPTION",
        "DROP TABLE example.v",
        "INSERT on table example.v WITH GRANT OPTION (id grant:table in example:INSERT to alice WITH GRANT OPTION)",
      ],
      "on the database": [
        "GRANT CREATE ON DATABASE nanvc TO alice",
        "REVOKE CREATE ON DATABASE nanvc FROM alice",
        "granted to alice by nanvc: CREATE on database nanvc (id grant:database nanvc:CREATE to alice)",
      ],
      "on the schema": [
        "GRANT CREATE ON SCHEMA example TO alice",
        "REVOKE CREATE ON SCHEMA example FROM alice",
        "granted to alice by example_owner: CREATE on schema example (id grant:schema in example:CREATE to alice)",
      ],
      "on later tables": [
        "ALTER DEFAULT PRIVILEGES FOR ROLE example_owner IN SCHEMA example GRANT SELECT ON TABLES TO alice",
        "ALTER DEFAULT PRIVILEGES FOR ROLE example_owner IN SCHEMA example REVOKE SELECT ON TABLES FROM alice",
        "granted to alice by default privileges: SELECT on later tables of example_owner in schema example (id grant:later tables of example_owner in schema example:SELECT to alice)",
      ],
      "on later tables, anywhere": [
        "ALTER DEFAULT PRIVILEGES FOR ROLE example_owner GRANT INSERT ON TABLES TO alice",
        "ALTER DEFAULT PRIVILEGES FOR ROLE example_owner REVOKE INSERT ON TABLES FROM alice",
        "granted to alice by default privileges: INSERT on later tables of example_owner (id grant:later tables of example_owner:INSERT to alice)",
      ],
    });
  });

  describe("logins with a lease's name", () => {
    const forged = (number: number, options: string, finding: string, comment?: string): Fault => {
      const name = `v-approle-readonly-AbcdefghijAbcdefghij-190000000${String(number)}`;
      return [
        `CREATE ROLE "${name}" ${options}; ALTER ROLE "${name}" VALID UNTIL 'tomorrow'; COMMENT ON ROLE "${name}" IS ${comment === undefined ? "NULL" : `'${comment}'`}`,
        `DROP ROLE "${name}"`,
        `${name}${finding}`,
      ];
    };
    const unmarked =
      ", a member of readonly_role, lacks the comment that a lease gives its login: DROP ROLE, or npx leasehold deploy where it was leased before the last upgrade";
    each(" leased logins as a lease makes them: ", {
      "and attributes": forged(
        1,
        "LOGIN CREATEROLE BYPASSRLS IN ROLE readonly_role",
        " is called like a leased login and has CREATEROLE, BYPASSRLS: no lease gives that",
        MARK,
      ),
      "in a group": forged(2, "LOGIN IN ROLE readonly_role", unmarked),
      "in a group, with another's comment": forged(3, "LOGIN IN ROLE readonly_role", unmarked, `${MARK}2`),
      "in a role of PostgreSQL's own": forged(
        4,
        "LOGIN IN ROLE readonly_role, pg_read_all_data",
        " is called like a leased login and has membership in pg_read_all_data: no lease gives that",
        MARK,
      ),
      "in no group": forged(
        5,
        "LOGIN SUPERUSER",
        " is called like a leased login and has SUPERUSER: no lease gives that",
      ),
      "that a revocation could not drop": forged(
        6,
        "NOLOGIN",
        " is what a revocation could not drop and is closed (revoked, not dropped (2BP01); heir readonly_role): npx leasehold sweep drops it, and so does the next deploy",
        `${MARK}: revoked, not dropped (2BP01); heir readonly_role`,
      ),
      "that a revocation could not close": forged(
        7,
        "LOGIN",
        " was leased and is in no group: a revocation took it out and could not end it; npx leasehold sweep does",
        MARK,
      ),
    });
  });

  describe("names of PostgreSQL's own", () => {
    const body = "LANGUAGE sql AS 'SELECT true'";
    each(" nothing has the name of PostgreSQL's own: ", {
      "an aggregate": [
        "CREATE AGGREGATE example.array_agg(integer) (SFUNC = pg_catalog.array_append, STYPE = integer[])",
        "DROP AGGREGATE example.array_agg(integer)",
        "aggregate example.array_agg(integer) of nanvc has the name of pg_catalog.array_agg (id overload:example.array_agg(integer):pg_catalog.array_agg)",
      ],
      "an aggregate in pg_catalog": [
        "CREATE AGGREGATE pg_catalog.array_agg(integer) (SFUNC = pg_catalog.array_append, STYPE = integer[])",
        "DROP AGGREGATE pg_catalog.array_agg(integer)",
        "aggregate pg_catalog.array_agg(integer) of nanvc has the name of pg_catalog.array_agg",
      ],
      "a function": [
        `CREATE FUNCTION example.unnest(name[]) RETURNS boolean ${body}`,
        "DROP FUNCTION example.unnest(name[])",
        "function example.unnest(name[]) of nanvc has the name of pg_catalog.unnest (id overload:example.unnest(name[]):pg_catalog.unnest)",
      ],
      "a procedure": [
        `CREATE PROCEDURE example.set_config(text) ${body}`,
        "DROP PROCEDURE example.set_config(text)",
        "procedure example.set_config(text) of nanvc has the name of pg_catalog.set_config",
      ],
      "an operator": [
        `CREATE FUNCTION example.same(name, integer) RETURNS boolean ${body}; CREATE OPERATOR example.= (LEFTARG = name, RIGHTARG = integer, FUNCTION = example.same)`,
        "DROP FUNCTION example.same CASCADE",
        "operator example.=(name, integer) of nanvc has the name of pg_catalog.= (id overload:example.=(name, integer):pg_catalog.=)",
      ],
      "a cast": [
        `CREATE TYPE example.label AS ENUM ('a'); CREATE FUNCTION example.truth(example.label) RETURNS boolean ${body}; CREATE CAST (example.label AS boolean) WITH FUNCTION example.truth(example.label) AS IMPLICIT`,
        "DROP TYPE example.label CASCADE",
        "cast (example.label AS boolean) is implicit (id cast:(example.label AS boolean):implicit)",
      ],
      "a function where Vault's login would look, had it no search path": [
        `ALTER ROLE vault RESET search_path; CREATE FUNCTION public.now(integer) RETURNS boolean ${body}`,
        "ALTER ROLE vault SET search_path = pg_catalog; DROP FUNCTION public.now(integer)",
        "function public.now(integer) of nanvc has the name of pg_catalog.now",
      ],
      "a schema with the superuser's": [
        "CREATE SCHEMA nanvc AUTHORIZATION example_owner",
        "DROP SCHEMA nanvc",
        "schema nanvc of example_owner has the name of the superuser nanvc, whose search path may begin with it (id schema:nanvc:superuser nanvc)",
      ],
      "a schema with that of Vault's login": [
        "CREATE SCHEMA vault AUTHORIZATION example_owner",
        "DROP SCHEMA vault",
        "schema vault of example_owner has the name of the login vault",
      ],
    });
  });

  test("a finding that is accepted is said with its reason, and so is an id that nothing has", async () => {
    const [plant, undo] = definer("example.f(integer)");
    await sql(`${plant}; GRANT EXECUTE ON FUNCTION example.f(integer) TO schema_admin_role`);
    const accepted = ["readonly_role", "readwrite_role", "nobody"].map((group) => ({
      id: `definer:example.f(integer):${group} as example_owner`,
      reason: "reports need it",
    }));
    const report = await verify(accepted);
    await sql(undo);
    expect(findings(report)).toEqual([]);
    const said = (persona: string) =>
      `${persona} nothing else granted or owned: accepted: SECURITY DEFINER function example.f(integer) can be executed and runs as example_owner (id definer:example.f(integer):${persona}_role as example_owner): reports need it`;
    const remarks = checksOf(report).flatMap(({ persona, result }) =>
      result.remarks.map((text) => `${persona ?? ""} ${result.title}: ${text}`),
    );
    expect(remarks).toEqual([
      expect.stringContaining("PUBLIC in other databases"),
      expect.stringContaining("max_prepared_transactions"),
      said("readwrite"),
      said("readonly"),
    ]);
    expect(report.remarks).toEqual([
      "accepted, and found nowhere in this run: definer:example.f(integer):nobody as example_owner",
    ]);
  });
});

/** Each raises; what it would be called instead of is in pg_catalog. */
const TRAPS = {
  functions:
    "unnest(name[]); unnest(text[]); array_agg(integer); array_agg(text); bool_or(text); count(integer); format(text, name); format(text, text); quote_ident(name); pg_get_userbyid(integer); has_database_privilege(name, name, text); has_schema_privilege(name, text); has_schema_privilege(regnamespace, text); has_table_privilege(name, name, text); has_any_column_privilege(name, name, text); has_sequence_privilege(name, name, text); has_function_privilege(name, name, text); pg_has_role(name, name, text); pg_has_role(name, text, text); aclexplode(aclitem); acldefault(text, oid); current_setting(name); set_config(text, text, text); nextval(text); currval(text); setval(text, integer); pg_drop_replication_slot(text); to_regclass(name); obj_description(oid, text); shobj_description(oid, text); extract(text, interval); now(text); starts_with(name, text); oidvectortypes(oid[]); format_type(integer, integer); pg_describe_object(oid, oid, text); to_jsonb(text); jsonb_build_object(text, boolean); array_remove(name[], text); length(name); substr(name, integer)",
  operators:
    "=(name, text); =(text, name); <>(name, text); ~(text, text[]); ~(name, name); ~~(name, name); !~~(name, name); ||(name, text); ||(text, name); >=(integer, bigint); <(oid, bigint); ->>(jsonb, name); -(timestamptz, text)",
};

test("its questions are answered by PostgreSQL, whatever has PostgreSQL's names in the schema", async () => {
  const list = (text: string) => text.split("; ");
  const body =
    "RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'a trap has sprung'; RAISE EXCEPTION 'a trap has sprung'; END $$";
  // In "$user"'s as well: the owner's is the user's that the catalogs' session acts as.
  for (const schema of ["example", "example_owner"]) {
    if (schema !== "example") await sql(`CREATE SCHEMA ${schema} AUTHORIZATION example_owner`);
    for (const signature of list(TRAPS.functions))
      await sql(`CREATE FUNCTION ${schema}.${signature} ${body}`);
    for (const operator of list(TRAPS.operators)) {
      const [, symbol, left, right] = /^(\S+?)\((.*), (.*)\)$/.exec(operator)!;
      const name = `${schema}."${operator}"`;
      await sql(`CREATE FUNCTION ${name}(${left!}, ${right!}) ${body};
        CREATE OPERATOR ${schema}.${symbol!} (LEFTARG = ${left!}, RIGHTARG = ${right!}, FUNCTION = ${name})`);
    }
  }
  await sql(`DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_catalog.pg_proc WHERE pronamespace = 'example'::regnamespace LOOP
    EXECUTE format('ALTER ROUTINE %s OWNER TO example_owner; GRANT EXECUTE ON FUNCTION %1$s TO readonly_role, readwrite_role, schema_admin_role; REVOKE EXECUTE ON FUNCTION %1$s FROM PUBLIC', f); END LOOP; END $$`);
  const log = () => readFileSync(deployment.sandbox.postgres.logFile, "utf8");
  const before = log().length;
  const all = await deployment.verify({ expiry: true });
  expect(log().slice(before)).not.toContain("LOG:  a trap has sprung");
  const failed = resultsOf(all).filter(({ result }) => !result.held);
  expect(failed.map(({ result }) => result.id)).toEqual(["overloads"]);
  // What is in nobody's search path is no finding.
  const ids = failed[0]!.result.findings.map((text) => /\(id (.*)\)$/.exec(text)![1]!);
  expect(ids).toHaveLength(list(TRAPS.functions).length + list(TRAPS.operators).length);
  const accepted = ids.map((id) => ({ id, reason: "a trap" }));
  expect(findings(await verify(accepted))).toEqual([]);
  await sql("DROP SCHEMA example_owner CASCADE");
});
