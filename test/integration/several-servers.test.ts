import type { JsonObject } from "../../sandbox/terraform-json";
import { VaultClient } from "../../clients/vault-client";
import { handMadeSandbox, providerBlock, query, variables, type HandMade } from "../support/hand-made";

const connection = (prefix: string, database: string): JsonObject => ({
  backend: "${vault_mount.database.path}",
  name: database,
  allowed_roles: [database],
  postgresql: {
    connection_url: `postgresql://{{username}}:{{password}}@\${var.vault_${prefix}_host}:\${var.vault_${prefix}_port}/${database}?sslmode=disable`,
    username: "keeper",
    password: "${var.keeper_password}",
  },
});
const role = (address: string, name: string): JsonObject => ({
  backend: "${vault_mount.database.path}",
  db_name: `\${vault_database_secret_backend_connection.${address}.name}`,
  name,
  creation_statements: [`CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}'`],
  default_ttl: 60,
});
const keeper = { name: "keeper", login: true, create_role: true, password: "${var.keeper_password}" };

const TWO_SERVERS: HandMade = {
  access: {
    servers: [{ name: "postgres", superuser: "boss" }, { name: "weekly-reports" }],
    databases: [
      { name: "ledger", server: "postgres" },
      { name: "archive" },
      { name: "figures", server: "weekly-reports" },
      { name: "drafts", server: "weekly-reports" },
      { name: "made", server: "postgres" },
    ],
  },
  postgres: {
    // The one with the alias first: what has none is the first server in any case.
    provider: {
      postgresql: [
        providerBlock("weekly_reports", "figures", { alias: "weekly_reports" }),
        providerBlock("postgres", "ledger"),
      ],
    },
    variable: variables(
      ...["postgres", "weekly_reports"].flatMap((prefix) =>
        ["host", "port", "superuser_password"].map((name) => `${prefix}_${name}`),
      ),
      "keeper_password",
    ),
    resource: {
      postgresql_role: {
        keeper,
        reports_keeper: { ...keeper, provider: "postgresql.weekly_reports" },
        reader: { name: "reader", provider: "postgresql.weekly_reports" },
      },
      postgresql_database: { made: { name: "made", owner: "${postgresql_role.keeper.name}" } },
      postgresql_schema: {
        named: { name: "named", database: "notes", provider: "postgresql.weekly_reports" },
        in_made: { name: "in_made", database: "${postgresql_database.made.name}" },
      },
    },
  },
  vault: {
    provider: { vault: { address: "${var.vault_address}" } },
    variable: variables(
      ...["postgres", "weekly_reports"].flatMap((prefix) => [`vault_${prefix}_host`, `vault_${prefix}_port`]),
      "vault_address",
      "keeper_password",
    ),
    resource: {
      vault_mount: { database: { type: "database", path: "database" } },
      vault_database_secret_backend_connection: {
        ledger: connection("postgres", "ledger"),
        figures: connection("weekly_reports", "figures"),
      },
      vault_database_secret_backend_role: {
        ledger: role("ledger", "ledger"),
        figures: role("figures", "figures"),
      },
    },
  },
};

test("a server a provider block, the databases that resources and manifest name, one Vault for all", async () => {
  const { sandbox, stop } = await handMadeSandbox(TWO_SERVERS);
  expect([...sandbox.servers.keys()]).toEqual(["postgres", "weekly-reports"]);
  const [first, second] = [...sandbox.servers.values()];
  expect(sandbox.postgres).toBe(first);
  expect(await sandbox.apply()).toBe(11);

  const databases = "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1";
  expect(await query(first!, databases)).toEqual(["archive", "ledger", "made", "postgres"]);
  expect(await query(second!, databases)).toEqual(["drafts", "figures", "notes", "postgres"]);
  const schema = "SELECT nspname FROM pg_namespace WHERE nspname IN ('named', 'in_made')";
  expect(await query(first!, schema, { database: "made" })).toEqual(["in_made"]);
  expect(await query(second!, schema, { database: "notes" })).toEqual(["named"]);
  const owner = "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'made'";
  expect(await query(first!, owner)).toEqual(["keeper"]);
  const reader = "SELECT rolname FROM pg_roles WHERE rolname = 'reader'";
  expect([await query(first!, reader), await query(second!, reader)]).toEqual([[], ["reader"]]);

  const vault = new VaultClient(sandbox.vault.address, sandbox.initialised.tokens.operator);
  for (const [server, name] of [
    [first!, "ledger"],
    [second!, "figures"],
  ] as const) {
    const { data } = await vault.call("GET", `database/creds/${name}`);
    const { username: user, password } = data as { username: string; password: string };
    expect(await query(server, "SELECT current_database(), session_user", { user, password })).toEqual([
      name,
      user,
    ]);
  }
  await stop();
});

test.each<[string, HandMade, string]>([
  [
    "an address that no variable holds",
    { postgres: { provider: { postgresql: providerBlock("postgres", "ledger", { port: 5432 }) } } },
    "provider.postgresql: port must be a variable: the sandbox chooses where its servers are",
  ],
  [
    "no superuser",
    {
      postgres: {
        provider: { postgresql: providerBlock("postgres", "ledger", { username: "${var.user}" }) },
      },
    },
    "access.json names no superuser for the server postgres",
  ],
  [
    "a database that no name says",
    { postgres: { provider: { postgresql: providerBlock("postgres", "${var.database}") } } },
    "provider.postgresql: database must be a name: the sandbox creates it",
  ],
  ["no provider", { postgres: {} }, "the stack postgres has no provider postgresql"],
  [
    "a server's name that is none",
    { access: { servers: [{ name: "../x" }] }, postgres: {} },
    "access.json: servers.0.name: Invalid string: must match pattern",
  ],
])("%s is refused in one line", async (_, handMade, message) => {
  await expect(handMadeSandbox(handMade)).rejects.toThrow(message);
});

test("an alias that no provider block has is an error that names it", async () => {
  const { sandbox, stop } = await handMadeSandbox({
    postgres: {
      provider: { postgresql: providerBlock("postgres", "ledger") },
      variable: variables("postgres_host", "postgres_port", "postgres_superuser_password"),
      resource: { postgresql_role: { odd: { name: "odd", provider: "postgresql.ghost" } } },
    },
  });
  await expect(sandbox.apply()).rejects.toThrow(
    'postgresql_role.odd: provider "postgresql.ghost" is not declared',
  );
  await stop();
});
