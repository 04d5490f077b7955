import { wrongSettings } from "../../ops/postgres/persona-settings";
import { beforeOf } from "../environments/load";
import named from "../environments/named-privileges";
import { Deployment, findings } from "../support/deployment";
import { forCommands, lease } from "./attacks/support";

/** A search path and settings of a persona's own, in both ways of leasing. */
describe.each(["functions", "createrole"] as const)("leases by %s", (leases) => {
  let deployment: Deployment;

  beforeAll(async () => {
    const [database] = named.databases;
    const [admin, service, report] = database!.personas;
    const config = {
      ...{ ...named, leases },
      databases: [
        {
          ...database!,
          personas: [
            admin!,
            {
              ...service!,
              searchPath: ["sales", "extensions"],
              settings: { statement_timeout: "30s", work_mem: "8MB", application_name: "shop 1" },
            },
            { ...report!, searchPath: ["billing", "sales"] },
          ],
          staticRoles: [{ name: "nightly", login: "nightly", persona: "report", rotationPeriod: "24h" }],
        },
      ],
    };
    deployment = await Deployment.start({ config, apply: false });
    await deployment.superuser.query(`
      ${beforeOf("named-privileges")!}
      CREATE SCHEMA extensions;
      CREATE EXTENSION citext SCHEMA extensions;
      GRANT USAGE ON SCHEMA extensions TO PUBLIC`);
    await deployment.sandbox.apply();
  });

  afterAll(() => deployment.stop());

  test("its sessions start with them, static logins with the search path, and verify holds", async () => {
    const leased = await lease(deployment, "shop_service");
    const session = await leased.connect();
    const { rows } = await session.client.query<Record<string, unknown>>(
      `SELECT current_setting('search_path') AS path, current_setting('statement_timeout') AS timeout,
         current_setting('work_mem') AS memory, current_setting('application_name') AS name,
         current_user::text AS user, 'A'::citext = 'a' AS "isEqual"`,
    );
    expect(rows).toEqual([
      {
        ...{ path: "sales, extensions", timeout: "30s", memory: "8MB", name: "shop 1" },
        ...{ user: "shop_service", isEqual: true },
      },
    ]);
    expect(await leased.revoke()).toBe(204);
    await leased.close();
    const settings = await deployment.superuser.query(
      "SELECT rolconfig FROM pg_roles WHERE rolname = 'nightly'",
    );
    expect(settings.rows).toEqual([
      { rolconfig: expect.arrayContaining(["search_path=billing, sales"]) as string[] },
    ]);
    const report = await deployment.verify();
    expect(findings(report)).toEqual([]);
    expect(report.left).toEqual([]);
  });

  test("a schema of the path that the session may not use is found", async () => {
    await deployment.superuser.query("REVOKE USAGE ON SCHEMA extensions FROM PUBLIC");
    const lines = findings(await deployment.verify());
    await deployment.superuser.query("GRANT USAGE ON SCHEMA extensions TO PUBLIC");
    expect(lines).toContainEqual(
      expect.stringContaining(
        "service session: user, search path: search path: the schema extensions is passed over",
      ),
    );
  });

  test("another setting is found", async () => {
    const [database] = deployment.manifest.databases;
    const manifest = structuredClone(deployment.manifest);
    Object.assign(manifest.databases[0]!.personas[1]!.databaseRole, {
      settings: { ...database!.personas[1]!.databaseRole.settings, statement_timeout: "20s" },
    });
    expect(findings(await deployment.verify({ manifest }))).toEqual([
      "service session: user, search path: statement_timeout declared: 20s; found: 30s",
    ]);
  });

  test("what the server does not have is named before a deploy", async () => {
    const [database] = structuredClone(deployment.manifest.databases);
    const role = database!.personas[1]!.databaseRole;
    expect(await wrongSettings(forCommands(deployment), database!)).toEqual([]);
    role.searchPath = ["sales", "nowhere"];
    role.settings = { no_such: "1", log_statement: "all", work_mem: "much" };
    const of = "of the persona service in the database shop";
    expect(await wrongSettings(forCommands(deployment), database!)).toEqual([
      `the schema nowhere, which is on the search path ${of}, is not there: create it, or correct the config`,
      expect.stringMatching(new RegExp(`^the setting no_such ${of} is none of PostgreSQL 1`)),
      `the setting log_statement ${of} is not one that any role may set (superuser)`,
      `the setting work_mem ${of} can't be set to much: invalid value for parameter "work_mem": "much"`,
    ]);
  });
});
