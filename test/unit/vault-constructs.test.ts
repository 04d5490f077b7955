import { VaultProvider } from "@cdktf/provider-vault/lib/provider";
import { Duration } from "../../constructs/duration";
import { AccessRole } from "../../constructs/postgres/access-role";
import { Database } from "../../constructs/postgres/database";
import { ManagerLogin } from "../../constructs/postgres/manager-login";
import { Privileges } from "../../constructs/postgres/privileges";
import { Secret } from "../../constructs/secret";
import { AppRoleAuth } from "../../constructs/vault/app-role-auth";
import { DatabaseConnection } from "../../constructs/vault/database-connection";
import { DatabaseMount } from "../../constructs/vault/database-mount";
import type { DatabaseRoleProps } from "../../constructs/vault/database-role";
import { LeaseStatements } from "../../constructs/vault/lease-statements";
import { Policy } from "../../constructs/vault/policy";
import { PolicyDocument } from "../../constructs/vault/policy-document";
import { LeaseholdStack } from "../../stacks/stack";
import { find, synth, testApp } from "../support/synth";

const lease = { defaultTtl: Duration.minutes(5), maxTtl: Duration.hours(1) };
const identity = {
  tokenTtl: Duration.minutes(10),
  tokenMaxTtl: Duration.minutes(20),
  secretIdTtl: Duration.hours(1),
  secretIdUses: 3,
};

function example() {
  const stack = new LeaseholdStack(testApp(), "test", { name: "test" });
  new VaultProvider(stack, "vault", {});
  const database = Database.fromNames(stack, "Shop", { name: "shop", schema: "sales", owner: "sales_owner" });
  const password = Secret.fromVariable("manager_password", {
    for: "manager-password",
    description: "secret",
  });
  const mount = new DatabaseMount(stack, "Mount", { path: "db" });
  const connection = new DatabaseConnection(mount, "Connection", {
    mount,
    name: "shop",
    address: { host: "db.internal", port: "5433" },
    manager: ManagerLogin.fromName(stack, "Manager", { database, name: "vault", password }),
    passwordVersion: 2,
  });
  const auth = new AppRoleAuth(stack, "Auth", { path: "approle" });
  /** Leases logins in a group role that exists already. */
  const add = (id: string, name: string, props: Partial<DatabaseRoleProps> = {}) => {
    const member = AccessRole.fromName({ database, name, privileges: Privileges.READ });
    const statements = LeaseStatements.of(member, { mark: connection.manager.mark });
    return connection.addRole(id, { member, statements, ...lease, ...props });
  };
  return { stack, mount, database, connection, auth, add };
}

describe("DatabaseConnection", () => {
  const { stack, add } = example();
  add("One", "one");
  add("Two", "two", { name: "second" });
  const [attributes] = find(synth(stack), "vault_database_secret_backend_connection");

  test("allows exactly the roles that were added", () => {
    expect(attributes).toMatchObject({ allowed_roles: ["one", "second"] });
  });

  test("holds Vault's placeholders and a reference, no password; the version is a number", () => {
    expect(attributes).toMatchObject({
      postgresql: {
        connection_url: "postgresql://{{username}}:{{password}}@db.internal:5433/shop?sslmode=disable",
        username: "vault",
        password_wo: "${var.manager_password}",
        password_wo_version: 2,
      },
    });
  });

  test("keeps leased passwords out of SQL", () => {
    expect(attributes).toMatchObject({ postgresql: { password_authentication: "scram-sha-256" } });
  });
});

describe("DatabaseRole", () => {
  const { stack, database, connection, add } = example();
  add("Member", "readers");
  const admins = AccessRole.fromName({
    database,
    name: "admins",
    privileges: Privileges.OWNER,
    actsAsOwner: true,
  });
  add("Owner", "admins", { statements: LeaseStatements.of(admins, { mark: connection.manager.mark }) });
  const synthesized = synth(stack);
  const role = (name: string) =>
    find(synthesized, "vault_database_secret_backend_role", { name })[0] as Record<string, string[]>;

  test("TTLs are in seconds", () => {
    expect(role("readers")).toMatchObject({ default_ttl: 300, max_ttl: 3600 });
  });

  test("a member's login joins its group and acts as it from its start", () => {
    expect(role("readers")["creation_statements"]!.join()).toContain('GRANT "readers" TO');
    expect(role("readers")["creation_statements"]!.join()).toContain('SET role = "readers"');
  });

  test("an owner's login acts as the owner from its start", () => {
    expect(role("admins")["creation_statements"]!.join()).toContain('SET role = "sales_owner"');
  });

  test.each([
    ["readers", "readers"],
    ["admins", "sales_owner"],
  ])("revocation of a login of %s hands over to %s, in one statement", (name, heir) => {
    expect(role(name)["revocation_statements"]).toHaveLength(1);
    expect(role(name)["revocation_statements"]![0]).toMatch(
      new RegExp(`^DO .*REASSIGN OWNED BY "\\{\\{name\\}\\}" TO "${heir}".*;$`, "s"),
    );
  });

  test("a max TTL below the default is refused at once", () => {
    const ttl = { defaultTtl: Duration.hours(2), maxTtl: Duration.hours(1) };
    expect(() => add("Bad", "x", ttl)).toThrow("lease max TTL (1h) must be at least the default TTL (2h)");
  });
});

