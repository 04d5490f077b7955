import type { Deployment } from "../support/deployment";
import { Application, refusal, withSession, type Leased } from "./application";

/** HashiCorp's tutorial: two leases, looked at, listed, renewed, and revoked one by one and by prefix. */
export function tutorial(site: () => Deployment): void {
  const PREFIX = "database/creds/readonly";
  let apps: Application;
  let leases: readonly [Leased, Leased];

  const ids = async () => {
    const answer = await site().as("operator").request("LIST", `sys/leases/lookup/${PREFIX}/`);
    return ((answer.body.data?.["keys"] ?? []) as string[]).map((id) => `${PREFIX}/${id}`).sort();
  };
  /** As \du lists them. */
  const users = async () => {
    const { rows } = await site().superuser.query<{ usename: string }>(
      "SELECT usename, valuntil FROM pg_user WHERE usename LIKE 'v-%' ORDER BY usename",
    );
    return rows;
  };
  const names = async () => (await users()).map(({ usename }) => usename);

  test("leasing twice gives two logins", async () => {
    apps = await Application.logIn(site(), "apps");
    leases = [await apps.lease(), await apps.lease()];
    expect(leases.map(({ ttl }) => ttl)).toEqual([3600, 3600]);
    expect(leases[0].username).not.toBe(leases[1].username);
    for (const { username } of leases) expect(username).toMatch(/^v-.*-readonly-/);
  });

  test("PostgreSQL has both among its roles, and Vault among its leases", async () => {
    expect(await names()).toEqual(leases.map(({ username }) => username).sort());
    expect(await ids()).toEqual(leases.map(({ id }) => id).sort());
  });

  test("a login reads the tables of public, and may not write", async () => {
    await site().superuser.query("CREATE TABLE public.coffees (id integer)");
    await withSession(site(), leases[0], async (client) => {
      expect((await client.query("SELECT * FROM public.coffees")).rows).toEqual([]);
      await expect(client.query("INSERT INTO public.coffees VALUES (1)")).rejects.toMatchObject({
        code: "42501",
      });
    });
  });

  test("a renewed lease lives on, and so does its login", async () => {
    const before = await users();
    const { lease_duration: ttl } = await apps.vault.call("PUT", "sys/leases/renew", {
      lease_id: leases[0].id,
      increment: 7200,
    });
    expect(ttl).toBe(7200);
    const [renewed] = (await users()).filter(({ usename }) => usename === leases[0].username);
    expect(before).not.toContainEqual(renewed);
  });

  test("one is revoked, the other goes on", async () => {
    await apps.vault.call("PUT", "sys/leases/revoke", { lease_id: leases[0].id, sync: true });
    expect(await names()).toEqual([leases[1].username]);
    expect(await refusal(site(), leases[0])).toBe("28P01");
    expect(await refusal(site(), leases[1])).toBeUndefined();
  });

  test("the admin revokes by prefix, and none is left", async () => {
    await apps.lease();
    await site().as("operator").call("PUT", `sys/leases/revoke-prefix/${PREFIX}`, { sync: true });
    expect(await names()).toEqual([]);
    expect(await ids()).toEqual([]);
  });
}
