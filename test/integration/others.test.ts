import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import external from "../../config/external";
import { TRUST_TOKENS } from "../../manifest/names";
import type { Attributes, Deployment as Deployed, StackName } from "../../ops/deployment/deployment";
import { findMarked } from "../../ops/postgres/leftover";
import { vaultTarget } from "../../ops/vault/prepare";
import { checkOthers } from "../../ops/terraform/others";
import { Deployment } from "../support/deployment";
import { forCommands } from "./attacks/support";

/** What deploy looks for before it changes anything: what is there, in no state, and not this environment's. */
const environment = { ...process.env };
const POLICY = "sys/policies/acl/app-report";
const RULE = 'path "secret/*" {\n  capabilities = ["read"]\n}\n';
let deployment: Deployment;
let deployed: Deployed;

beforeAll(async () => {
  const config = structuredClone(external);
  const [app] = config.databases as [(typeof config.databases)[number]];
  const billing = {
    ...{ name: "billing", schema: "billing", owner: "billing_owner" },
    manager: { ...app.manager, name: "billing_vault" },
    vault: { ...app.vault, connection: "billing" },
    personas: [{ ...app.personas[2]!, groupRole: "billing_report", appRole: "app-billing" }],
    staticRoles: [{ name: "nightly", login: "nightly", persona: "report", rotationPeriod: "24h" }],
  };
  config.databases = [app, billing];
  deployment = await Deployment.start({ env: "external", config });
  deployed = forCommands(deployment);
  for (const who of TRUST_TOKENS) deployed.home.setToken(who, deployment.sandbox.initialised.tokens[who]);
});

afterAll(async () => {
  await deployment.stop();
  process.env = { ...environment };
});

/** The lines with which a deploy is refused, where the servers are left out. */
async function refusal(): Promise<string[]> {
  try {
    await checkOthers(deployed, await findMarked(deployed));
    return [];
  } catch (error) {
    return (error as Error).message.replace(/ (on PostgreSQL|of Vault) at \S+/g, "").split("\n");
  }
}

/** What stands in the way, without what is said of it. */
const found = async () =>
  (await refusal()).map((line) => line.replace(/ (is there already|is another|is some).*/, ""));

interface StateOptions {
  /** Types of resources that are not in it. */
  readonly except?: readonly string[];
  readonly rename?: (id: string) => string;
  /** Their names in it, by those that are declared. */
  readonly called?: Readonly<Record<string, string>>;
}

/** Writes the state of a stack, as the real Terraform would after an apply. */
function inState(
  name: StackName,
  { except = [], rename = (id) => id, called = {} }: StateOptions = {},
): void {
  const stack = deployed.stack(name)!;
  const types = Object.entries(stack.json.resource).filter(([type]) => !except.includes(type));
  const inIt = ({ name: of, ...attributes }: Attributes) => ({
    ...attributes,
    name: called[String(of)] ?? of,
  });
  const resources = types.flatMap(([type, byId]) =>
    Object.entries(byId).map(([id, attributes]) => ({
      ...{ mode: "managed", type, name: rename(id) },
      instances: [{ attributes: inIt(deployed.valueIn(stack, attributes) as Attributes) }],
    })),
  );
  const path = stack.json.terraform.backend["local"]!["path"] as string;
  writeFileSync(resolve(stack.folder, path), JSON.stringify({ version: 4, resources }));
  deployed.forgetState(name);
}

test("without its state, roles and databases, which nothing tells from others', and mounts are named, with the import; what else a killed deploy has made is ours", async () => {
  const roles = [
    ...[
      "app_owner",
      "vault",
      "app_admin",
      "app_service",
      "app_report",
      "app_verify_owner",
      "app_verify_short",
    ],
    ...["billing_owner", "billing_vault", "billing_report", "billing_verify_owner", "billing_verify_short"],
    "nightly",
  ];
  expect((await found()).sort()).toEqual(
    [...roles.map((name) => `role ${name}`), "database billing", "mount database", "auth mount approle"]
      .map((what) => `the ${what}`)
      .sort(),
  );
  const lines = await refusal();
  for (const [what, stack, resource, id] of [
    ["the role app_report", "postgres", "postgresql_role", "app_report"],
    ["the database billing", "postgres", "postgresql_database", "billing"],
    ["the auth mount approle", "vault", "vault_auth_backend", "approle"],
  ])
    expect(lines).toContainEqual(
      expect.stringMatching(
        new RegExp(
          `^${what!} is there already and not in Terraform's state; if a killed deploy made it, \\(eval "\\$\\(npx leasehold env --env external\\)" && terraform -chdir=cdktf\\.out/stacks/${stack!} import ${resource!}\\.\\S+ ${id!}\\); if it is somebody else's, ${stack === "vault" ? "say that it exists \\(\\{ path, exists: true \\}\\) or " : ""}choose another name in config/external\\.ts, or destroy the environment that made it$`,
        ),
      ),
    );
});

test("what the state has under names that the config has dropped is what Terraform is about to delete", async () => {
  inState("vault", { called: { "app-report": "myapp-policy" } });
  const { dropped } = await vaultTarget(deployed).deployed();
  expect(dropped).toEqual([{ path: "sys/policies/acl/myapp-policy", capabilities: ["read", "delete"] }]);
  inState("vault", { rename: (id) => `Former-${id}` });
  expect((await vaultTarget(deployed).deployed()).dropped).toEqual([]);
});

