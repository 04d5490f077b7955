import local from "../../config/local";
import type { EnvironmentInput } from "../../config/schema/schema";
import type { VaultClient } from "../../clients/vault-client";
import { sweepDeployment } from "../../ops/commands/sweep";
import { checkMounts } from "../../ops/docker/preflight";
import { revokeLeases } from "../../ops/vault/leases";
import { Deployment, findings } from "../support/deployment";
import { messages } from "../support/program";
import { forCommands, lease } from "./attacks/support";

/** Mounts that were there before, with somebody else's connection, role, AppRole and a lease that lives through all of it. */
const environment = { ...process.env };
const config: EnvironmentInput = structuredClone(local);
config.vault.authMount = { path: "approle", exists: true };
config.databases[0]!.vault.mount = { path: "database", exists: true };
config.databases[0]!.staticRoles = [
  { name: "report", login: "report", persona: "readonly", rotationPeriod: "24h" },
];

let deployment: Deployment;
let theirs: { id: string; user: string };

beforeAll(async () => {
  deployment = await Deployment.start({ config, apply: false });
  const { root, sandbox } = deployment;
  await root.call("POST", "sys/mounts/database", { type: "database" });
  await root.call("POST", "sys/auth/approle", { type: "approle" });
  const { host, port, database, superuser, password } = sandbox.postgres;
  await root.call("POST", "database/config/theirs", {
    plugin_name: "postgresql-database-plugin",
    connection_url: `postgresql://{{username}}:{{password}}@${host}:${String(port)}/${database}?sslmode=disable`,
    ...{ username: superuser, password, allowed_roles: ["theirs"] },
  });
  await root.call("POST", "database/roles/theirs", {
    db_name: "theirs",
    creation_statements: [
      "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
    ],
  });
  await root.call("POST", "auth/approle/role/theirs", { token_policies: ["theirs"] });
  const { lease_id, data } = (await root.call("GET", "database/creds/theirs")) as unknown as {
    lease_id: string;
    data: { username: string };
  };
  theirs = { id: lease_id, user: data.username };
  await sandbox.apply();
  forCommands(deployment).home.setToken("operator", sandbox.initialised.tokens.operator);
});

afterEach(async () => {
  jest.restoreAllMocks();
  expect(await ofOthers()).toEqual({ lease: 200, login: 1, role: 200, connection: 200, appRole: 200 });
});

afterAll(async () => {
  await deployment.stop();
  process.env = { ...environment };
});

async function ofOthers(): Promise<object> {
  const { root, superuser } = deployment;
  const { id: lease_id, user } = theirs;
  const status = async (path: string) => (await root.request("GET", path)).status;
  return {
    lease: (await root.request("PUT", "sys/leases/lookup", { lease_id })).status,
    login: (await superuser.query("SELECT FROM pg_roles WHERE rolname = $1", [user])).rowCount,
    role: await status("database/roles/theirs"),
    connection: await status("database/config/theirs"),
    appRole: await status("auth/approle/role/theirs"),
  };
}

test("the manifest says so, and the verifier holds", async () => {
  const [database] = deployment.manifest.databases;
  expect(database).toMatchObject({ vault: { mount: "database", mountExists: true } });
  expect(database!.probes).toEqual({
    owner: "verify-owner-postgres-example",
    short: "verify-short-postgres-example",
  });
  for (const { login } of database!.personas) expect(login).toMatchObject({ authMountExists: true });
  const report = await deployment.verify();
  expect(findings(report)).toEqual([]);
  expect(report.left).toEqual([]);
});

test("no token of ours reads, writes or ends what is somebody else's, or unmounts anything", async () => {
  const wrapped = { wrap: "60s" } as const;
  const requests: [string, string, object?, typeof wrapped?][] = [
    ["DELETE", "sys/mounts/database"],
    ["POST", "sys/mounts/database/tune", { max_lease_ttl: "1s" }],
    ["DELETE", "sys/auth/approle"],
    ["LIST", "database/config"],
    ["GET", "database/config/theirs"],
    ["DELETE", "database/config/theirs"],
    ["POST", "database/rotate-root/theirs"],
    ["LIST", "database/roles"],
    ["GET", "database/roles/theirs"],
    ["POST", "database/roles/theirs", { db_name: "postgres-example" }],
    ["DELETE", "database/roles/theirs"],
    ["GET", "database/creds/theirs"],
    ["LIST", "sys/leases/lookup/database/creds/"],
    ["LIST", "sys/leases/lookup/database/creds/theirs/"],
    ["PUT", "sys/leases/revoke-prefix/database", {}],
    ["PUT", "sys/leases/revoke-prefix/database/creds", {}],
    ["PUT", "sys/leases/revoke-prefix/database/creds/theirs", {}],
    ["LIST", "auth/approle/role"],
    ["GET", "auth/approle/role/theirs"],
    ["POST", "auth/approle/role/theirs", { token_policies: "db-readonly-role" }],
    ["DELETE", "auth/approle/role/theirs"],
    ["GET", "auth/approle/role/theirs/role-id"],
    ["POST", "auth/approle/role/theirs/secret-id", {}],
    ["POST", "auth/approle/role/theirs/secret-id", {}, wrapped],
    ["DELETE", "sys/policies/acl/db-theirs"],
  ];
  for (const who of ["operator", "planner", "deliverer", "verifier"] as const)
    for (const [method, path, body, { wrap } = {}] of requests) {
      const { status } = await deployment.as(who).request(method, path, body, wrap);
      expect([who, method, path, status]).toEqual([who, method, path, 403]);
    }
});

