import type { VaultClient } from "../../clients/vault-client";
import { Deployment } from "../support/deployment";
import { onOpenBao } from "../support/skip";

/** The trust model as Vault enforces it: each token sends the requests, none is asked what it would answer. */
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start();
});

afterAll(() => deployment.stop());

type Request = readonly [method: string, path: string, body?: object];

const ROLE_ID: Request = ["GET", "auth/approle/role/db-readonly-role/role-id"];
const SECRET_ID: Request = ["POST", "auth/approle/role/db-readonly-role/secret-id", {}];
const CREDENTIALS: readonly Request[] = ["readonly_role", "readwrite_role", "schema_admin_role"].map(
  (role) => ["GET", `database/creds/${role}`],
);
const WRITES: readonly Request[] = [
  [
    "POST",
    "database/roles/readonly_role",
    { db_name: "postgres-example", creation_statements: ["SELECT 1"] },
  ],
  ["POST", "database/config/postgres-example", { plugin_name: "postgresql-database-plugin" }],
  ["PUT", "sys/policies/acl/db-readonly-role", { policy: 'path "*" { capabilities = ["sudo"] }' }],
  ["POST", "auth/approle/role/db-readonly-role", { token_policies: ["root"] }],
  ["DELETE", "sys/mounts/database"],
  ["POST", "database/rotate-root/postgres-example"],
  ["PUT", "sys/generate-root-token/attempt", {}],
];
const TRUST: readonly Request[] = ["operator", "planner", "deliverer", "verifier"].map((who) => [
  "PUT",
  `sys/policies/acl/leasehold-local-${who}`,
  { policy: "# wider" },
]);
const OPERATOR_POLICY: Request = ["GET", "sys/policies/acl/leasehold-local-operator"];
const BEYOND: readonly Request[] = [
  ["PUT", "sys/policies/acl/other", { policy: "# theirs" }],
  ...TRUST,
  ["POST", "sys/mounts/secret", { type: "kv" }],
  ["POST", "sys/auth/userpass", { type: "userpass" }],
  ["POST", "auth/token/create", { policies: ["db-readonly-role"] }],
  ["PUT", "sys/leases/revoke-prefix/auth", {}],
  ["PUT", "sys/leases/revoke-force/database", {}],
  ["PUT", "sys/seal", {}],
];

async function refused(vault: VaultClient, requests: readonly Request[]): Promise<void> {
  for (const [method, path, body] of requests) {
    const { status } = await vault.request(method, path, body);
    expect([method, path, body, status]).toEqual([method, path, body, 403]);
  }
}

test("the operator has no credentials and no secret ids, and nothing beyond the stack", async () => {
  await refused(deployment.as("operator"), [
    ...CREDENTIALS,
    SECRET_ID,
    ...BEYOND,
    ["GET", "database/creds/verify-owner"],
    ["GET", "database/static-creds/report"],
  ]);
  const wrapped = await deployment.as("operator").request(...SECRET_ID, "60s");
  expect(wrapped.status).toBe(403);
});

test("the operator can't make an AppRole that logs in without a secret id, or another engine of a mount that it manages", async () => {
  const operator = deployment.as("operator");
  const role = "auth/approle/role/db-readonly-role";
  const anywhere = { secret_id_bound_cidrs: "0.0.0.0/0", token_policies: ["db-readonly-role"] };
  // An empty text is one that HashiCorp's Vault from 1.21 on lets pass for any value, unless it is denied.
  for (const off of [false, "false", 0, "f", ""]) {
    for (const key of ["bind_secret_id", "BIND_SECRET_ID"])
      await refused(operator, [["POST", role, { ...anywhere, [key]: off }]]);
  }
  // These it can't read at all.
  for (const off of [",", null, []])
    await operator.request("POST", role, { ...anywhere, bind_secret_id: off });
  expect((await deployment.root.call("GET", role)).data).toMatchObject({
    bind_secret_id: true,
    secret_id_bound_cidrs: null,
  });
  expect((await operator.request("POST", role, { bind_secret_id: true, token_ttl: 1200 })).status).toBe(204);
  await refused(operator, [
    ["POST", `${role}/bind-secret-id`, { bind_secret_id: false }],
    ["GET", `${role}/secret-id`],
    ["POST", "auth/approle/role/db-intruder", { bind_secret_id: true }],
    ["POST", "sys/auth/approle", { type: "userpass" }],
    ["POST", "sys/mounts/database", { type: "kv" }],
  ]);
});

test("the operator is rid of what the config has dropped: AppRoles, connections, policies with its prefix", async () => {
  const operator = deployment.as("operator");
  const dropped = [
    ["auth/approle/role/db-dropped", { token_policies: ["db-dropped"] }],
    [
      "database/config/dropped",
      {
        plugin_name: "postgresql-database-plugin",
        verify_connection: false,
        connection_url: "postgresql://127.0.0.1/x",
      },
    ],
    ["sys/policies/acl/db-dropped", { policy: "# nothing" }],
  ] as const;
  for (const [path, body] of dropped) {
    await deployment.root.call("POST", path, body);
    expect([path, (await operator.request("GET", path)).status]).toEqual([path, 200]);
    expect([path, (await operator.request("DELETE", path)).status]).toEqual([path, 204]);
  }
});

const generating = onOpenBao("HashiCorp's Vault lets anybody start a root token");

