import { Client } from "pg";
import { apply } from "../../sandbox/engine";
import { PostgresServer } from "../../sandbox/postgres-server";
import { postgresqlProvider } from "../../sandbox/postgresql-provider";
import { parseConfiguration, type JsonObject } from "../../sandbox/terraform-json";
import { vaultBinary } from "../../sandbox/vault-binary";
import { setUpVault } from "../../sandbox/vault-setup";
import { vaultProvider } from "../../sandbox/vault-provider";
import { VaultServer } from "../../sandbox/vault-server";
import { Workspace } from "../../sandbox/workspace";
import { VaultClient } from "../../clients/vault-client";

let workspace: Workspace;
let postgres: PostgresServer;
let server: VaultServer;
let superuser: Client;
let root: VaultClient;

beforeAll(async () => {
  workspace = await Workspace.create();
  postgres = await PostgresServer.start(workspace, {
    superuser: "boss",
    password: "boss-password",
    database: "Ledger",
  });
  server = await VaultServer.start(workspace, await vaultBinary());
  const names = { operator: "o", planner: "p", deliverer: "d", verifier: "v" };
  const { rootToken } = await setUpVault(new VaultClient(server.address), names, {});
  root = new VaultClient(server.address, rootToken);
  superuser = new Client(superuserOf(postgres));
  await superuser.connect();
});

function superuserOf({ host, port, superuser: user, password, database }: PostgresServer) {
  return { host, port, user, password, database, ssl: false };
}

afterAll(async () => {
  await superuser.end();
  await Promise.all([postgres.stop(), server.stop()]);
  workspace.remove();
});

const provider = {
  postgresql: {
    host: "127.0.0.1",
    port: "${var.pg_port}",
    username: "boss",
    password: "${var.pg_password}",
    database: "Ledger",
    sslmode: "disable",
  },
  vault: [{ address: "${var.vault}" }],
};

/** A configuration that no construct produced, written as a person would. */
const handWritten: JsonObject = {
  terraform: [
    {
      required_version: ">= 1.11",
      required_providers: [{ postgresql: { source: "cyrilgdn/postgresql" }, vault: "5.6.0" }],
      backend: { local: { path: "${path.module}/state" } },
    },
  ],
  provider,
  variable: {
    pg_port: { type: "number" },
    pg_password: { type: "string" },
    vault: {},
    team: [{ default: "blue", type: "string", nullable: false, sensitive: false, "//": "a comment" }],
  },
  resource: {
    // Out of order on purpose: references and depends_on decide.
    vault_database_secret_backend_role: {
      tellers: {
        backend: "${vault_mount.money.path}",
        db_name: "${vault_database_secret_backend_connection.ledger.name}",
        name: "tellers-${var.team}",
        creation_statements: [
          `CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE "tellers-blue";`,
        ],
        default_ttl: 60,
        max_ttl: 120,
      },
    },
    vault_database_secret_backend_connection: {
      ledger: {
        backend: "${vault_mount.money.path}",
        name: "ledger",
        allowed_roles: ["tellers-blue"],
        depends_on: ["vault_mount.money", "postgresql_role.keeper"],
        postgresql: [
          {
            connection_url:
              "postgresql://{{username}}:{{password}}@127.0.0.1:${var.pg_port}/Ledger?sslmode=disable",
            username: "keeper",
            password: "keeper-$${literal}-%%{x}",
          },
        ],
      },
    },
    vault_mount: { money: { type: "database", path: "team/money", description: null } },
    vault_policy: {
      tellers: {
        name: "tellers",
        policy: 'path "team/money/creds/tellers-blue" { capabilities = ["read"] }',
      },
    },
    vault_auth_backend: { apps: { type: "approle", path: "apps" } },
    vault_approle_auth_backend_role: {
      tellers: {
        backend: "${vault_auth_backend.apps.path}",
        role_name: "tellers",
        token_policies: ["${vault_policy.tellers.name}"],
        token_ttl: 60,
      },
    },
    postgresql_grant_role: {
      keeper: {
        role: "${postgresql_role.keeper.name}",
        grant_role: "${postgresql_role.tellers.name}",
        with_admin_option: true,
      },
    },
    postgresql_grant: {
      use: {
        role: "${postgresql_role.tellers.name}",
        database: "Ledger",
        schema: "${postgresql_schema.books.name}",
        object_type: "schema",
        privileges: ["USAGE"],
        depends_on: ["postgresql_schema.books"],
      },
    },
    postgresql_default_privileges: {
      rows: {
        role: "${postgresql_role.tellers.name}",
        owner: "${postgresql_role.owner.name}",
        database: "Ledger",
        schema: "${postgresql_schema.books.name}",
        object_type: "table",
        privileges: ["SELECT"],
      },
    },
    postgresql_schema: { books: { name: "Books", owner: "${postgresql_role.owner.name}" } },
    postgresql_role: {
      tellers: { name: "tellers-${var.team}" },
      owner: { name: "ledger_owner", "//": "a comment" },
      keeper: {
        name: "keeper",
        login: true,
        create_role: true,
        password: "keeper-$${literal}-%%{x}",
        lifecycle: [{ ignore_changes: ["roles"], prevent_destroy: true, create_before_destroy: null }],
      },
    },
  },
};

