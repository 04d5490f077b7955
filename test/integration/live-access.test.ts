import { changeText, compareAccess } from "../../access/compare";
import { readLiveAccess } from "../../ops/commands/live-access";
import type { Deployment as DeployedByCommands } from "../../ops/deployment/deployment";
import { forCommands } from "./attacks/support";
import { Deployment } from "../support/deployment";
import { recordState } from "../support/state";

/** What a deploy changes for whom, where no machine has recorded what is deployed: read from the servers. */
const environment = { ...process.env };

/** As a deploy with Terraform leaves it, for a planner. */
function asDeployed(deployment: Deployment): DeployedByCommands {
  const commands = forCommands(deployment);
  for (const stack of ["postgres", "vault"] as const) recordState(commands, () => true, stack);
  commands.home.setToken("planner", deployment.sandbox.initialised.tokens.planner);
  return commands;
}

async function read(commands: DeployedByCommands, missing: string[] = []) {
  const live = await readLiveAccess(commands, "planner", missing);
  return { notes: live.notes, lines: compareAccess(live, commands.manifest).map(changeText) };
}

const NOTHING = { notes: [], lines: [] };

test.each([
  ...["local", "marmelab", "tutorial", "approle", "external", "createrole", "existing", "hostile-names"],
  ...["named-privileges", "several-schemas", "two-databases", "two-servers"],
])("%s: what was deployed does not differ from what is declared", async (env) => {
  const deployment = await Deployment.start({ env });
  try {
    expect(await read(asDeployed(deployment))).toEqual(NOTHING);
  } finally {
    await deployment.stop();
    process.env = { ...environment };
  }
});

