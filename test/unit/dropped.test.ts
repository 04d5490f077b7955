import type { Stack, StateResource } from "../../ops/deployment/deployment";
import { droppedPaths, isDeclared, uncovered, withDropped } from "../../ops/vault/dropped";

const CONNECTION = "vault_database_secret_backend_connection";
const ROLE = "vault_database_secret_backend_role";
const STATIC = "vault_database_secret_backend_static_role";
const APP_ROLE = "vault_approle_auth_backend_role";

const stack = {
  json: {
    resource: {
      vault_policy: { Kept: { name: "kept" }, Renamed: { name: "now" } },
      [ROLE]: { Report: { backend: "teams/db", name: "report" } },
    },
    removed: [{ from: "vault_policy.Planner" }],
  },
} as unknown as Stack;

function resource(type: string, id: string, attributes: StateResource["attributes"]): StateResource {
  return { address: `${type}.${id}`, type, attributes };
}

const state = [
  resource("vault_policy", "Moved", { name: "kept" }),
  resource("vault_policy", "Renamed", { name: "before" }),
  resource("vault_policy", "Planner", { name: "leasehold-test-planner" }),
  resource("vault_mount", "Mount", { path: "teams/db" }),
  resource(CONNECTION, "Shop", { backend: "teams/db", name: "shop" }),
  resource(ROLE, "Report", { backend: "teams/db", name: "report" }),
  resource(ROLE, "Audit", { backend: "teams/db", name: "audit" }),
  resource(STATIC, "Nightly", { backend: "teams/db", name: "nightly" }),
  resource(APP_ROLE, "App", { backend: "teams/apps", role_name: "app" }),
];

const dropped = droppedPaths(stack, state, String);
const text = (...rules: [string, string][]) =>
  rules.map(([path, capabilities]) => `path "${path}" {\n  capabilities = [${capabilities}]\n}\n`).join("\n");

test("what the state names and the stack does not, with the leases of a role; what Terraform forgets is not deleted", () => {
  expect(dropped.map(({ path, capabilities }) => `${path}: ${capabilities.join(", ")}`)).toEqual([
    "sys/policies/acl/before: read, delete",
    "teams/db/config/shop: read, delete",
    "teams/db/roles/audit: read, delete",
    "sys/leases/lookup/teams/db/creds/audit/: list, sudo",
    "sys/leases/revoke-prefix/teams/db/creds/audit: update, sudo",
    "teams/db/static-roles/nightly: read, delete",
    "auth/teams/apps/role/app: read, delete",
    "auth/teams/apps/role/app/role-id: read",
  ]);
});

test("a rule covers by its shape and its capabilities", () => {
  const own = text(
    ["sys/policies/acl/be*", '"read", "delete"'],
    ["teams/db/config/*", '"read"'],
    ["teams/db/+/audit", '"read", "delete"'],
    ["sys/leases/+", '"list", "sudo", "update"'],
    ["auth/teams/apps/role/ap.", '"read", "delete"'],
  );
  expect(uncovered(own, dropped)).toEqual(
    dropped.filter(({ path }) => !["sys/policies/acl/before", "teams/db/roles/audit"].includes(path)),
  );
});

test("a policy with what was dropped is the declared one, and no other is", () => {
  const declared = text(["a", '"read"']);
  const wider = withDropped(declared, dropped);
  expect(uncovered(wider, dropped)).toEqual([]);
  expect(withDropped(wider, dropped)).toBe(wider);
  for (const found of [declared.trim(), wider.trim()]) expect(isDeclared(found, declared)).toBe(true);
  for (const found of [undefined, "", `${declared}\n${text(["b", '"read"'])}`.trim(), `# x\n${wider}`.trim()])
    expect(isDeclared(found, declared)).toBe(false);
});