function run(configuration: JsonObject) {
  const variables = { pg_port: postgres.port, pg_password: "boss-password", vault: server.address };
  return apply(parseConfiguration(configuration), variables, {
    postgresql: postgresqlProvider,
    vault: vaultProvider(rootToken()),
  });
}

function rootToken(): string {
  return (root as unknown as { token: string }).token;
}

test("a hand-written configuration is applied, in the order that references and depends_on ask for", async () => {
  expect(await run(handWritten)).toBe(13);
  const { data } = await root.call("GET", "team/money/creds/tellers-blue");
  const login = data as { username: string; password: string };
  const leased = new Client({
    host: "127.0.0.1",
    port: postgres.port,
    user: login.username,
    password: login.password,
    database: "Ledger",
    ssl: false,
  });
  await leased.connect();
  await superuser.query(
    'SET ROLE ledger_owner; CREATE TABLE "Books".entries (id integer); INSERT INTO "Books".entries VALUES (7); RESET ROLE',
  );
  expect((await leased.query('SELECT id FROM "Books".entries')).rows).toEqual([{ id: 7 }]);
  await expect(leased.query('DELETE FROM "Books".entries')).rejects.toMatchObject({ code: "42501" });
  await leased.end();
  expect((await root.call("GET", "auth/apps/role/tellers")).data).toMatchObject({
    token_policies: ["tellers"],
    token_ttl: 60,
  });
});

