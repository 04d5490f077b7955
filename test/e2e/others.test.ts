import external from "../../config/external";
import type { EnvironmentInput } from "../../config/schema/schema";
import { query } from "../support/hand-made";
import { messages } from "../support/program";
import { Checkout } from "./checkout";
import { inVault } from "./in-vault";
import { OwnServers } from "./own-servers";

/**
 * Servers on which others have what external would make, with the real Terraform and providers: nothing of theirs is changed or
 * removed. The tests are its steps, in order.
 */
let servers: OwnServers;

const RULE = 'path "secret/*" { capabilities = ["read"] }\n';
const PERSONAS = external.databases[0]!.personas;

beforeAll(async () => {
  servers = await OwnServers.start();
  configure();
}, 60_000);

afterAll(() => servers.stop());

function configure(
  change: (draft: EnvironmentInput) => void = () => undefined,
  checkout = servers.checkout,
): void {
  servers.configure((draft) => {
    delete draft.databases[0]!.workload;
    draft.verification = false;
    change(draft);
  }, checkout);
}

/** As the superuser, one statement after the other. */
async function run(sql: string, database = "app"): Promise<void> {
  for (const statement of sql.split(";"))
    await query(servers.deployment.sandbox.postgres, statement, { database });
}

/** All that a role, a schema or a table of PostgreSQL's tells of itself, and all that Vault has of others'. */
async function all(): Promise<unknown> {
  const root = servers.root();
  const read = async (path: string) => (await root.request("GET", path)).body.data;
  return {
    roles: await servers.query(
      "SELECT to_jsonb(r) - 'oid' FROM pg_roles r WHERE rolname NOT LIKE 'pg\\_%' ORDER BY rolname",
    ),
    members: await servers.query(
      "SELECT roleid::regrole::text || ' to ' || member::regrole FROM pg_auth_members WHERE roleid >= 16384 ORDER BY 1",
    ),
    acls: await servers.query(
      `SELECT datname || datacl::text FROM pg_database WHERE datname = 'app'
       UNION ALL SELECT nspname || nspowner::regrole || coalesce(nspacl::text, '') FROM pg_namespace WHERE oid >= 16384
       UNION ALL SELECT relname || relowner::regrole || coalesce(relacl::text, '') FROM pg_class
         WHERE oid >= 16384 AND relkind = 'r' ORDER BY 1`,
    ),
    vault: await inVault(root),
    config: await read("database/config/app"),
    role: await read("database/roles/app_report"),
    appRole: await read("auth/approle/role/app-service"),
    policy: await read("sys/policies/acl/app-report"),
  };
}

async function refused(...args: string[]): Promise<string[]> {
  const { code, output } = await servers.leasehold(...args);
  expect({ code, output: code === 2 ? "" : output }).toEqual({ code: 2, output: "" });
  return messages(output).map((line) =>
    line
      .replace(/ (on PostgreSQL|of Vault) at \S+/, "")
      .replace(/( is there already|: choose another).*/, ""),
  );
}

const holds = (...args: string[]) => servers.succeeds(...args);

