import approle from "../../config/approle";
import type { EnvironmentInput } from "../../config/schema/schema";
import { Deployment, findings } from "../support/deployment";

/** What was changed behind the stack's back, found by the workloads of tutorial and approle. */
async function withDeployment(
  options: { env: string; config?: EnvironmentInput },
  run: (deployment: Deployment) => Promise<void>,
): Promise<void> {
  const deployment = await Deployment.start(options);
  await run(deployment).finally(() => deployment.stop());
}

/** Changes an object of Vault's, verifies, and changes it back. */
async function found(deployment: Deployment, path: string, change: object): Promise<string[]> {
  const { data } = await deployment.root.call("GET", path);
  // Of an AppRole Vault takes some fields at creation alone; a database role is written whole.
  const whole = path.startsWith("auth/") ? {} : data;
  const before = Object.fromEntries(Object.keys(change).map((field) => [field, data![field]]));
  await deployment.root.call("POST", path, { ...whole, ...change });
  try {
    const lines = findings(await deployment.verify());
    return lines.filter((line) => /^ \w+ example: /.test(line));
  } finally {
    await deployment.root.call("POST", path, { ...whole, ...before });
  }
}

test("approle: more uses, and a longer life", async () => {
  await withDeployment({ env: "approle" }, async (deployment) => {
    const appRole = "auth/approle/role/myapp";
    expect(await found(deployment, appRole, { secret_id_num_uses: 12 })).toEqual([
      " approle example: a secret id has the declared TTL and uses: uses declared: 10; found: 12",
      " approle example: it logs in as often as declared, and not once more: use 11 must be refused with HTTP 400, received 200",
    ]);
    expect(await found(deployment, appRole, { secret_id_ttl: 172_800 })).toEqual([
      " approle example: a secret id has the declared TTL and uses: secret id TTL declared: 86400 s; found: 172800 s",
    ]);
    expect(await found(deployment, appRole, { secret_id_num_uses: 3 })).toEqual([
      " approle example: a secret id has the declared TTL and uses: uses declared: 10; found: 3",
      " approle example: it logs in as often as declared, and not once more: use 4 must log in, received HTTP 400",
    ]);
  });
});

test("a static role whose password nobody may rotate", async () => {
  const [database] = approle.databases as [(typeof approle.databases)[number]];
  const kept = { name: "nightly", login: "nightly_login", persona: "myapp", rotationPeriod: "24h" };
  const config = { ...approle, databases: [{ ...database, staticRoles: [kept] }] };
  await withDeployment({ env: "approle", config }, async (deployment) => {
    expect(findings(await deployment.verify())).toEqual([]);
    await deployment.superuser.query('REVOKE "app-role" FROM nightly_login');
    const { status } = await deployment.as("operator").request("POST", "database/rotate-role/nightly");
    expect(status).toBe(403);
    const lines = findings(await deployment.verify());
    expect(lines).toContainEqual(
      ' approle example: static roles are read and used: permission denied for database "appdb"',
    );
    // A login that is no longer what was declared is not rotated.
    expect(lines.filter((line) => line.includes("rotated"))).toEqual([]);
  });
});

test("tutorial: another max TTL, and a revocation that leaves the login", async () => {
  await withDeployment({ env: "tutorial" }, async (deployment) => {
    expect(await found(deployment, "database/roles/readonly", { max_ttl: 172_800 })).toEqual([
      expect.stringMatching(
        /^ leases example: renewed, cut at the max TTL: the lease's renewal past its maximum must be cut to 86400 s with a warning, it gives 172[78]\d\d s$/,
      ),
    ]);
    const keep = { revocation_statements: ["SELECT 1"] };
    expect(await found(deployment, "database/roles/readonly", keep)).toEqual([
      " leases example: revoked by its id: the login must be refused with 28P01 or 28000, received a session",
    ]);
    expect(await found(deployment, "database/roles/verify-short", keep)).toEqual([
      expect.stringMatching(
        /^ leases example: revoked by prefix: the logins must be gone, still there: v-\S+, v-\S+$/,
      ),
    ]);
  });
});
