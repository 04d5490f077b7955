import { Deployment } from "../../support/deployment";
import { attacked } from "./environment";
import { expectEnded, expectOthersCanLease, lease, WAYS, sweep, type Lease } from "./support";

/** What a leased login leaves in databases that it was not given, where PUBLIC may connect: no revocation reaches it there. */
describe.each(WAYS)("on PostgreSQL %i, by %s", (postgresMajor, leases) => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await Deployment.start({ config: { ...attacked, leases }, postgresMajor });
    await deployment.superuser.query("SET search_path = pg_catalog, pg_temp");
  });

  afterAll(() => deployment.stop());

  const LEFT: readonly (readonly [what: string, sql: string, database: string])[] = [
    ["a large object in postgres", "SELECT lo_create(0)", "postgres"],
    ["a large object in template1", "SELECT lo_create(0)", "template1"],
    [
      "default privileges in postgres",
      "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
      "postgres",
    ],
    [
      "default privileges in template1",
      "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO readonly_role",
      "template1",
    ],
  ];

  test.each(LEFT)(
    "%s does not keep a lease alive, and goes with the next deploy",
    async (_, sql, database) => {
      // Without it the group has it, and the login nothing that would be in the way.
      const [acting, login] = [
        await lease(deployment, "readonly_role"),
        await lease(deployment, "readonly_role"),
      ];
      await acting.open(sql, { database });
      await login.open(`SET ROLE NONE; ${sql}`, { database });
      await login.connect();
      expect([await acting.revoke(), await login.revoke()]).toEqual([204, 204]);
      expect(await expectEnded(deployment, acting)).toBe(true);
      expect(await expectEnded(deployment, login)).toBe(false);
      expect(["28P01", "28000"]).toContain(await login.refusal(database));
      await expectOthersCanLease(deployment);
      expect(await sweep(deployment)).toEqual({ dropped: [login.user], kept: [] });
      expect(await deployment.leasedRoles()).toEqual([]);
    },
  );

  test.each(["postgres", "template1"])(
    "grants to all leased logins on a large object in %s keep none of their leases alive",
    async (database) => {
      const victims = await Promise.all(
        ["readonly_role", "readwrite_role", "schema_admin_role", "maker_role"].map((role) =>
          lease(deployment, role),
        ),
      );
      for (const victim of victims) await victim.connect();
      const attacker = await lease(deployment, "readonly_role");
      const to = victims.map(({ user }) => `"${user}"`).join(", ");
      await attacker.open(
        `SET ROLE NONE; SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO ${to};
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ${to}`,
        { database },
      );
      await revokeAll([...victims, attacker]);
      const { dropped, kept } = await sweep(deployment);
      expect(kept).toEqual([]);
      expect(dropped).toHaveLength(5);
      expect(await deployment.leasedRoles()).toEqual([]);
    },
  );

  async function revokeAll(leases: readonly Lease[]): Promise<void> {
    for (const each of leases) {
      expect(await each.revoke()).toBe(204);
      expect(await expectEnded(deployment, each)).toBe(false);
    }
  }

  test("what was left is not in the way of a new lease with the same persona, nor swept while it lives", async () => {
    const login = await lease(deployment, "readonly_role");
    await login.open("SET ROLE NONE; SELECT lo_create(0)", { database: "postgres" });
    expect(await sweep(deployment)).toEqual({ dropped: [], kept: [] });
    expect(await login.refusal()).toBe("logged in");
    expect(await login.revoke()).toBe(204);
    expect((await sweep(deployment)).dropped).toEqual([login.user]);
  });
});