test("init is refused where somebody has a policy of its names, and changes nothing", async () => {
  const planner = "sys/policies/acl/leasehold-external-planner";
  await servers.root().call("PUT", planner, { policy: RULE });
  const before = await all();
  expect(await refused("init")).toEqual([
    expect.stringMatching(/^the policy leasehold-external-planner at \S+ is somebody else's /),
  ]);
  expect(await all()).toEqual(before);
  await servers.root().call("DELETE", planner);
  await holds("init");
});

test("a first deploy names all that others have, and changes nothing; destroy then removes nothing", async () => {
  await run(
    `CREATE ROLE dba; CREATE SCHEMA app AUTHORIZATION dba; CREATE TABLE app.bills (id int); ALTER TABLE app.bills OWNER TO dba;
     CREATE ROLE app_report; GRANT USAGE ON SCHEMA app TO app_report; GRANT SELECT ON app.bills TO app_report;
     CREATE ROLE vault LOGIN CONNECTION LIMIT 3; GRANT app_report TO vault; GRANT CREATE ON DATABASE app TO dba`,
  );
  const root = servers.root();
  const plugin = { plugin_name: "postgresql-database-plugin", verify_connection: false };
  for (const [path, body] of [
    ["sys/mounts/database", { type: "database" }],
    [
      "database/config/app",
      { ...plugin, connection_url: "postgresql://127.0.0.1/theirs", allowed_roles: ["*"] },
    ],
    ["database/roles/app_report", { db_name: "app", creation_statements: ["SELECT 1"] }],
    ["sys/auth/approle", { type: "approle" }],
    ["auth/approle/role/app-service", { token_policies: ["app-report"] }],
    ["sys/policies/acl/app-report", { policy: RULE }],
  ] as const)
    await root.call("POST", path, body);
  const before = await all();
  expect((await refused("deploy", "--auto-approve")).sort()).toEqual([
    "the AppRole auth/approle/role/app-service",
    "the auth mount approle",
    "the connection database/config/app",
    "the database role database/roles/app_report",
    "the mount database",
    "the policy app-report is somebody else's (its first line is no mark)",
    "the role app_report",
    "the role vault",
    "the schema app (dba's) of the database app",
  ]);
  expect(await all()).toEqual(before);
  expect(await holds("destroy", "--auto-approve", "--delete-data")).toContain(
    "left: the operator's token in Vault: vault token revoke -accessor ",
  );
  expect(await all()).toEqual(before);
});

test("a policy alone is taken over by init --take-over, and deployed", async () => {
  const root = servers.root();
  for (const path of ["sys/mounts/database", "sys/auth/approle"]) await root.call("DELETE", path);
  await run(
    "DROP SCHEMA app CASCADE; REVOKE CREATE ON DATABASE app FROM dba; DROP ROLE vault, app_report, dba",
  );
  expect(await refused("deploy", "--auto-approve")).toEqual([
    "the policy app-report is somebody else's (its first line is no mark)",
  ]);
  expect(await holds("init", "--take-over")).toMatch(
    /^took over the policy app-report, which was somebody else's/m,
  );
  await holds("deploy", "--auto-approve");
  expect(await holds("deploy", "--auto-approve")).toContain("Nothing to do");
  await holds("diff");
});

test("init of another checkout, whose environment has the same name and another connection, is refused", async () => {
  const other = new Checkout("external");
  configure((draft) => {
    draft.databases[0]!.vault.connection = "shop";
  }, other);
  const before = await all();
  const { code, output } = await servers.leaseholdWith({ checkout: other }, "init");
  const mark = "another environment's (its first line is # leasehold external database/app)";
  expect({ code, lines: messages(output) }).toEqual({
    code: 2,
    lines: ["operator", "planner", "deliverer", "verifier"].map(
      (who) => expect.stringContaining(`the policy leasehold-external-${who} at `) as string,
    ),
  });
  expect(output.split(mark)).toHaveLength(5);
  expect(await all()).toEqual(before);
  other.remove();
});

test("what others have in the way of a later deploy stays as it is through destroy --delete-data", async () => {
  await run(
    "CREATE ROLE app_auditor; CREATE ROLE billing_owner; CREATE DATABASE billing OWNER billing_owner",
  );
  await run("CREATE SCHEMA theirs AUTHORIZATION app_auditor; CREATE TABLE theirs.kept (id int)");
  await run("ALTER TABLE theirs.kept OWNER TO app_auditor; GRANT SELECT ON theirs.kept TO billing_owner");
  const inBilling = (sql: string) => query(servers.deployment.sandbox.postgres, sql, { database: "billing" });
  await run(
    "CREATE SCHEMA billing AUTHORIZATION billing_owner; CREATE TABLE billing.kept AS SELECT 1 AS id",
    "billing",
  );
  const theirs = async () => ({
    roles: await servers.query(
      "SELECT to_jsonb(r) - 'oid' FROM pg_roles r WHERE rolname IN ('app_auditor', 'billing_owner') ORDER BY rolname",
    ),
    acl: await servers.query(
      "SELECT relowner::regrole || relacl::text FROM pg_class WHERE oid = 'theirs.kept'::regclass",
    ),
    kept: await inBilling("SELECT id FROM billing.kept"),
  });
  const before = await theirs();
  configure((draft) => {
    const [app] = draft.databases as [(typeof draft.databases)[number]];
    const persona = PERSONAS[2]!;
    app.personas.push({ ...persona, name: "auditor", groupRole: "app_auditor", appRole: "app-auditor" });
    draft.databases.push({
      ...app,
      ...{ name: "billing", schema: "billing", owner: "billing_owner" },
      manager: { name: "billing_vault", passwordVersion: 1 },
      vault: { mount: "database", connection: "billing" },
      personas: [{ ...persona, groupRole: "billing_report", appRole: "app-billing" }],
    });
  });
  await holds("init");
  expect((await refused("deploy", "--auto-approve")).sort()).toEqual([
    "the database billing",
    "the role app_auditor",
    "the role billing_owner",
  ]);
  expect(await theirs()).toEqual(before);
  await holds("destroy", "--auto-approve", "--delete-data");
  expect(await theirs()).toEqual(before);
  expect(
    await servers.query("SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1"),
  ).toEqual(["app_auditor", "billing_owner", "postgres"]);
});