test("a SECURITY DEFINER function, a static role, root rotation and bound CIDRs are what the providers make", async () => {
  const variable = { pg_port: {}, pg_password: {}, vault: {} };
  const rotate = `ALTER ROLE "{{username}}" VALID UNTIL '2100-01-01' PASSWORD '{{password}}'`;
  const body = `AS $$
BEGIN
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  EXECUTE format('CREATE ROLE %I', prefix || '_made');
  RETURN session_user || ' asked ' || current_user;
END
$$`;
  await run({
    provider,
    variable,
    resource: {
      postgresql_role: {
        clerk: { name: "clerk", login: true, password: "clerk-password" },
        fixed: { name: "fixed", login: true, password: "fixed-password" },
        rotator: { name: "rotator", login: true, superuser: true, password: "rotator-password" },
      },
      postgresql_function: {
        make: {
          name: "make",
          database: "Ledger",
          arg: [{ name: "prefix", type: "text", default: "'x'" }],
          returns: "text",
          body,
          security_definer: true,
          strict: true,
          parallel: "RESTRICTED",
        },
        add: {
          name: "add",
          schema: "public",
          language: "sql",
          volatility: "IMMUTABLE",
          arg: [
            { name: "a", type: "integer" },
            { name: "b", type: "integer", mode: "IN" },
            { name: "c", type: "integer", mode: "OUT" },
          ],
          body: "SELECT a + b",
        },
      },
      // The provider's spelling for: nobody but who is granted it.
      postgresql_grant: {
        nobody: {
          role: "public",
          database: "Ledger",
          schema: "public",
          object_type: "function",
          objects: ["make"],
          privileges: [],
          depends_on: ["postgresql_function.make"],
        },
        clerk: {
          role: "${postgresql_role.clerk.name}",
          database: "Ledger",
          schema: "public",
          object_type: "function",
          objects: ["${postgresql_function.make.name}"],
          privileges: ["EXECUTE"],
          depends_on: ["postgresql_grant.nobody"],
        },
      },
      vault_mount: { statics: { type: "database", path: "statics" } },
      vault_database_secret_backend_connection: {
        statics: {
          backend: "${vault_mount.statics.path}",
          name: "statics",
          allowed_roles: ["*"],
          root_rotation_statements: [rotate],
          postgresql: [
            {
              connection_url:
                "postgresql://{{username}}:{{password}}@127.0.0.1:${var.pg_port}/Ledger?sslmode=disable",
              username: "${postgresql_role.rotator.name}",
              password: "rotator-password",
            },
          ],
        },
      },
      vault_database_secret_backend_static_role: {
        fixed: {
          backend: "${vault_mount.statics.path}",
          db_name: "${vault_database_secret_backend_connection.statics.name}",
          name: "fixed",
          username: "${postgresql_role.fixed.name}",
          rotation_period: 3600,
          rotation_statements: [rotate],
        },
      },
      vault_auth_backend: { bound: { type: "approle", path: "bound" } },
      vault_approle_auth_backend_role: {
        near: {
          backend: "${vault_auth_backend.bound.path}",
          role_name: "near",
          secret_id_bound_cidrs: ["127.0.0.0/8"],
          token_bound_cidrs: ["127.0.0.1/32"],
        },
        far: {
          backend: "${vault_auth_backend.bound.path}",
          role_name: "far",
          secret_id_bound_cidrs: ["192.0.2.0/24"],
        },
      },
    },
  });

  const as = async (user: string, password: string, sql: string): Promise<unknown[]> => {
    const client = new Client({ ...superuserOf(postgres), user, password });
    await client.connect();
    return (await client.query<unknown[]>({ text: sql, rowMode: "array" }).finally(() => client.end())).rows;
  };
  expect(await as("clerk", "clerk-password", "SELECT make('clerks'), add(1, 2)")).toEqual([
    ["clerk asked boss", 3],
  ]);
  const { rows } = await superuser.query(
    `SELECT proisstrict, proparallel, provolatile, prosrc LIKE 'BEGIN%END' AS body FROM pg_proc WHERE proname = 'make'
     UNION ALL SELECT false, NULL, NULL, EXISTS (SELECT FROM pg_roles WHERE rolname = 'clerks_made')`,
  );
  expect(rows).toEqual([
    { proisstrict: true, proparallel: "r", provolatile: "v", body: true },
    { proisstrict: false, proparallel: null, provolatile: null, body: true },
  ]);

  const { data } = await root.call("GET", "statics/static-creds/fixed");
  const { username, password } = data as { username: string; password: string };
  expect(password).not.toBe("fixed-password");
  expect(await as(username, password, "SELECT session_user")).toEqual([["fixed"]]);
  await expect(as("fixed", "fixed-password", "SELECT")).rejects.toMatchObject({ code: "28P01" });
  await root.call("POST", "statics/rotate-root/statics");
  const until =
    "SELECT rolvaliduntil::date::text AS until FROM pg_roles WHERE rolname IN ('fixed', 'rotator')";
  expect((await superuser.query(until)).rows).toEqual([{ until: "2100-01-01" }, { until: "2100-01-01" }]);

  const logIn = async (name: string): Promise<number> => {
    const roleId = (await root.call("GET", `auth/bound/role/${name}/role-id`)).data!["role_id"];
    const secretId = (await root.call("POST", `auth/bound/role/${name}/secret-id`)).data!["secret_id"];
    const body = { role_id: roleId, secret_id: secretId };
    return (await root.withToken().request("POST", "auth/bound/login", body)).status;
  };
  expect([await logIn("near"), await logIn("far")]).toEqual([200, 400]);
  expect((await root.call("GET", "auth/bound/role/near")).data).toMatchObject({
    secret_id_bound_cidrs: ["127.0.0.0/8"],
    token_bound_cidrs: ["127.0.0.1"],
  });
});