describe("AppRole", () => {
  test("its token has no default policy, and can look itself up, renew and end itself and its leases", () => {
    const { stack, auth } = example();
    auth.addAppRole("App", { name: "app", ...identity });
    const synthesized = synth(stack);
    expect(find(synthesized, "vault_approle_auth_backend_role")[0]).toMatchObject({
      role_name: "app",
      bind_secret_id: true,
      token_policies: ["app"],
      token_no_default_policy: true,
      token_ttl: 600,
      token_max_ttl: 1200,
      secret_id_ttl: 3600,
      secret_id_num_uses: 3,
    });
    const rule = (path: string, capability: string) =>
      `path "${path}" {\n  capabilities = ["${capability}"]\n}\n`;
    expect(find(synthesized, "vault_policy", { name: "app" })[0]!["policy"]).toBe(
      [
        rule("auth/token/lookup-self", "read"),
        rule("auth/token/renew-self", "update"),
        rule("auth/token/revoke-self", "update"),
        rule("sys/leases/renew", "update"),
        rule("sys/leases/revoke", "update"),
      ].join("\n"),
    );
  });

  test("a token max TTL below the TTL is refused at once", () => {
    const { auth } = example();
    const ttl = { tokenTtl: Duration.minutes(20), tokenMaxTtl: Duration.minutes(10) };
    expect(() => auth.addAppRole("App", { name: "app", ...identity, ...ttl })).toThrow(
      "token max TTL (10m) must be at least the token TTL (20m)",
    );
  });

  test("a secret id for no login, which to Vault is one for any number, is refused", () => {
    const { auth } = example();
    expect(() => auth.addAppRole("App", { name: "app", ...identity, secretIdUses: 0 })).toThrow(
      "secret id uses (0) must be a positive whole number",
    );
  });

  test("a grant adds one rule to its policy", () => {
    const { stack, auth, add } = example();
    const app = auth.addAppRole("App", { name: "app", ...identity });
    add("Readers", "readers").grantRead(app);
    const [{ policy }] = find(synth(stack), "vault_policy", { name: "app" }) as [{ policy: string }];
    expect(policy).toContain('path "db/creds/readers" {\n  capabilities = ["read"]\n}\n');
    expect(policy.match(/^path/gm)).toHaveLength(6);
  });

  test("a lease that outlives its token gives a warning", () => {
    const { auth, add } = example();
    const app = auth.addAppRole("App", { name: "app", ...identity });
    const role = add("Long", "long", { defaultTtl: Duration.hours(1) });
    role.grantRead(app);
    expect(role.node.metadata.map(({ data }) => data as string)).toEqual([
      "a lease of long (1h at most) ends with the token that took it, after 20m at most",
    ]);
  });

  test("delivering is wrapped secret ids of whatever AppRole, without role ids", () => {
    const { stack, auth } = example();
    const deliverer = new Policy(stack, "Deliverer", { name: "deliverer" });
    auth.grantDeliver(deliverer);
    expect(find(synth(stack), "vault_policy", { name: "deliverer" })[0]!["policy"]).toBe(
      'path "auth/approle/role/+/secret-id" {\n  capabilities = ["update"]\n  min_wrapping_ttl = "5s"\n  max_wrapping_ttl = "5m"\n}\n',
    );
  });

  test("managing is one AppRole with its own policy, and the policy with its own text", () => {
    const { auth } = example();
    const app = auth.addAppRole("App", { name: "app", ...identity });
    const operator = new PolicyDocument();
    app.grantManage(operator);
    const text = operator.toString();
    expect(text).toContain(
      '"policy" = ["path \\"auth/token/lookup-self\\" {\\n  capabilities = [\\"read\\"]',
    );
    expect(text).toContain('    "bind_secret_id" = [true]\n    "token_policies" = [["app"]]\n');
    expect(text).toContain('  denied_parameters = {\n    "bind_secret_id" = [""]\n');
    expect(text).not.toContain('"*"');
  });

  test.each(["", "a/b", "a*", "{{x}}"])("the name %j is refused at once", (name) => {
    const { auth } = example();
    expect(() => auth.addAppRole("App", { name, ...identity })).toThrow(
      /^AppRole name \(.*\) must be a Vault name/,
    );
  });
});
