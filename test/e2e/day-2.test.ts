import { readFileSync, truncateSync } from "node:fs";
import type { EnvironmentInput } from "../../config/schema/schema";
import external from "../../config/external";
import { personasOf } from "../environments/two-databases";
import { query } from "../support/hand-made";
import { messages } from "../support/program";
import { inVault } from "./in-vault";
import { OwnServers } from "./own-servers";

/**
 * What becomes of living leases when a config changes, as docs/day-2.md says it, with the real Terraform and providers. The
 * tests are its steps, in order.
 */
type Database = EnvironmentInput["databases"][number];

interface Lease {
  readonly id: string;
  readonly database: string;
  readonly user: string;
  readonly password: string;
}

const app = external.databases[0]!;
const [admin, service, report] = app.personas;
const shorter = { ...report!, lease: { defaultTtl: "10m", maxTtl: "20m" } };
const renamed = { ...shorter, name: "audit", groupRole: "app_audit", appRole: "app-audit" };
/** The stack makes it. */
const billing: Database = {
  name: "billing",
  schema: "billing",
  owner: "billing_owner",
  manager: { name: "vault_billing", passwordVersion: 1 },
  vault: { mount: "database", connection: "billing" },
  personas: personasOf("billing"),
};

let servers: OwnServers;
/** Of a persona that no step changes. */
let other: Lease;
let isDestroyed = false;

beforeAll(async () => {
  servers = await OwnServers.start();
  await change([admin!, service!, report!], billing);
  other = await lease("app_service");
}, 300_000);

afterAll(() => servers.stop());

afterEach(async () => {
  expect(await opens(other)).toBe(!isDestroyed);
});

const holds = (...args: string[]) => servers.succeeds(...args);

function configure(personas: Database["personas"], ...more: Database[]): void {
  servers.configure((draft) => {
    draft.databases = [{ ...app, personas, workload: undefined }, ...more];
  });
}

/** Returns what deploy said. */
async function change(personas: Database["personas"], ...more: Database[]): Promise<string> {
  configure(personas, ...more);
  await holds("init");
  return holds("deploy", "--auto-approve");
}

async function lease(role: string, database = "app"): Promise<Lease> {
  const { lease_id: id, data } = await servers.root().call("GET", `database/creds/${role}`);
  const { username: user, password } = data as { username: string; password: string };
  return { id: id!, database, user, password };
}

/** Whether a login begins a session. */
function opens({ database, user, password }: Lease): Promise<boolean> {
  const login = { database, user, password };
  return query(servers.deployment.sandbox.postgres, "SELECT 1", login).then(
    () => true,
    () => false,
  );
}

async function validUntil({ user }: Lease): Promise<number> {
  const [end] = await servers.query(`SELECT rolvaliduntil FROM pg_roles WHERE rolname = '${user}'`);
  return (end as Date).getTime();
}

test("timeouts that a DBA has set on roles: no plan fails of them, and no deploy takes them back", async () => {
  await servers.query("ALTER ROLE app_owner SET statement_timeout = '30s'");
  await servers.query("ALTER ROLE app_report SET idle_in_transaction_session_timeout = '5min'");
  await servers.query("ALTER ROLE vault SET statement_timeout = 60000");
  expect(await holds("diff")).toContain(
    "a timeout of app_owner, app_report is not in milliseconds, which Terraform's provider can't read; deploy spells it so",
  );
  const output = await holds("deploy", "--auto-approve");
  expect(output).toContain("spelled statement_timeout of app_owner, 30s, as 30000");
  expect(output).toContain("spelled idle_in_transaction_session_timeout of app_report, 5min, as 300000");
  expect(await holds("diff")).not.toContain("is not in milliseconds");
  expect(await holds("deploy", "--auto-approve")).toContain("Nothing to do");
  expect(
    await servers.query(
      "SELECT rolname || ' ' || setting FROM pg_roles, unnest(rolconfig) setting WHERE setting ~ 'timeout' ORDER BY 1",
    ),
  ).toEqual([
    "app_owner statement_timeout=30000",
    "app_report idle_in_transaction_session_timeout=300000",
    "vault statement_timeout=60000",
  ]);
});

/** As a Terraform that is killed while it writes leaves them. */
const states = ["postgres", "vault"].map((stack) => `terraform.external.${stack}.tfstate`);
const file = (name: string) => servers.checkout.path(name);