describe("what it does not know is an error that names it, before anything is changed", () => {
  const variable = { pg_port: {}, pg_password: {}, vault: {}, unset: {} };
  const roles = (extra: JsonObject, more: JsonObject = {}): JsonObject => ({
    provider,
    variable,
    resource: {
      postgresql_role: { first: { name: "first" }, second: { name: "second", ...extra } },
      ...more,
    },
  });

  test.each<[string, JsonObject, string]>([
    [
      "a type",
      roles({}, { postgresql_magic: { wand: { name: "x" } } }),
      'postgresql_magic.wand: type "postgresql_magic" is not known to the sandbox',
    ],
    [
      "a provider",
      roles({}, { aws_vpc: { net: {} } }),
      'aws_vpc.net: provider "aws" is not known to the sandbox',
    ],
    [
      "an attribute",
      roles({ colour: "red" }),
      'postgresql_role.second: attribute "colour" is not known to the sandbox',
    ],
    [
      "an attribute's type",
      roles({ login: "yes" }),
      'postgresql_role.second: attribute "login": Invalid input: expected boolean, received string',
    ],
    [
      "columns of more than a table",
      roles(
        {},
        {
          postgresql_grant: {
            odd: {
              ...{ role: "r", database: "Ledger", schema: "s", object_type: "column" },
              ...{ objects: ["a", "b"], columns: ["c"], privileges: ["SELECT"] },
            },
          },
        },
      ),
      'postgresql_grant.odd: attribute "objects": exactly one table, with object_type column',
    ],
    [
      "a search path that the provider refuses",
      roles({ search_path: ["a", "b, c"] }),
      'postgresql_role.second: attribute "search_path.1": a schema without ", " in its name',
    ],
    [
      "a meta-argument",
      roles({ count: 2 }),
      'postgresql_role.second: meta-argument "count" is not known to the sandbox',
    ],
    [
      "an expression",
      roles({ valid_until: '${timeadd(timestamp(), "1h")}' }),
      'postgresql_role.second: template "${timeadd(timestamp(), "1h")}" is not known to the sandbox',
    ],
    [
      "a function",
      roles({ valid_until: "${timestamp()}" }),
      'postgresql_role.second: expression "timestamp()" is not known to the sandbox',
    ],
    [
      "a directive",
      roles({ valid_until: "%{ if true }x%{ endif }" }),
      'postgresql_role.second: template "%{ if true }x%{ endif }" is not known to the sandbox',
    ],
    [
      "a reference to nothing",
      roles({ valid_until: "${postgresql_role.ghost.name}" }),
      "postgresql_role.second needs postgresql_role.ghost, which is not declared",
    ],
    [
      "an attribute of another resource",
      roles({ valid_until: "${postgresql_role.first.colour}" }),
      'postgresql_role.first has no attribute "colour"',
    ],
    [
      "a variable that is not declared",
      roles({ valid_until: "${var.ghost}" }),
      'variable "ghost" is not declared',
    ],
    ["a variable without a value", roles({ valid_until: "${var.unset}" }), 'variable "unset" has no value'],
    [
      "a circle",
      roles({ depends_on: ["postgresql_role.second"] }),
      "resources need each other: postgresql_role.second → postgresql_role.second",
    ],
    ["a block", { ...roles({}), module: {} }, 'block "module" is not known to the sandbox'],
    [
      "an output's precondition",
      { ...roles({}), output: { first: { value: "${postgresql_role.first.name}", precondition: {} } } },
      'output.first: "precondition" is not known to the sandbox',
    ],
    [
      "an output of a resource that is not declared",
      { ...roles({}), output: { first: { value: "${postgresql_role.ghost.name}" } } },
      "output.first needs postgresql_role.ghost, which is not declared",
    ],
    [
      "a removed block's provisioner",
      { ...roles({}), removed: [{ from: "postgresql_role.old", provisioner: {} }] },
      'removed: "provisioner" is not known to the sandbox',
    ],
    [
      "a removed block's lifecycle",
      { ...roles({}), removed: { from: "postgresql_role.old", lifecycle: { prevent_destroy: true } } },
      'removed.postgresql_role.old.lifecycle: "prevent_destroy" is not known to the sandbox',
    ],
    [
      "a removed block without an address",
      { ...roles({}), removed: [{ lifecycle: { destroy: false } }] },
      "removed.from: must be an address, received null",
    ],
    [
      "what is removed and declared",
      { ...roles({}), removed: [{ from: "postgresql_role.first" }] },
      "removed.postgresql_role.first: it is declared",
    ],
    [
      "a condition of a resource's lifecycle",
      roles({ lifecycle: { ignore_changes: ["roles"], precondition: [{ condition: false }] } }),
      'postgresql_role.second.lifecycle: "precondition" is not known to the sandbox',
    ],
    [
      "a lifecycle as a list",
      roles({ lifecycle: [{ prevent_destroy: true, postcondition: {} }] }),
      'postgresql_role.second.lifecycle: "postcondition" is not known to the sandbox',
    ],
    [
      "a lifecycle that is none",
      roles({ lifecycle: "keep" }),
      'postgresql_role.second.lifecycle: must be an object, received "keep"',
    ],
    [
      "a depends_on that is no list",
      roles({ depends_on: "postgresql_role.first" }),
      'postgresql_role.second.depends_on: must be a list of addresses, received "postgresql_role.first"',
    ],
    [
      "a provider that is no name",
      roles({ provider: ["postgresql"] }),
      'postgresql_role.second.provider: must be a name, received ["postgresql"]',
    ],
    [
      "a variable's validation",
      { ...roles({}), variable: { ...variable, team: { default: "x", validation: [{ condition: false }] } } },
      'variable.team: "validation" is not known to the sandbox',
    ],
    [
      "a setting of Terraform's",
      { ...roles({}), terraform: { required_version: ">= 1.11", provider_meta: {} } },
      'terraform: "provider_meta" is not known to the sandbox',
    ],
    [
      "a requirement of a provider",
      { ...roles({}), terraform: { required_providers: { postgresql: { source: "x/y", checksum: "z" } } } },
      'terraform.required_providers.postgresql: "checksum" is not known to the sandbox',
    ],
    [
      "an attribute that every JavaScript object has",
      roles({ valid_until: "${postgresql_role.first.constructor}" }),
      'postgresql_role.first has no attribute "constructor"',
    ],
    [
      "a variable that every JavaScript object has",
      { ...roles({ valid_until: "${var.constructor}" }), variable: { ...variable, constructor: {} } },
      'variable "constructor" has no value',
    ],
    [
      "a provider's setting",
      { ...roles({}), provider: { postgresql: { ...provider.postgresql, sshtunnel: true } } },
      'provider.postgresql: attribute "sshtunnel" is not known to the sandbox',
    ],
  ])("%s", async (_, configuration, message) => {
    await expect(async () => run(configuration)).rejects.toThrow(message);
    const { rows } = await superuser.query(
      "SELECT rolname FROM pg_roles WHERE rolname IN ('first', 'second')",
    );
    expect(rows).toEqual([]);
  });
});

