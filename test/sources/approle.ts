import type { Deployment } from "../support/deployment";
import { Application, withSession, type Leased } from "./application";

/** Dynamic credentials with AppRole: an application with a wrapped secret id, its login, and what it may not. */
export function approle(site: () => Deployment): void {
  const ROLE = "auth/approle/role/myapp";
  let myapp: Application;
  let lease: Leased;

  test("the secret id is wrapped for 60 s, and opened once", async () => {
    const { wrap_info: wrapping } = await site().as("deliverer").call("POST", `${ROLE}/secret-id`, {}, "60s");
    expect(wrapping).toMatchObject({ ttl: 60, creation_path: `${ROLE}/secret-id` });
    const opener = site().root.withToken(wrapping!.token);
    const { data } = await opener.call("POST", "sys/wrapping/unwrap");
    expect(data).toMatchObject({ secret_id_ttl: 86_400, secret_id_num_uses: 10 });
    expect((await opener.request("POST", "sys/wrapping/unwrap")).status).toBe(400);
  });

  test("the application logs in for an hour, at most four", async () => {
    myapp = await Application.logIn(site(), "myapp");
    const { data } = await myapp.vault.call("GET", "auth/token/lookup-self");
    expect(data).toMatchObject({ creation_ttl: 3600, policies: ["app-policy"] });
    const { data: role } = await site().as("operator").call("GET", ROLE);
    expect(role).toMatchObject({ token_ttl: 3600, token_max_ttl: 14_400, token_policies: ["app-policy"] });
  });

  test("it connects, and is whom Vault said", async () => {
    lease = await myapp.lease();
    await withSession(site(), lease, async (client) => {
      const { rows } = await client.query("SELECT session_user AS whoami, current_database() AS database");
      expect(rows).toEqual([{ whoami: lease.username, database: "appdb" }]);
    });
  });

  test("valuntil in pg_user is the lease's end, an hour after it was taken", async () => {
    expect(lease.ttl).toBe(3600);
    const { data } = await site().root.call("PUT", "sys/leases/lookup", { lease_id: lease.id });
    const { rows } = await site().superuser.query(
      `SELECT round(extract(epoch FROM valuntil::timestamptz - $2::timestamptz) / 60)::int AS minutes
       FROM pg_user WHERE usename = $1`,
      [lease.username, data!["issue_time"]],
    );
    expect(rows).toEqual([{ minutes: 60 }]);
  });

  test("its token is refused the list of mounts", async () => {
    expect((await myapp.vault.request("GET", "sys/mounts")).status).toBe(403);
  });

  test("it renews its lease and its token", async () => {
    const renewed = await myapp.vault.call("PUT", "sys/leases/renew", {
      lease_id: lease.id,
      increment: 7200,
    });
    expect(renewed.lease_duration).toBe(7200);
    const { auth } = await myapp.vault.call("POST", "auth/token/renew-self", { increment: 7200 });
    expect(auth!.lease_duration).toBe(7200);
    await withSession(site(), lease, (client) => client.query("SELECT 1"));
  });
}
