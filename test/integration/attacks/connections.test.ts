import { grantReservedConnections } from "../../../ops/postgres/manager-login";
import { Deployment, findings } from "../../support/deployment";
import { unless } from "../../support/skip";
import { attacked } from "./environment";
import { expectEnded, expectOthersCanLease, lease, WAYS, sqlstate, type Lease } from "./support";

const [database] = attacked.databases;
/** One persona with a limit of its own. */
const config = {
  ...attacked,
  databases: [
    {
      ...database!,
      personas: database!.personas.map((persona) =>
        persona.name === "maker" ? { ...persona, connectionLimit: 3 } : persona,
      ),
    },
  ],
};

/** Opens sessions until the server refuses one. Returns how many, and the SQLSTATE of the refusal. */
async function openAll(login: Lease): Promise<[count: number, refusal: string]> {
  for (;;) {
    try {
      await login.connect();
    } catch (error) {
      return [login.sessions.length, sqlstate(error)];
    }
  }
}

describe.each(WAYS)("on PostgreSQL %i, by %s", (postgresMajor, leases) => {
  let deployment: Deployment;

  beforeAll(async () => {
    const postgresSettings = {
      max_connections: "40",
      ...(postgresMajor >= 16 && { reserved_connections: "3" }),
    };
    deployment = await Deployment.start({ config: { ...config, leases }, postgresMajor, postgresSettings });
    await deployment.superuser.query("SET search_path = pg_catalog, pg_temp");
  });

  afterAll(() => deployment.stop());

  test.each([
    ["readonly_role", 20],
    ["schema_admin_role", 20],
    ["maker_role", 3],
  ])(
    "a login of %s opens %i sessions and no more; meanwhile others lease, and it is revoked",
    async (role, limit) => {
      const login = await lease(deployment, role);
      expect(await openAll(login)).toEqual([limit, "53300"]);
      await expectOthersCanLease(deployment);
      expect(await login.revoke()).toBe(204);
      expect(await expectEnded(deployment, login)).toBe(true);
    },
  );

  test("a verification, whose clients reconnect, keeps within the limit", async () => {
    expect(findings(await deployment.verify())).toEqual([]);
  });

  test("a login can't raise its limit", async () => {
    const login = await lease(deployment, "readonly_role");
    const { client } = await login.connect();
    await expect(client.query("ALTER ROLE CURRENT_USER CONNECTION LIMIT -1")).rejects.toMatchObject({
      code: "42501",
    });
    expect(await login.revoke()).toBe(204);
  });

  const reserved = unless(postgresMajor < 16 && "PostgreSQL 15 reserves no connections");
  reserved.test(
    `several leases take all slots; Vault's login has one that the server keeps for it${reserved.because}`,
    async () => {
      await grantReservedConnections(deployment.superuser, "vault");
      const logins = [await lease(deployment, "readonly_role"), await lease(deployment, "readwrite_role")];
      // So that Vault has to log in anew.
      await deployment.superuser.query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'vault'",
      );
      const opened: string[] = [];
      for (const login of logins) opened.push((await openAll(login))[1]);
      expect(opened).toEqual(["53300", "53300"]);
      expect(await lease(deployment, "maker_role").then((other) => other.refusal())).toBe("53300");
      for (const login of logins) {
        expect(await login.revoke()).toBe(204);
        expect(await expectEnded(deployment, login)).toBe(true);
      }
    },
  );
});