describe("a server that somebody has changed", () => {
  let deployment: Deployment;
  let commands: DeployedByCommands;

  beforeAll(async () => {
    deployment = await Deployment.start({ env: "external" });
    commands = asDeployed(deployment);
    for (const sql of [
      "CREATE TABLE app.orders (id integer, total numeric)",
      "ALTER TABLE app.orders OWNER TO app_owner",
      "GRANT SELECT ON app.orders TO app_report, app_service, app_admin",
    ])
      await deployment.superuser.query(sql);
  });

  afterAll(async () => {
    await deployment.stop();
    process.env = { ...environment };
  });

  /** What is read after a change, which is taken back. */
  const after = async (change: string, back: string) => {
    await deployment.superuser.query(change);
    try {
      return await read(commands);
    } finally {
      await deployment.superuser.query(back);
    }
  };
  const roleOf = async () => (await deployment.root.call("GET", "database/roles/app_report")).data;
  /** Nobody but the owner's group may do more than read it. */
  const LACKING = [
    "app_admin has INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER on tables of the schema app but for 1 of 1 (orders)",
    "app_service has INSERT, UPDATE, DELETE on tables of the schema app but for 1 of 1 (orders)",
  ];
  const line = (text: string) => expect.stringContaining(text) as string;

  test("a table that has less than all others is named, and no privilege said to be missing", async () => {
    const { notes, lines } = await after(
      "REVOKE SELECT ON app.orders FROM app_report",
      "GRANT SELECT ON app.orders TO app_report",
    );
    expect(lines).toEqual([]);
    expect(notes).toContain("app_report has SELECT on tables of the schema app but for 1 of 1 (orders)");
  });

  test("what is granted by hand goes where a grant of the stack covers it", async () => {
    const { lines } = await after(
      "GRANT DELETE ON app.orders TO app_report; GRANT TEMPORARY ON DATABASE app TO app_report, PUBLIC; GRANT app_owner TO app_report",
      "REVOKE DELETE ON app.orders FROM app_report; REVOKE TEMPORARY ON DATABASE app FROM app_report, PUBLIC; REVOKE app_owner FROM app_report",
    );
    expect(lines).toEqual([
      line("- app, report: loses DELETE on the table app.orders (id "),
      line("- app, report: loses TEMPORARY on the database app (id "),
      line("- app, report: loses membership in app_owner (id "),
      line("- app: loses TEMPORARY for PUBLIC on the database app (id "),
    ]);
  });

  test("and stays where none does: a note says so", async () => {
    const { notes, lines } = await after(
      "GRANT UPDATE (total) ON app.orders TO app_report",
      "REVOKE UPDATE (total) ON app.orders FROM app_report",
    );
    expect(lines).toEqual([]);
    expect(notes).toContain(
      "app_report also has UPDATE on total of app.orders, which no deploy gave it: it stays",
    );
  });

  test("default privileges that are gone come back, and those of a role that no deploy had to do with stay", async () => {
    const { lines } = await after(
      "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA app REVOKE SELECT ON TABLES FROM app_report; ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT DELETE ON TABLES TO app_report",
      "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA app GRANT SELECT ON TABLES TO app_report; ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE DELETE ON TABLES FROM app_report",
    );
    expect(lines).toEqual([line("+ app, report: gains SELECT on tables of the schema app (id ")]);
  });

  test("TTLs, policies and ways to log in are Vault's", async () => {
    const { root } = deployment;
    const policy = "sys/policies/acl/app-report";
    const { policy: text } = (await root.call("GET", policy)).data as { policy: string };
    await root.call("POST", "database/roles/app_report", { ...(await roleOf()), max_ttl: 172_800 });
    const appRole = "auth/approle/role/app-report";
    await root.call("POST", appRole, {
      token_bound_cidrs: ["10.0.0.7"],
      token_policies: ["app-report", "others"],
    });
    await root.call("POST", policy, {
      policy: `${text}\npath "secret/data/app" {\n  capabilities = ["read"]\n}\n`,
    });
    const found = await read(commands);
    await root.call("POST", "database/roles/app_report", { ...(await roleOf()), max_ttl: 86_400 });
    await root.call("POST", appRole, { token_bound_cidrs: [], token_policies: ["app-report"] });
    await root.call("POST", policy, { policy: text });
    expect(found).toEqual({
      notes: LACKING,
      lines: [
        line("- app, report: a lease's maximum TTL is 1 d, down from 2 d (id "),
        line("+ app, report: gains any address to use its token from (id "),
        line("- app, report: loses read on the path secret/data/app (id "),
        line("- app, report: loses the policy others (id "),
      ],
    });
  });

  test("what can't be read is taken to be as it is declared, or as the state has it, and is said", async () => {
    expect(await read(commands, ["TF_VAR_postgres_superuser_password"])).toEqual({
      notes: [
        "PostgreSQL was not read, and is taken to be as the config declares it: TF_VAR_postgres_superuser_password is not set",
      ],
      lines: [],
    });
    commands.home.setToken("planner", deployment.sandbox.initialised.tokens.deliverer);
    const { notes, lines } = await read(commands);
    commands.home.setToken("planner", deployment.sandbox.initialised.tokens.planner);
    expect({ notes, lines }).toEqual({
      notes: [
        ...LACKING,
        expect.stringMatching(
          /^Vault does not let this token read database\/config\/app, .* and \d+ more, which is taken to be as Terraform's state has it$/,
        ),
      ],
      lines: [],
    });
  });

  test("a persona that is no longer declared, and one that is new", async () => {
    const { personas } = commands.manifest.databases[0]!;
    const { resource } = commands.stack("postgres")!.json;
    const roles = resource["postgresql_role"]!;
    const report = personas.pop()!;
    Object.assign(resource, {
      postgresql_role: Object.fromEntries(Object.entries(roles).filter(([id]) => !id.includes("_report_"))),
    });
    const gone = await read(commands);
    Object.assign(resource, { postgresql_role: roles });
    personas.push(report, { ...report, name: "audit", groupRole: "app_audit" });
    const come = await read(commands);
    personas.pop();
    expect(gone).toEqual({
      notes: LACKING,
      lines: [
        line(
          "- app, report: the persona goes, and with it CONNECT on the database app; USAGE on the schema app; SELECT on tables of the schema app; ",
        ),
      ],
    });
    expect(come).toEqual({ notes: LACKING, lines: [line("+ app, audit: the persona comes, with ")] });
  });
});
