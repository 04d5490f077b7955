import type { AccessManifest } from "../../manifest/schema";
import { Deployment, findings } from "../support/deployment";
import { checksOf } from "../../verify/report/report";

/** What somebody could do by hand, behind the stack's back; each is found by the next verification, and named. */
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start();
  // The users example makes the users' own table.
  expect(findings(await deployment.verify())).toEqual([]);
  const { databases, ...rest } = deployment.manifest;
  withoutWorkload = {
    ...rest,
    databases: databases.map((database) => ({ ...database, workload: undefined })),
  };
});

afterAll(() => deployment.stop());

/** Undoes what it did. */
type Undo = () => Promise<unknown>;

interface Fault {
  readonly plant: () => Promise<Undo>;
  /** Parts of findings that there have to be, each of another finding. */
  readonly finds: readonly string[];
}

const sql = (statements: string) => deployment.superuser.query(statements);

/** Statements by hand, and what undoes them. */
const bySql = (fault: string, undo: string) => async (): Promise<Undo> => {
  await sql(fault);
  return () => sql(undo);
};

/** A request that changes fields of something in Vault. */
const inVault = (path: string, change: object) => async (): Promise<Undo> => {
  const original = (await deployment.root.call("GET", path)).data!;
  const before = Object.fromEntries(Object.keys(change).map((field) => [field, original[field]]));
  await deployment.root.call("POST", path, change);
  return () => deployment.root.call("POST", path, before);
};

/** Statements of Vault's database role readonly_role, changed. */
const inStatements =
  (field: "creation_statements" | "revocation_statements", change: (statement: string) => string) =>
  async (): Promise<Undo> => {
    const path = "database/roles/readonly_role";
    const original = (await deployment.root.call("GET", path)).data!;
    const statements = (original[field] as string[]).map(change);
    expect(statements).not.toEqual(original[field]);
    await deployment.root.call("POST", path, { ...original, [field]: statements });
    return () => deployment.root.call("POST", path, original);
  };

/** The policy of the persona readonly, changed. */
const inPolicy = (change: (policy: string) => string) => async (): Promise<Undo> => {
  const path = "sys/policies/acl/db-readonly-role";
  const { policy } = (await deployment.root.call("GET", path)).data as { policy: string };
  expect(change(policy)).not.toBe(policy);
  await deployment.root.call("PUT", path, { policy: change(policy) });
  return () => deployment.root.call("PUT", path, { policy });
};

const OWNERS = "ALTER DEFAULT PRIVILEGES FOR ROLE example_owner";
const IN_SCHEMA = `${OWNERS} IN SCHEMA example`;
const APP_ROLE = "auth/approle/role/db-readonly-role";
const DATABASE_ROLE = "database/roles/readonly_role";
const LEFT_OVER = "v-approle-readonly-LeftOverLeftOverLeft-1700000000";