test("states that are cut off: diff says what helps, and deploy goes on from those before", async () => {
  expect(await holds("deploy", "--auto-approve")).toContain("Nothing to do");
  const [postgres, vault] = states.map((name) => readFileSync(file(name), "utf8"));
  truncateSync(file(states[0]!), Math.floor(postgres!.length / 2));
  truncateSync(file(states[1]!), 0);
  const planned = await servers.leasehold("diff");
  expect(planned.code).toBe(1);
  for (const stack of ["postgres", "vault"])
    expect(messages(planned.output)).toContain(
      `error: the state of the stack ${stack} is cut off, as a killed command leaves it: npx leasehold deploy goes back to the one before`,
    );
  const output = await holds("deploy", "--auto-approve");
  for (const stack of ["postgres", "vault"])
    expect(output).toContain(
      `the state of the stack ${stack} was cut off, as a killed command leaves it: went back to the one before`,
    );
  expect(output).toContain("Nothing to do");
  const count = (text: string) => (JSON.parse(text) as { resources: unknown[] }).resources.length;
  expect(states.map((name) => count(readFileSync(file(name), "utf8")))).toEqual(
    [postgres!, vault!].map(count),
  );
  await holds("diff");
});

test("a shorter TTL: a living lease keeps its end until it is renewed", async () => {
  const living = await lease("app_report");
  const before = await validUntil(living);
  configure([admin!, service!, shorter], billing);
  expect(await holds("deploy", "--auto-approve")).toContain(
    "Deployed the stack vault: 0 added, 1 changed, 0 removed",
  );
  expect(await validUntil(living)).toBe(before);
  const { body } = await servers.root().request("PUT", "sys/leases/renew", { lease_id: living.id });
  expect(body.lease_duration).toBe(600);
  expect(await validUntil(living)).toBeLessThan(before);
});

test("a persona renamed, the new one beside the old one first: each lease lives as long as its persona", async () => {
  const before = await lease("app_report");
  await change([admin!, service!, shorter, renamed], billing);
  const after = await lease("app_audit");
  expect(await Promise.all([before, after].map(opens))).toEqual([true, true]);
  const output = await change([admin!, service!, renamed], billing);
  expect(output).toContain(`dropped the login ${before.user}, whose persona is no longer declared`);
  expect(await Promise.all([before, after].map(opens))).toEqual([false, true]);
});

test("a group role renamed: its leases end before nothing knows the old name", async () => {
  const living = await lease("app_audit");
  const output = await change([admin!, service!, { ...renamed, groupRole: "app_audited" }], billing);
  expect(output).toContain("revoking the leases of database/creds/app_audit, which is no longer declared");
  expect(await opens(living)).toBe(false);
  expect(await servers.query(`SELECT rolname FROM pg_roles WHERE rolname = '${living.user}'`)).toEqual([]);
  expect(await opens(await lease("app_audited"))).toBe(true);
  await change([admin!, service!, renamed], billing);
});

test("a database given up: its leases end, its data and their owner stay", async () => {
  const living = await lease("billing_report", "billing");
  const { postgres } = servers.deployment.sandbox;
  const asOwner = { database: "billing", options: "-c role=billing_owner" };
  await query(postgres, "CREATE TABLE billing.kept AS SELECT 42 AS answer", asOwner);
  configure([admin!, service!, renamed]);
  await holds("init");
  expect(await servers.leasehold("deploy", "--auto-approve")).toEqual({
    code: 2,
    output: expect.stringMatching(/ no longer declares the database billing, /) as string,
  });
  expect(await opens(living)).toBe(true);
  const forgotten = await servers.shell(
    `cd cdktf.out/stacks/postgres
     terraform state rm $(terraform state list | grep -E '^postgresql_(database|schema|role)\\.Database-billing_([0-9A-F]|Schema|Owner)')`,
  );
  expect(forgotten).toEqual({
    code: 0,
    output: expect.stringContaining("removed 3 resource instance(s)") as string,
  });
  await holds("deploy", "--auto-approve");
  expect(await opens(living)).toBe(false);
  expect(await servers.query("SELECT rolname FROM pg_roles WHERE rolname ~ 'billing'")).toEqual([
    "billing_owner",
  ]);
  expect(await query(postgres, "SELECT answer FROM billing.kept", asOwner)).toEqual([42]);
  await holds("diff");
});

test("destroy goes on from a state before one that is cut off as well", async () => {
  truncateSync(file(states[1]!), 0);
  const output = await holds("destroy", "--auto-approve");
  isDestroyed = true;
  expect(output).toContain(
    "the state of the stack vault was cut off, as a killed command leaves it: went back to the one before",
  );
  expect((await inVault(servers.root())).filter((name) => !name.startsWith("leasehold-external-"))).toEqual(
    [],
  );
  expect(
    await servers.query("SELECT rolname FROM pg_roles WHERE rolname ~ '^(vault|app_(audit|admin)|v-)'"),
  ).toEqual([]);
});