generating.test(
  `the operator starts a root token and, without the unseal keys, gets none${generating.because}`,
  async () => {
    const operator = deployment.as("operator");
    const path = "sys/generate-root-token";
    const started = await operator.request("PUT", `${path}/attempt`, {});
    const { nonce } = started.body.data as { nonce: string };
    const key = Buffer.alloc(33, 7).toString("base64");
    const answer = await operator.request("PUT", `${path}/update`, { nonce, key });
    expect([400, 500]).toContain(answer.status);
    expect(JSON.stringify(answer.body)).not.toContain("encoded_token");
    expect((await operator.request("DELETE", `${path}/attempt`)).status).toBe(204);
  },
);

test("each token of the trust model keeps itself alive", async () => {
  for (const who of ["operator", "planner", "deliverer", "verifier"] as const)
    expect([who, (await deployment.as(who).request("POST", "auth/token/renew-self", {})).status]).toEqual([
      who,
      200,
    ]);
});

test("the planner reads what the operator manages, and writes nothing", async () => {
  const planner = deployment.as("planner");
  await refused(planner, [...CREDENTIALS, SECRET_ID, ...WRITES, ...BEYOND]);
  for (const path of [
    "database/config/postgres-example",
    "database/roles/readonly_role",
    "auth/approle/role/db-readonly-role",
    "sys/policies/acl/db-readonly-role",
  ]) {
    expect([path, (await planner.request("GET", path)).status]).toEqual([path, 200]);
  }
});

test("the deliverer has wrapped secret ids, within the wrapping's bounds, and no role id", async () => {
  const deliverer = deployment.as("deliverer");
  await refused(deliverer, [...CREDENTIALS, SECRET_ID, ROLE_ID, ...WRITES, ...BEYOND, OPERATOR_POLICY]);
  expect((await deliverer.request(...SECRET_ID, "60s")).body.wrap_info?.ttl).toBe(60);
  expect((await deliverer.request(...SECRET_ID, "1h")).status).toBe(403);
  expect((await deliverer.request(...SECRET_ID, "1s")).status).toBe(403);
});

test("operator, planner and verifier read role ids, for whoever deploys what logs in with one", async () => {
  for (const who of ["operator", "planner", "verifier"] as const)
    expect([who, (await deployment.as(who).request(...ROLE_ID)).status]).toEqual([who, 200]);
});

test("the verifier leases and revokes probe roles alone, and revokes what it holds", async () => {
  const verifier = deployment.as("verifier");
  await refused(verifier, [
    ...CREDENTIALS,
    SECRET_ID,
    ...WRITES,
    ...BEYOND,
    ["PUT", "sys/leases/revoke-prefix/database/creds", {}],
    ["PUT", "sys/leases/revoke-prefix/database/creds/readonly_role", {}],
    ["LIST", "sys/leases/lookup/database/creds/readonly_role/"],
    ["LIST", "sys/leases/lookup/database/creds/"],
  ]);
  const lease = await verifier.request("GET", "database/creds/verify-owner");
  expect(lease.status).toBe(200);
  expect((await verifier.request("LIST", "sys/leases/lookup/database/creds/verify-owner/")).status).toBe(200);
  expect(
    (await verifier.request("PUT", "sys/leases/revoke-prefix/database/creds/verify-owner", { sync: true }))
      .status,
  ).toBe(204);
  expect(await deployment.leasedRoles()).toEqual([]);
});

test("the verifier reads the personas' own policies and no other, and asks what a token may do", async () => {
  const verifier = deployment.as("verifier");
  for (const name of ["db-admin-schema-role", "db-readwrite-role", "db-readonly-role"]) {
    const { data } = await verifier.call("GET", `sys/policies/acl/${name}`);
    expect(data!["policy"]).toContain("database/creds/");
  }
  await refused(verifier, [
    ["GET", "sys/policies/acl/leasehold-local-operator"],
    ["GET", "sys/policies/acl/leasehold-local-verifier"],
    ["GET", "sys/policies/acl/default"],
    ["LIST", "sys/policies/acl"],
    ["PUT", "sys/policies/acl/db-readonly-role", { policy: "# wider" }],
  ]);
  const asked = {
    token: deployment.sandbox.initialised.tokens.planner,
    paths: ["database/roles/readonly_role"],
  };
  const { data } = await verifier.call("POST", "sys/capabilities", asked);
  expect(data!["database/roles/readonly_role"]).toEqual(["read"]);
  for (const other of ["planner", "deliverer"] as const)
    expect((await deployment.as(other).request("POST", "sys/capabilities", asked)).status).toBe(403);
});

test("a neighbour whose role begins alike keeps its leases when the verifier revokes by prefix", async () => {
  const role = (await deployment.root.call("GET", "database/roles/verify-owner")).data!;
  await deployment.root.call("POST", "database/roles/verify-owner-2", role);
  const connection = "database/config/postgres-example";
  const { allowed_roles: allowed } = (await deployment.root.call("GET", connection)).data as {
    allowed_roles: string[];
  };
  await deployment.root.call("POST", connection, { allowed_roles: [...allowed, "verify-owner-2"] });
  const { lease_id: id } = await deployment.root.call("GET", "database/creds/verify-owner-2");
  await deployment
    .as("verifier")
    .call("PUT", "sys/leases/revoke-prefix/database/creds/verify-owner", { sync: true });
  expect(await deployment.leasedRoles()).toHaveLength(1);
  await deployment.root.call("POST", "sys/leases/revoke", { lease_id: id, sync: true });
});
