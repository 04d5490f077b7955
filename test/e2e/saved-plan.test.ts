import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import external from "../../config/external";
import { messages } from "../support/program";
import { OwnServers } from "./own-servers";

/** A plan that diff saves is deployed as it was shown, or not at all, with the real Terraform and providers. In order. */
let servers: OwnServers;

const [admin, service, report] = external.databases[0]!.personas;
const audit = { ...report!, name: "audit", groupRole: "app_audit", appRole: "app-audit" };
const shorter = { ...service!, lease: { defaultTtl: "10m", maxTtl: "20m" } };

beforeAll(async () => {
  servers = await OwnServers.start();
  servers.configurePersonas(admin!, service!, report!);
  await servers.succeeds("init");
}, 120_000);

afterAll(() => servers.stop());

const folder = () => servers.checkout.path("saved");
const file = () => servers.checkout.path("saved", "plan.json");
const groups = () =>
  servers.query("SELECT rolname FROM pg_roles WHERE rolname ~ '^app_(service|report|audit)' ORDER BY 1");
const ttl = async () => (await servers.root().call("GET", "database/roles/app_service")).data!["default_ttl"];

const saves = async () => {
  const { code, output } = await servers.leasehold("diff", "--out", folder());
  expect({ code, output: code === 2 ? "" : output }).toEqual({ code: 2, output: "" });
  return output;
};

/** The last line of a deploy of the plan that is refused. */
const refused = async () => {
  const { code, output } = await servers.leasehold("deploy", "--plan", folder());
  expect({ code, output: code === 2 ? "" : output }).toEqual({ code: 2, output: "" });
  return messages(output).at(-1);
};

test("before a first deploy there is none to be saved, and there is none to be deployed", async () => {
  const { code, output } = await servers.leasehold("diff", "--out", folder());
  expect(code).toBe(1);
  expect(output).toContain(
    "no plan was saved: not all stacks can be planned before a deploy: postgres (not deployed yet), vault (not deployed yet); npx leasehold deploy shows what it changes, and asks\n",
  );
  expect(existsSync(folder())).toBe(false);
  expect(await refused()).toBe(
    `there is no plan in ${folder()}: npx leasehold diff --out ${folder()} saves one`,
  );
});

test("it is deployed without a question, a persona that goes and one that comes, and leaves nothing to change", async () => {
  await servers.succeeds("deploy", "--auto-approve");
  servers.configurePersonas(admin!, shorter, audit);
  await servers.succeeds("init");
  expect(await saves()).toContain(`npx leasehold deploy --plan ${folder()}`);
  expect([folder(), file()].map((path) => statSync(path).mode & 0o777)).toEqual([0o700, 0o600]);
  expect(readFileSync(servers.checkout.path("saved", "plan.txt"), "utf8")).toContain(
    "app, audit: the persona comes, with",
  );
  expect(await groups()).toEqual(["app_report", "app_service"]);
  const output = await servers.succeeds("deploy", "--plan", folder());
  expect(output).toContain("\n# access\n");
  expect(output).toContain("Deployed external.");
  expect(await groups()).toEqual(["app_audit", "app_service"]);
  expect(await ttl()).toBe(600);
  expect(await servers.succeeds("diff")).toContain("\n# access\n");
});

test("once it is deployed it is stale", async () => {
  expect(await refused()).toMatch(
    /^the plan in \S+ is stale: what would change by now is not what it shows \(.*\); run npx leasehold diff --out \S+ again; nothing was deployed$/,
  );
});

test("so it is once a server has changed, or the config; nor is it another environment's", async () => {
  servers.configurePersonas(admin!, service!, audit);
  await saves();
  await servers.query("GRANT TEMPORARY ON DATABASE app TO app_audit");
  expect(await refused()).toMatch(/ is stale: .*\(postgresql_grant\.Database-app_Roles_audit_Database_\w+\)/);
  await servers.query("REVOKE TEMPORARY ON DATABASE app FROM app_audit");
  const text = readFileSync(file(), "utf8");
  writeFileSync(file(), text.replace('"environment": "external"', '"environment": "other"'));
  expect(await refused()).toBe(`the plan in ${folder()} is of the environment other, not of external`);
  writeFileSync(file(), text);
  for (const [path, mode] of [
    [folder(), 0o777],
    [file(), 0o666],
  ] as const) {
    const before = statSync(path).mode;
    chmodSync(path, mode);
    expect(await refused()).toBe(
      `others may write ${path}: chmod go-w it, and read what the plan allows before it is deployed`,
    );
    chmodSync(path, before);
  }
  servers.configurePersonas(admin!, { ...service!, lease: { defaultTtl: "30m", maxTtl: "1h" } }, audit);
  expect(await refused()).toMatch(
    / is of another config or version: what is synthesized now differs in the stacks vault; /,
  );
  expect(await ttl()).toBe(600);
  servers.configurePersonas(admin!, service!, audit);
  await servers.succeeds("deploy", "--plan", folder());
  expect(await ttl()).toBe(3600);
});

test("what changes while it is deployed is not changed with it", async () => {
  servers.configurePersonas(admin!, service!);
  await servers.succeeds("init");
  await saves();
  // The step before Terraform drops what the role that goes owns.
  for (const sql of [
    "CREATE FUNCTION public.meanwhile() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN GRANT TEMPORARY ON DATABASE app TO app_service; END'",
    "CREATE EVENT TRIGGER meanwhile ON ddl_command_end WHEN TAG IN ('DROP OWNED') EXECUTE FUNCTION public.meanwhile()",
  ])
    await servers.query(sql);
  expect(await refused()).toMatch(
    /^the stack postgres was not deployed: it would change what was not shown \(postgresql_grant\.Database-app_Roles_service_Database_\w+\); run /,
  );
  await servers.query("DROP EVENT TRIGGER meanwhile");
  await servers.succeeds("deploy", "--auto-approve");
  expect(await groups()).toEqual(["app_service"]);
});
