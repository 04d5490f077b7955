import { Deployment, findings } from "../support/deployment";
import { query } from "../support/hand-made";
import { eventually } from "../support/program";
import { checksOf } from "../../verify/report/report";

/** Two databases on one server, where roles are global. */
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ env: "two-databases" });
});

afterAll(() => deployment.stop());

async function lease(role: string): Promise<{ id: string; user: string; password: string }> {
  const { lease_id: id, data } = await deployment.root.call("GET", `database/creds/${role}`);
  const { username: user, password } = data as { username: string; password: string };
  return { id: id!, user, password };
}

const inBilling = (sql: string) => query(deployment.sandbox.postgres, sql, { database: "billing" });

test.each([
  ["orders_admin", "orders", "billing"],
  ["orders_service", "orders", "billing"],
  ["orders_report", "orders", "billing"],
  ["billing_admin", "billing", "orders"],
])("a login of %s gets into %s, not into %s", async (role, own, other) => {
  const { id, ...login } = await lease(role);
  const { postgres } = deployment.sandbox;
  expect(await query(postgres, "SELECT current_database()", { ...login, database: own })).toEqual([own]);
  await expect(query(postgres, "SELECT", { ...login, database: other })).rejects.toMatchObject({
    code: "42501",
  });
  await deployment.root.call("POST", "sys/leases/revoke", { lease_id: id, sync: true });
});

test.each([
  ["orders", "billing"],
  ["billing", "orders"],
])("the functions of %s lease its groups, and none of %s", async (own, other) => {
  const { postgres } = deployment.sandbox;
  const login = "v-root-x-abcdefghijklmnopqrst-1700000000";
  const { [`vault_${own}_manager_password`]: password } = deployment.sandbox.variables("postgres");
  const open = (group: string) =>
    query(postgres, `SELECT leasehold.open('${login}', '${group}', 'p', '2030-01-01 00:00:00+0000')`, {
      ...{ user: `vault_${own}`, password: String(password), database: own },
    });
  await expect(open(`${other}_report`)).rejects.toThrow(
    `'${other}_report' is not the group role of a persona`,
  );
  await open(`${own}_report`);
  await query(postgres, `DROP ROLE "${login}"`);
});

test("Vault's logins are in no group", async () => {
  const memberships = "SELECT FROM pg_auth_members WHERE member::regrole::text LIKE 'vault%'";
  expect(await query(deployment.sandbox.postgres, memberships)).toEqual([]);
});

test("a leased role that owns something in the neighbour is revoked and not dropped, and named", async () => {
  const isAlive = () =>
    deployment.leasedRoles().then((roles) => roles.find((role) => role.startsWith("v-approle-orders_r")));
  // In a schema that nobody verifies.
  await inBilling("CREATE SCHEMA elsewhere");
  await inBilling("CREATE TABLE elsewhere.stray (id integer)");
  let steps = "";
  const running = deployment.verify({ onStep: (step) => (steps += `${step}\n`) });
  await eventually(
    () => steps.includes("orders: report"),
    30_000,
    () => steps,
  );
  let role: string | undefined;
  while ((role = await isAlive()) === undefined);
  await inBilling(`ALTER TABLE elsewhere.stray OWNER TO "${role}"`);

  const report = await running;
  expect(steps).toContain("billing: report (database 2 of 2)\n");
  const lines = findings(report);
  expect(lines).toContainEqual(
    expect.stringMatching(/^report revoked: login, role, lease gone: the role \S+ is still there$/),
  );
  expect(report.left).toEqual([]);
  for (const line of lines) expect(line).not.toContain("\n");
  // The neighbour held, but for this.
  expect(checksOf(report).filter(({ database, result }) => database === "billing" && !result.held)).toEqual(
    [],
  );
  expect(await isAlive()).toBe(role);
  const { rows } = await deployment.superuser.query(
    "SELECT rolcanlogin AS login, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = $1",
    [role],
  );
  expect(rows).toEqual([
    {
      login: false,
      comment: expect.stringMatching(/^leasehold \S+ orders: revoked, not dropped \(2BP01\)/) as string,
    },
  ]);

  await inBilling("ALTER TABLE elsewhere.stray OWNER TO billing_owner");
  await deployment.superuser.query(`DROP ROLE "${role}"`);
  expect(await inBilling("SELECT tableowner FROM pg_tables WHERE tablename = 'stray'")).toEqual([
    "billing_owner",
  ]);
  expect(findings(await deployment.verify())).toEqual([]);
});

test("Vault's login of one database can't get into the other", async () => {
  const { postgres } = deployment.sandbox;
  const { vault_orders_manager_password: password } = deployment.sandbox.variables("postgres");
  const login = { user: "vault_orders", password: String(password) };
  expect(await query(postgres, "SELECT 1", { ...login, database: "orders" })).toEqual([1]);
  await expect(query(postgres, "SELECT", { ...login, database: "billing" })).rejects.toMatchObject({
    code: "42501",
  });
});

test("what a persona may do in Vault beside its leases is verified", async () => {
  const { root } = deployment;
  const policy = "sys/policies/acl/app-orders-service";
  const { policy: text } = (await root.call("GET", policy)).data as { policy: string };
  await root.call("PUT", policy, { policy: text.replace("secret/data/orders/", "secret/data/others/") });
  const appRole = "auth/approle/role/app-billing-service";
  await root.call("POST", appRole, { token_policies: ["app-billing-service"] });
  const report = await deployment.verify({ expiry: false });
  expect(findings(report)).toEqual(
    expect.arrayContaining([
      "service vault.declared paths: read on secret/data/orders/* is declared and sys/capabilities says deny: no policy speaks of it",
      expect.stringContaining(
        "policies declared: app-billing-service, kv-common; found: app-billing-service",
      ),
    ]),
  );
  await root.call("PUT", policy, { policy: text });
  await root.call("POST", appRole, { token_policies: ["app-billing-service", "kv-common"] });
});