test("each does its part with what is ours", async () => {
  const [operator, planner, deliverer] = (["operator", "planner", "deliverer"] as const).map((who) =>
    deployment.as(who),
  ) as [VaultClient, VaultClient, VaultClient];
  for (const path of [
    "sys/mounts/database",
    "sys/mounts/auth/approle",
    "database/config/postgres-example",
    "database/roles/readonly_role",
    "database/static-roles/report",
    "auth/approle/role/db-readonly-role",
    "auth/approle/role/db-readonly-role/role-id",
    "sys/policies/acl/db-readonly-role",
  ])
    for (const token of [operator, planner]) await token.call("GET", path);
  await deliverer.call("POST", "auth/approle/role/db-readonly-role/secret-id", {}, "60s");
  const login = await lease(deployment, "readonly_role");
  await revokeLeases(forCommands(deployment), "database/creds/readonly_role");
  expect(await login.refusal()).not.toBe("logged in");
});

test("a sweep asks for our leases alone, and leaves to their VALID UNTIL those of groups that it does not know", async () => {
  const login = await lease(deployment, "readonly_role");
  const hourAgo = String(Math.floor(Date.now() / 1000) - 3600);
  const undeclared = `v-token-of_befor-abcdefghijABCDEFGHIJ-${hourAgo}`;
  await deployment.superuser.query(
    `CREATE ROLE of_before; CREATE ROLE "${undeclared}" LOGIN VALID UNTIL '2100-01-01' IN ROLE of_before;
     COMMENT ON ROLE "${undeclared}" IS 'leasehold local nanvc'`,
  );
  const printed = jest.spyOn(console, "log").mockReturnValue();
  const { signal } = new AbortController();
  expect(await sweepDeployment(forCommands(deployment), { autoApprove: true }, signal, 0)).toBe(0);
  expect(messages(printed.mock.calls.flat().join("\n"))).toEqual([
    "Logins that a lease may stand for, which stay until their VALID UNTIL has passed:",
    `  ${undeclared} (nanvc): Vault was not asked whether it has its lease`,
  ]);
  expect(await login.refusal()).toBe("logged in");
  expect(await login.revoke()).toBe(204);
  await deployment.superuser.query(`DROP ROLE "${undeclared}", of_before`);
});

test("preflight: a mount that is not there, or is of another type, is refused", async () => {
  await checkMounts(forCommands(deployment));
  const { root } = deployment;
  const elsewhere = forCommands(deployment);
  const [database] = elsewhere.manifest.databases;
  for (const path of ["kv", "none"]) database!.vault.mount = path;
  await root.call("POST", "sys/mounts/kv", { type: "kv" });
  const withRoot = (mount: string, authMount: string) => {
    jest.spyOn(elsewhere, "token").mockReturnValue(deployment.sandbox.initialised.rootToken);
    database!.vault.mount = mount;
    for (const { login } of database!.personas) login.authMount = authMount;
    return checkMounts(elsewhere);
  };
  const at = `in Vault at ${root.address}`;
  await expect(withRoot("kv", "approle")).rejects.toThrow(
    `the mount kv, which the config has as one that exists, is of the type kv and not database ${at}: mount it (vault secrets enable -path=kv database), or correct the config`,
  );
  await expect(withRoot("database", "token")).rejects.toThrow(
    `the mount auth/token, which the config has as one that exists, is of the type token and not approle ${at}`,
  );
  await expect(withRoot("none", "nowhere")).rejects.toThrow(
    /^the mount none, .* is not there .*\nthe mount auth\/nowhere, .* is not there .*: mount it \(vault auth enable -path=nowhere approle\), or correct the config$/,
  );
});