const ON_OBJECTS: Readonly<Record<string, Fault>> = {
  "a privilege on a table": {
    plant: bySql(
      "GRANT DELETE ON example.users TO readonly_role",
      "REVOKE DELETE ON example.users FROM readonly_role",
    ),
    finds: [
      'readonly tables.DELETE: DELETE on "example".users is not declared and is allowed: granted to readonly_role by example_owner: DELETE on table example.users',
    ],
  },
  "a privilege on a column": {
    plant: bySql(
      "GRANT UPDATE (username) ON example.users TO readonly_role",
      "REVOKE UPDATE (username) ON example.users FROM readonly_role",
    ),
    finds: [
      'readonly tables.UPDATE: UPDATE on "example".users is not declared and is refused, but is held by the catalogs: granted to readonly_role by example_owner: UPDATE on column username of example.users',
    ],
  },
  "a privilege on a sequence": {
    plant: bySql(
      "GRANT UPDATE ON example.users_id_seq TO readonly_role",
      "REVOKE UPDATE ON example.users_id_seq FROM readonly_role",
    ),
    finds: [
      'readonly sequences.UPDATE: UPDATE on "example".users_id_seq is not declared and is held by the catalogs: granted to readonly_role by example_owner: UPDATE on sequence example.users_id_seq',
    ],
  },
  "a privilege on the schema": {
    plant: bySql(
      "GRANT CREATE ON SCHEMA example TO readwrite_role",
      "REVOKE CREATE ON SCHEMA example FROM readwrite_role",
    ),
    finds: [
      "readwrite schema.CREATE: CREATE on example is not declared and is allowed: granted to readwrite_role by example_owner: CREATE on schema example",
    ],
  },
  "a privilege on the database": {
    plant: bySql(
      "GRANT CREATE ON DATABASE nanvc TO readonly_role",
      "REVOKE CREATE ON DATABASE nanvc FROM readonly_role",
    ),
    finds: [
      "readonly database.CREATE: CREATE on nanvc is not declared and is allowed: granted to readonly_role by nanvc: CREATE on database nanvc",
    ],
  },
  "a privilege that can be passed on": {
    plant: bySql(
      "GRANT SELECT ON example.users TO readonly_role WITH GRANT OPTION",
      "REVOKE GRANT OPTION FOR SELECT ON example.users FROM readonly_role",
    ),
    finds: [
      "readonly nothing else granted or owned: not declared: granted to readonly_role by example_owner: SELECT on table example.users WITH GRANT OPTION",
    ],
  },
  "a privilege in another schema": {
    plant: bySql(
      "CREATE TABLE public.secrets (); GRANT SELECT ON public.secrets TO readonly_role",
      "DROP TABLE public.secrets",
    ),
    finds: [
      "readonly nothing else granted or owned: not declared: granted to readonly_role by nanvc: SELECT on table public.secrets",
    ],
  },
  "a privilege on a server parameter": {
    plant: bySql(
      "GRANT SET ON PARAMETER log_statement TO readonly_role",
      "REVOKE SET ON PARAMETER log_statement FROM readonly_role",
    ),
    finds: [
      "readonly nothing else granted or owned: not declared: granted to readonly_role by nanvc: SET on parameter log_statement",
    ],
  },
  "a function that runs as a superuser": {
    plant: bySql(
      "CREATE FUNCTION example.peek() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; REVOKE EXECUTE ON FUNCTION example.peek() FROM PUBLIC; GRANT EXECUTE ON FUNCTION example.peek() TO schema_admin_role, readwrite_role, readonly_role",
      "DROP FUNCTION example.peek()",
    ),
    finds: [
      "readonly nothing else granted or owned: not declared: SECURITY DEFINER function example.peek() can be executed and runs as nanvc",
    ],
  },
  "a privilege on later tables": {
    plant: bySql(
      `${IN_SCHEMA} GRANT TRUNCATE ON TABLES TO readwrite_role`,
      `${IN_SCHEMA} REVOKE TRUNCATE ON TABLES FROM readwrite_role`,
    ),
    finds: [
      "readwrite tables.TRUNCATE: TRUNCATE on PROBE_before_table, PROBE_left_0, PROBE_after_1_table is not declared and is allowed: granted to readwrite_role by default privileges: TRUNCATE on later tables of example_owner in schema example",
    ],
  },
  "a privilege on another role's later tables": {
    plant: bySql(
      "ALTER DEFAULT PRIVILEGES FOR ROLE nanvc IN SCHEMA example GRANT SELECT ON TABLES TO readonly_role",
      "ALTER DEFAULT PRIVILEGES FOR ROLE nanvc IN SCHEMA example REVOKE SELECT ON TABLES FROM readonly_role",
    ),
    finds: [
      "readonly nothing else granted or owned: not declared: granted to readonly_role by default privileges: SELECT on later tables of nanvc in schema example",
    ],
  },
  "a privilege revoked": {
    plant: bySql(
      "REVOKE INSERT ON example.users FROM readwrite_role",
      "GRANT INSERT ON example.users TO readwrite_role",
    ),
    finds: [
      'readwrite tables.INSERT: INSERT on "example".users is declared and is refused: no grant of INSERT to readwrite_role',
    ],
  },
  "a privilege on later sequences revoked": {
    plant: bySql(
      `${IN_SCHEMA} REVOKE SELECT ON SEQUENCES FROM readonly_role`,
      `${IN_SCHEMA} GRANT SELECT ON SEQUENCES TO readonly_role`,
    ),
    finds: [
      "readonly sequences.SELECT: SELECT on PROBE_before_sequence, PROBE_after_2_sequence is declared and is refused: no default privileges of example_owner grant readonly_role SELECT on sequences",
    ],
  },
  "the schema's USAGE revoked": {
    plant: bySql(
      "REVOKE USAGE ON SCHEMA example FROM readonly_role",
      "GRANT USAGE ON SCHEMA example TO readonly_role",
    ),
    finds: [
      "readonly schema.USAGE: USAGE on example is declared and is refused: no grant of USAGE to readonly_role",
      'readonly tables.SELECT: SELECT on PROBE_before_table, PROBE_left_0, "example".users, PROBE_after_2_table is declared and is refused, but is held by the catalogs: granted to readonly_role, but without USAGE on the schema example',
    ],
  },
  "CONNECT revoked": {
    plant: bySql(
      "REVOKE CONNECT ON DATABASE nanvc FROM readonly_role",
      "GRANT CONNECT ON DATABASE nanvc TO readonly_role",
    ),
    finds: [
      "readonly database.CONNECT: CONNECT on nanvc is declared and is refused: no grant of CONNECT to readonly_role",
    ],
  },
  "a table that belongs to somebody else": {
    plant: bySql(
      "ALTER TABLE example.users OWNER TO nanvc",
      "ALTER TABLE example.users OWNER TO example_owner",
    ),
    finds: [
      'schema-admin tables.ALTER: ALTER on "example".users is declared and is not held by the catalogs: it belongs to nanvc, not to example_owner',
      'schema-admin tables.SELECT: SELECT on "example".users is declared and is refused, but is held by the catalogs: it belongs to nanvc, not to example_owner',
    ],
  },
  "a table that belongs to a persona's group": {
    plant: bySql(
      "CREATE TABLE public.mine (); ALTER TABLE public.mine OWNER TO readwrite_role",
      "DROP TABLE public.mine",
    ),
    finds: ["readwrite nothing else granted or owned: not declared: readwrite_role owns table public.mine"],
  },
  "the schema's owner changed": {
    plant: bySql("ALTER SCHEMA example OWNER TO nanvc", "ALTER SCHEMA example OWNER TO example_owner"),
    finds: [
      " the schema is the owner's: the schema example must belong to example_owner, it belongs to nanvc",
    ],
  },
};