test("what a server refuses is an error that names the resource, with the server's words", async () => {
  const resource = {
    postgresql_grant: {
      odd: { role: "nobody_here", database: "Ledger", object_type: "database", privileges: ["CONNECT"] },
    },
  };
  const variable = { pg_port: {}, pg_password: {}, vault: {} };
  await expect(run({ provider, variable, resource })).rejects.toThrow(
    'postgresql_grant.odd: role "nobody_here" does not exist',
  );
});

test("SQL in a name or a privilege does not become SQL", async () => {
  const name = 'x"; CREATE ROLE injected; --';
  const variable = { pg_port: {}, pg_password: {}, vault: {} };
  await run({ provider, variable, resource: { postgresql_role: { odd: { name } } } });
  const grant = {
    role: name,
    database: "Ledger",
    object_type: "database",
    privileges: ["CONNECT; CREATE ROLE injected"],
  };
  await expect(run({ provider, variable, resource: { postgresql_grant: { odd: grant } } })).rejects.toThrow(
    '"CONNECT; CREATE ROLE injected" is no privilege',
  );
  const { rows } = await superuser.query(
    "SELECT rolname FROM pg_roles WHERE rolname = 'injected' OR rolname = $1",
    [name],
  );
  expect(rows).toEqual([{ rolname: name }]);
});