test("what is in the state is not looked for, also where the config has renamed it there", async () => {
  inState("postgres");
  inState("vault", { rename: (id) => `Former-${id}` });
  expect(await found()).toEqual([]);
});

test("what is in the state under another name is looked for under the new one", async () => {
  const text = String((await deployment.root.call("GET", POLICY)).data!["policy"]);
  await deployment.root.call("PUT", POLICY, { policy: RULE });
  inState("postgres", { called: { app_report: "app_former" } });
  inState("vault", { called: { "app-report": "app-former" } });
  // A deploy that was killed may have renamed the role.
  expect(await found()).toEqual(["the policy app-report"]);
  await deployment.superuser.query("CREATE ROLE app_former");
  expect(await refusal()).toEqual([
    "the role app_report is there already and not in Terraform's state; choose another name in config/external.ts, or destroy the environment that made it",
    expect.stringContaining("the policy app-report is somebody else's") as string,
  ]);
  await deployment.superuser.query("DROP ROLE app_former");
  await deployment.root.call("PUT", POLICY, { policy: text });
  inState("postgres");
});

test("what a destroy has left is this environment's; what another's has left is not", async () => {
  const ours = "left by leasehold destroy, environment external";
  inState("postgres", { except: ["postgresql_role", "postgresql_database", "postgresql_schema"] });
  await deployment.superuser.query(`COMMENT ON ROLE billing_owner IS '${ours}'`);
  await deployment.superuser.query(`COMMENT ON DATABASE billing IS '${ours}'`);
  await deployment.superuser.query(`COMMENT ON ROLE app_owner IS '${ours}s'`);
  const left = await found();
  expect(left).toContain("the role app_owner");
  expect(left).not.toContain("the role billing_owner");
  expect(left).not.toContain("the database billing");
  for (const object of ["ROLE billing_owner", "ROLE app_owner", "DATABASE billing"])
    await deployment.superuser.query(`COMMENT ON ${object} IS NULL`);
  inState("postgres");
});

test("a schema that belongs to somebody else is theirs, and one of its declared owner's is not", async () => {
  inState("postgres", { except: ["postgresql_schema"] });
  expect(await found()).toEqual([]);
  const { superuser } = deployment;
  await superuser.query("CREATE ROLE dba; ALTER SCHEMA app OWNER TO dba");
  expect(await found()).toEqual(["the schema app (dba's) of the database app"]);
  await superuser.query("ALTER SCHEMA app OWNER TO app_owner; DROP ROLE dba");
  inState("postgres");
});

describe("in Vault", () => {
  const TYPES = ["policy", "database_secret_backend_connection", "database_secret_backend_role"]
    .concat(["database_secret_backend_static_role", "approle_auth_backend_role"])
    .map((type) => `vault_${type}`);
  let text: string;

  beforeAll(async () => {
    inState("vault", { except: TYPES });
    text = String((await deployment.root.call("GET", POLICY)).data!["policy"]);
  });

  test.each<[string, (text: string) => string, string[]]>([
    ["somebody's", () => RULE, ["is somebody else's (its first line is no mark)"]],
    [
      "another environment's",
      () => `# leasehold shop database/app\n${RULE}`,
      ["is another environment's (its first line is # leasehold shop database/app)"],
    ],
    [
      "this environment's name's, of another deployment",
      (text) => text.replace("database/app", "postgres/app"),
      ["is another environment's (its first line is # leasehold external postgres/app)"],
    ],
    [
      "with the mark further below",
      (text) => `${RULE}${text}`,
      ["is somebody else's (its first line is no mark)"],
    ],
    ["of the config before, with the mark", (text) => `${text}${RULE}`, []],
    [
      "of a database that has been removed from the first place",
      (text) => text.replace("/app", "/billing"),
      [],
    ],
    ["as it was without marks", (text) => text.replace(/^#.*\n/, ""), []],
  ])("a policy %s", async (_, change, owners) => {
    await deployment.root.call("PUT", POLICY, { policy: change(text) });
    expect(await refusal()).toEqual(
      owners.map(
        (owner) =>
          `the policy app-report ${owner}: choose another name in config/external.ts, or run npx leasehold init --take-over where it is to be replaced`,
      ),
    );
    await deployment.root.call("PUT", POLICY, { policy: text });
  });

  test.each<[string, string, object]>([
    ["the AppRole", "auth/approle/role/app-report", { token_policies: ["app-report", "shop"] }],
    ["the database role", "database/roles/app_report", { creation_statements: ["SELECT 1"] }],
    [
      "the static role",
      "database/static-roles/nightly",
      { username: "theirs", rotation_statements: ["SELECT 1"] },
    ],
    ["the connection", "database/config/billing", { username: "billing_dba", verify_connection: false }],
  ])("%s of somebody else's", async (kind, path, change) => {
    const role = path.includes("roles") ? (await deployment.root.call("GET", path)).data! : {};
    if (path.includes("static")) await deployment.root.call("DELETE", path);
    await deployment.root.call("POST", path, { ...role, ...change });
    expect(await found()).toContain(`${kind} ${path}`);
  });

  test("each is named at once, and by the planner's token too; a token that may not read them finds nothing there", async () => {
    const all = await found();
    expect(all).toHaveLength(4);
    deployed.home.setToken("operator", deployment.sandbox.initialised.tokens.planner);
    expect(await found()).toEqual(all);
    deployed.home.setToken("operator", deployment.sandbox.initialised.tokens.deliverer);
    expect(await found()).toEqual([]);
  });
});