const TO_PUBLIC: Readonly<Record<string, Fault>> = {
  "a table": {
    plant: bySql("GRANT SELECT ON example.users TO PUBLIC", "REVOKE SELECT ON example.users FROM PUBLIC"),
    finds: [
      " PUBLIC has nothing: not declared: granted to PUBLIC by example_owner: SELECT on table example.users",
    ],
  },
  "the database": {
    plant: bySql(
      "GRANT TEMPORARY ON DATABASE nanvc TO PUBLIC",
      "REVOKE TEMPORARY ON DATABASE nanvc FROM PUBLIC",
    ),
    finds: [
      "readonly database.TEMPORARY: TEMPORARY on nanvc is not declared and is allowed: granted to PUBLIC by nanvc: TEMPORARY on database nanvc",
      " PUBLIC has nothing: not declared: granted to PUBLIC by nanvc: TEMPORARY on database nanvc",
    ],
  },
  "later functions": {
    plant: bySql(
      `${OWNERS} GRANT EXECUTE ON FUNCTIONS TO PUBLIC`,
      `${OWNERS} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC`,
    ),
    finds: [
      " PUBLIC has nothing: not declared: granted to PUBLIC by PostgreSQL's own default privileges: EXECUTE on later functions of example_owner",
    ],
  },
  "creating in another schema": {
    plant: bySql("GRANT CREATE ON SCHEMA public TO PUBLIC", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
    finds: [
      " PUBLIC has nothing: not declared: granted to PUBLIC by pg_database_owner: CREATE on schema public",
    ],
  },
};

const ON_ROLES: Readonly<Record<string, Fault>> = {
  "a predefined role granted to a group": {
    plant: bySql("GRANT pg_write_all_data TO readonly_role", "REVOKE pg_write_all_data FROM readonly_role"),
    finds: [
      'readonly tables.DELETE: DELETE on PROBE_before_table, PROBE_left_0, "example".users, PROBE_after_2_table is not declared and is allowed: through membership of readonly_role in pg_write_all_data, granted by nanvc',
      "readonly tables.of another role: a privilege on PROBE_of_another_role, which a role other than the owner made, is not declared and is allowed: through membership of readonly_role in pg_write_all_data, granted by nanvc",
      "readonly memberships as declared: not declared: membership of readonly_role in pg_write_all_data, granted by nanvc",
    ],
  },
  "a group in another": {
    plant: bySql("GRANT readwrite_role TO readonly_role", "REVOKE readwrite_role FROM readonly_role"),
    finds: [
      "readonly set role.another: SET ROLE readwrite_role is not declared and is allowed: through membership of readonly_role in readwrite_role, granted by nanvc",
      " group roles hold leased logins alone: readonly_role, a member of readwrite_role, granted by nanvc, is not declared",
    ],
  },
  "a group in another, to be reached with SET ROLE alone": {
    plant: async () => {
      const { rows } = await deployment.superuser.query<{ version: number }>(
        "SELECT current_setting('server_version_num')::int AS version",
      );
      // Before 16 inheriting is the member's matter.
      if (rows[0]!.version >= 160_000)
        return bySql(
          "GRANT readwrite_role TO readonly_role WITH INHERIT FALSE",
          "REVOKE readwrite_role FROM readonly_role",
        )();
      return bySql(
        "ALTER ROLE readonly_role NOINHERIT; GRANT readwrite_role TO readonly_role",
        "REVOKE readwrite_role FROM readonly_role; ALTER ROLE readonly_role INHERIT",
      )();
    },
    finds: [
      'readonly tables.INSERT: INSERT on PROBE_before_table, PROBE_left_0, "example".users, PROBE_after_2_table is not declared and is refused, but is held by the catalogs: through membership of readonly_role in readwrite_role, granted by nanvc',
      "readonly set role.another: SET ROLE readwrite_role is not declared and is allowed",
    ],
  },
  "the owner, to be handed on": {
    plant: bySql(
      "GRANT example_owner TO schema_admin_role WITH ADMIN OPTION",
      "REVOKE ADMIN OPTION FOR example_owner FROM schema_admin_role",
    ),
    finds: [
      "schema-admin memberships as declared: not declared: membership of schema_admin_role in example_owner, granted by nanvc WITH ADMIN OPTION",
    ],
  },
  CREATEDB: {
    plant: bySql("ALTER ROLE readonly_role CREATEDB", "ALTER ROLE readonly_role NOCREATEDB"),
    finds: [
      "readonly attributes.CREATEDB: CREATEDB of LOGIN is not declared and is allowed: readonly_role has CREATEDB",
    ],
  },
  BYPASSRLS: {
    plant: bySql("ALTER ROLE example_owner BYPASSRLS", "ALTER ROLE example_owner NOBYPASSRLS"),
    finds: [
      "schema-admin attributes.BYPASSRLS: BYPASSRLS of LOGIN is not declared and is allowed: example_owner has BYPASSRLS",
    ],
  },
  "a group that can log in": {
    plant: bySql("ALTER ROLE readonly_role LOGIN", "ALTER ROLE readonly_role NOLOGIN"),
    finds: [" group roles as declared: readonly_role is a group role and can log in"],
  },
  "a group's search path": {
    plant: bySql(
      "ALTER ROLE readonly_role SET search_path = public",
      "ALTER ROLE readonly_role SET search_path = example",
    ),
    finds: [
      " group roles as declared: readonly_role has the setting search_path=public, which is not declared",
    ],
  },
  "a predefined role granted to the verifier's probe group": {
    plant: bySql(
      "GRANT pg_read_all_data TO nanvc_verify_short; ALTER ROLE nanvc_verify_short CREATEDB",
      "REVOKE pg_read_all_data FROM nanvc_verify_short; ALTER ROLE nanvc_verify_short NOCREATEDB",
    ),
    finds: [
      " group roles as declared: nanvc_verify_short is a group role and has an attribute such as SUPERUSER or CREATEROLE; not declared: membership of nanvc_verify_short in pg_read_all_data",
    ],
  },
  "Vault's own login made a superuser": {
    plant: bySql("ALTER ROLE vault SUPERUSER", "ALTER ROLE vault NOSUPERUSER"),
    finds: [" Vault's own login: attributes, memberships, settings: vault has SUPERUSER"],
  },
  "a user with a password in a group": {
    plant: bySql("CREATE ROLE alice LOGIN PASSWORD 'wonderland' IN ROLE readonly_role", "DROP ROLE alice"),
    finds: [
      " group roles hold leased logins alone: alice, a member of readonly_role, granted by nanvc, is not declared and can log in: Vault did not lease it",
    ],
  },
  "a user in the owner": {
    plant: bySql("CREATE ROLE alice LOGIN IN ROLE example_owner", "DROP ROLE alice"),
    finds: [
      " group roles hold leased logins alone: alice, a member of example_owner, granted by nanvc, is not declared and can log in: Vault did not lease it",
    ],
  },
  "a leased login left over": {
    plant: bySql(
      `CREATE ROLE "${LEFT_OVER}" LOGIN VALID UNTIL '2024-01-01Z' IN ROLE readonly_role`,
      `DROP ROLE "${LEFT_OVER}"`,
    ),
    finds: [
      " group roles hold leased logins alone: LOGIN, a member of readonly_role, is a leased login that was left over: VALID UNTIL 2024-01-01 00:00:00+00 is past; npx leasehold sweep drops what Vault leased",
    ],
  },
  "a leased login prolonged for ever": {
    plant: bySql(
      `CREATE ROLE "${LEFT_OVER}" LOGIN VALID UNTIL 'infinity' IN ROLE readonly_role`,
      `DROP ROLE "${LEFT_OVER}"`,
    ),
    finds: [
      " group roles hold leased logins alone: LOGIN, a member of readonly_role, is a leased login without an end: VALID UNTIL infinity",
    ],
  },
  "a leased login without a lease": {
    plant: async () => {
      await sql(
        `CREATE ROLE "${LEFT_OVER}" LOGIN IN ROLE nanvc_verify_owner; ALTER ROLE "${LEFT_OVER}" VALID UNTIL 'tomorrow'`,
      );
      return () => sql(`DROP ROLE "${LEFT_OVER}"`);
    },
    finds: [
      " probe leases and their logins agree: a login without a lease: PostgreSQL has LOGIN, LOGIN in nanvc_verify_owner; Vault has database/creds/verify-owner/",
    ],
  },
  "a lease without a login": {
    plant: async () => {
      const verifier = deployment.as("verifier");
      const { lease_id: id, data } = await verifier.call("GET", "database/creds/verify-owner");
      await sql(`DROP ROLE "${String(data!["username"])}"`);
      return () => verifier.call("POST", "sys/leases/revoke", { lease_id: id, sync: true });
    },
    finds: [
      " probe leases and their logins agree: a lease without a login: Vault has database/creds/verify-owner/",
    ],
  },
};

const IN_VAULT: Readonly<Record<string, Fault>> = {
  "another group in the creation statements": {
    plant: inStatements("creation_statements", (text) =>
      text.replaceAll('"readonly_role"', '"readwrite_role"'),
    ),
    finds: [
      "readonly memberships as declared: not declared: membership of LOGIN in readwrite_role, granted by vault; declared and missing: membership of LOGIN in readonly_role",
      'readonly tables.DELETE: DELETE on PROBE_before_table, PROBE_left_0, "example".users, PROBE_after_2_table is not declared and is allowed: through membership of LOGIN in readwrite_role, granted by vault',
    ],
  },
  "creation statements without VALID UNTIL": {
    plant: inStatements("creation_statements", (text) => text.replace("VALID UNTIL '{{expiration}}'", "")),
    finds: ["readonly VALID UNTIL the lease's end: the leased role has no VALID UNTIL"],
  },
  "creation statements with a VALID UNTIL that is a minute late": {
    plant: inStatements(
      "creation_statements",
      (text) =>
        `${text} DO $$ BEGIN EXECUTE format('ALTER ROLE %I VALID UNTIL %L', '{{name}}', '{{expiration}}'::timestamptz + '1 minute'); END $$;`,
    ),
    finds: ["readonly VALID UNTIL the lease's end: VALID UNTIL is "],
  },
  "creation statements with another search path": {
    plant: inStatements("creation_statements", (text) =>
      text.replace('search_path = "example"', "search_path = public"),
    ),
    finds: ["readonly session: user, search path: search path declared: example; found: public"],
  },
  "creation statements without a connection limit": {
    plant: inStatements("creation_statements", (text) => text.replace("CONNECTION LIMIT 20", "")),
    finds: ["readonly connection limit as declared: connection limit declared: 20; found: none"],
  },
  "creation statements without the mark of a lease": {
    plant: async () => {
      const path = "database/roles/verify-short";
      const original = (await deployment.root.call("GET", path)).data!;
      const creation_statements = (original["creation_statements"] as string[]).map((text) =>
        text.replace(/COMMENT ON ROLE .*/, ""),
      );
      await deployment.root.call("POST", path, { ...original, creation_statements });
      const { lease_id } = await deployment.as("verifier").call("GET", "database/creds/verify-short");
      await deployment.root.call("POST", "sys/leases/renew", { lease_id, increment: 3600 });
      return async () => {
        await deployment.root.call("POST", path, original);
        await deployment.root.call("POST", "sys/leases/revoke", { lease_id, sync: true });
      };
    },
    finds: [
      " leased logins as a lease makes them: LOGIN, a member of nanvc_verify_short, lacks the comment that a lease gives its login",
    ],
  },
  "creation statements of a login that does not inherit": {
    plant: inStatements("creation_statements", (text) => text.replace("WITH LOGIN", "WITH NOINHERIT LOGIN")),
    finds: [
      "readonly database.CONNECT: CONNECT on nanvc is declared and is refused: granted to readonly_role, but membership of LOGIN in readonly_role, granted by vault is without INHERIT",
    ],
  },
  "revocation that does nothing": {
    plant: async () => {
      const undo = await inStatements("revocation_statements", () => "SELECT 1")();
      return async () => {
        await undo();
        for (const name of await deployment.leasedRoles()) await sql(`DROP ROLE "${name}"`);
      };
    },
    finds: [
      "readonly revoked: open session ended: the session must end with 57P01, it is still open",
      "readonly revoked: login, role, lease gone: the login must be refused with 28P01 or 28000, received a session",
      " revoked while clients reconnect: nobody stays: readonly: each client must be refused with 28P01 or 28000 in the end, received still not refused after 10 s",
      " a token's end is its lease's, session's and role's: readonly: the session must end with 57P01, it is still open",
      " nothing left: no probe object, leased role or lease: the role LOGIN is still there",
    ],
  },
  "a longer lease": {
    plant: inVault(DATABASE_ROLE, { default_ttl: 7200 }),
    finds: ["readonly lease: login, id, duration: lease TTL declared: 3600 s; found: 7200 s"],
  },
  "a later end of leases": {
    plant: inVault(DATABASE_ROLE, { max_ttl: 172_800 }),
    finds: ["readonly lease max TTL: lease max TTL declared: 86400 s; renewing gives 172800 s"],
  },
  "an extra policy": {
    plant: async () => {
      await deployment.root.call("PUT", "sys/policies/acl/extra", {
        policy: 'path "database/creds/readwrite_role" { capabilities = ["read"] }',
      });
      return inVault(APP_ROLE, { token_policies: ["db-readonly-role", "extra"] })();
    },
    finds: [
      "readonly login: policies and TTLs: policies declared: db-readonly-role; found: db-readonly-role, extra",
      "readonly vault.other credentials: GET database/creds/readwrite_role is not declared and is allowed: by policy extra, which the verifier may not read",
    ],
  },
  "a policy widened with a +": {
    plant: inPolicy((policy) => policy.replace("creds/readonly_role", "creds/+")),
    finds: [
      'readonly vault.other credentials: GET database/creds/schema_admin_role, GET database/creds/readwrite_role, GET database/creds/verify-owner, GET database/creds/verify-short is not declared and is allowed: by policy db-readonly-role: path "database/creds/+" [read]',
    ],
  },
  "a policy with a line for something else": {
    plant: inPolicy((policy) => `${policy}\npath "secret/data/*" { capabilities = ["read", "list"] }`),
    finds: [
      'readonly policies as declared: not declared: policy db-readonly-role: path "secret/data/*" [read, list]',
    ],
  },
  "a policy with a quoted keyword": {
    plant: inPolicy((policy) => `${policy}\n"path" "secret/*" { capabilities = ["read"] }`),
    finds: ['readonly policies as declared: not declared: policy db-readonly-role: path "secret/*" [read]'],
  },
  "a policy without a blank": {
    plant: inPolicy((policy) => `${policy}\npath"secret/*"{capabilities=["read"]}`),
    finds: ['readonly policies as declared: not declared: policy db-readonly-role: path "secret/*" [read]'],
  },
  "a policy with parameters": {
    plant: inPolicy((policy) =>
      policy.replace('"sys/leases/renew" {', '"sys/leases/renew" {\n  denied_parameters = { "x" = ["y"] }'),
    ),
    finds: [
      'readonly policies as declared: policy db-readonly-role is not as declared: denied_parameters = { "x" = ["y"] }',
    ],
  },
  "a policy without renewal": {
    plant: inPolicy((policy) => policy.replace("sys/leases/renew", "sys/leases/other")),
    finds: [
      "readonly vault.its lease's renewal: POST sys/leases/renew is declared and is refused: no policy speaks of it (HTTP 403)",
    ],
  },
  "a policy without ends": {
    plant: inPolicy((policy) =>
      policy.replace("sys/leases/revoke", "sys/leases/other").replace("token/revoke-self", "token/other"),
    ),
    finds: [
      "readonly vault.a lease's end: POST sys/leases/revoke is declared and is refused: no policy speaks of it (HTTP 403)",
      "readonly vault.its token's end: POST auth/token/revoke-self is declared and is refused: no policy speaks of it (HTTP 403)",
    ],
  },
  "a policy without its token's lookup": {
    plant: inPolicy((policy) => policy.replace("token/lookup-self", "token/other")),
    finds: [
      "readonly vault.its token's lookup: GET auth/token/lookup-self is declared and is refused: no policy speaks of it (HTTP 403)",
    ],
  },
  "no secret id asked for": {
    plant: inVault(APP_ROLE, { bind_secret_id: false, token_bound_cidrs: ["127.0.0.0/8"] }),
    finds: [
      "readonly login refused without secret id: a missing secret id must be refused with HTTP 400, received 200",
      "readonly secret id wrapped, opened once: POST auth/approle/role/db-readonly-role/secret-id: HTTP 400: bind_secret_id is not set on the role",
    ],
  },
  "the default policy": {
    plant: inVault(APP_ROLE, { token_no_default_policy: false }),
    finds: [
      "readonly login: policies and TTLs: policies declared: db-readonly-role; found: db-readonly-role, default",
      "readonly vault.other paths: LIST cubbyhole/ is not declared and is allowed: by policy default, which the verifier may not read",
    ],
  },
  "tokens that last longer": {
    plant: inVault(APP_ROLE, { token_ttl: 3600, token_max_ttl: 7200 }),
    finds: [
      "readonly login: policies and TTLs: token TTL declared: 1200 s; found: 3600 s; token max TTL declared: 1800 s; renewing gives 3600 s",
    ],
  },
};

/** Names that are new in each run, by what they are. */
function withoutNames(finding: string): string {
  return finding
    .replace(/v-[a-z]*(-[a-z_-]*)?-[A-Za-z0-9]{20}-[0-9]{10}/g, "LOGIN")
    .replace(/"example"\."leasehold_probe_[0-9]{10}_[a-z0-9]{4}_([a-z0-9_]+)"/g, "PROBE_$1")
    .replace(/leasehold_probe_[0-9]{10}_[a-z0-9]{4}_/g, "PROBE_");
}

/** The users example is there since the first verification; once more would tell no more. */
let withoutWorkload: AccessManifest;

async function found(plant: Fault["plant"]): Promise<string[]> {
  const undo = await plant();
  try {
    const report = await deployment.verify({ manifest: withoutWorkload });
    expect(report.left).toEqual([]);
    return findings(report).map(withoutNames);
  } finally {
    await undo();
  }
}

describe.each([
  ["granted or taken by hand", ON_OBJECTS],
  ["granted to PUBLIC", TO_PUBLIC],
  ["changed on roles", ON_ROLES],
  ["changed in Vault", IN_VAULT],
])("%s", (_, faults) => {
  test.each(Object.entries(faults))("%s", async (_name, { plant, finds }) => {
    const lines = await found(plant);
    for (const finding of finds) expect(lines).toContainEqual(expect.stringContaining(finding));
  });
});

test("CONNECT to another declared database", async () => {
  const [own] = deployment.manifest.databases;
  const neighbour = { ...own!, name: "shop" };
  await sql("CREATE DATABASE shop");
  try {
    const manifest = { ...deployment.manifest, databases: [own!, neighbour] };
    expect(findings(await deployment.verify({ manifest }))).toContainEqual(
      expect.stringMatching(
        /^readonly other declared databases refused: CONNECT on shop is not declared and is allowed: granted to PUBLIC by nanvc: CONNECT on database shop \(login as v-\S+ → a session\)$/,
      ),
    );
    await sql("REVOKE CONNECT ON DATABASE shop FROM PUBLIC");
    const noted = checksOf(await deployment.verify()).find(
      ({ persona, result }) => persona === "readonly" && result.title.startsWith("other declared"),
    )!.result;
    expect(noted).toMatchObject({ held: true });
    expect(noted.evidence).toContainEqual({
      sent: "has_database_privilege: CONNECT on postgres, which is not in the manifest",
      got: "true",
    });
  } finally {
    await sql("DROP DATABASE shop WITH (FORCE)");
  }
});

test("with all of it undone, everything holds", async () => {
  expect(findings(await deployment.verify())).toEqual([]);
});
