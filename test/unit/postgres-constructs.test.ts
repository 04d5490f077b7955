import { PostgresqlProvider } from "@cdktf/provider-postgresql/lib/provider";
import { Database } from "../../constructs/postgres/database";
import { ManagerLogin } from "../../constructs/postgres/manager-login";
import { Privileges } from "../../constructs/postgres/privileges";
import { Secret } from "../../constructs/secret";
import { LeaseholdStack } from "../../stacks/stack";
import { find, synth, testApp, type Synthesized } from "../support/synth";

const password = Secret.fromVariable("manager_password", { for: "manager-password", description: "secret" });

function newStack(): LeaseholdStack {
  const stack = new LeaseholdStack(testApp(), "test", { name: "test" });
  new PostgresqlProvider(stack, "postgresql", {});
  return stack;
}

function example(build: (database: Database) => void): Synthesized {
  const stack = newStack();
  build(new Database(stack, "Shop", { name: "shop", schema: "sales", owner: "sales_owner" }));
  return synth(stack);
}

describe("Database", () => {
  const synthesized = example(() => undefined);

  test("the owner can't log in, may create on the database, and owns the schema", () => {
    expect(find(synthesized, "postgresql_role", { name: "sales_owner" })[0]).toMatchObject({ login: false });
    expect(find(synthesized, "postgresql_grant", { privileges: ["CREATE"] })[0]).toMatchObject({
      object_type: "database",
      database: "shop",
    });
    expect(find(synthesized, "postgresql_schema")[0]).toMatchObject({
      name: "sales",
      owner: expect.stringContaining("postgresql_role.Shop_Owner") as string,
      drop_cascade: false,
    });
  });

  test("PUBLIC loses the database, existing functions, and later functions of the owner in any schema", () => {
    const publics = [
      ...find(synthesized, "postgresql_grant", { role: "public" }),
      ...find(synthesized, "postgresql_default_privileges", { role: "public" }),
    ];
    expect(publics.map(({ object_type: type, schema, privileges }) => [type, schema, privileges])).toEqual([
      ["database", undefined, []],
      ["function", "sales", []],
      ["function", undefined, []],
    ]);
  });

  test("the owner may make temporary tables only where a role that acts as the owner may", () => {
    const temporary = { ...Privileges.OWNER, database: ["CONNECT", "TEMPORARY", "CREATE"] } as const;
    const grants = (actsAsOwner: boolean) =>
      find(
        example((database) => {
          database.addRole("Admin", { name: "admins", privileges: temporary, actsAsOwner });
        }),
        "postgresql_grant",
        { privileges: ["CREATE", "TEMPORARY"] },
      );
    expect([grants(true), grants(false)].map(({ length }) => length)).toEqual([1, 0]);
  });

  test.each([
    [{ name: "a b", schema: "s", owner: "o" }, /^database name \("a b"\) must be/],
    [{ name: "a", schema: "", owner: "o" }, /^schema \(""\) must be/],
    [{ name: "a", schema: "s", owner: "public" }, /^owner \("public"\) must be/],
  ])("is validated at once: %j", (props, message) => {
    const stack = newStack();
    expect(() => new Database(stack, "Shop", props)).toThrow(message);
  });
});

describe("AccessRole", () => {
  const synthesized = example((database) => {
    database.addRole("Readonly", { name: "readers", privileges: Privileges.READ });
    database.addRole("Admin", { name: "admins", privileges: Privileges.OWNER, actsAsOwner: true });
    database.addRole("Nothing", { name: "nothing", privileges: Privileges.CONNECT });
  });
  const granted = (type: string, role: string) =>
    find(synthesized, type)
      .filter((attributes) => String(attributes["role"]).includes(role))
      .map(({ object_type: kind, privileges }) => [kind, privileges])
      .sort();

  test("has the declared privileges now, and by default on later objects", () => {
    expect(granted("postgresql_grant", "Shop_Roles_Readonly")).toEqual([
      ["database", ["CONNECT"]],
      ["function", ["EXECUTE"]],
      ["schema", ["USAGE"]],
      ["sequence", ["SELECT"]],
      ["table", ["SELECT"]],
    ]);
    expect(granted("postgresql_default_privileges", "Shop_Roles_Readonly")).toEqual([
      ["function", ["EXECUTE"]],
      ["sequence", ["SELECT"]],
      ["table", ["SELECT"]],
    ]);
  });

  test("has nothing where nothing is declared", () => {
    expect(granted("postgresql_grant", "Shop_Roles_Nothing")).toEqual([["database", ["CONNECT"]]]);
    expect(granted("postgresql_default_privileges", "Shop_Roles_Nothing")).toEqual([]);
  });

  test("lists privileges one by one, never ALL", () => {
    expect(granted("postgresql_grant", "Shop_Roles_Admin")).toContainEqual([
      "table",
      ["DELETE", "INSERT", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE"],
    ]);
    expect(synthesized.text).not.toContain('"ALL"');
  });

  test("is a member of the owner when it acts as the owner, through the attribute that is read back", () => {
    expect(find(synthesized, "postgresql_role", { name: "admins" })[0]).toMatchObject({
      roles: ["sales_owner"],
      login: false,
    });
    expect(find(synthesized, "postgresql_role", { name: "readers" })[0]).not.toHaveProperty("roles");
    expect(find(synthesized, "postgresql_grant_role")).toEqual([]);
  });

  test("default privileges are of what the owner creates", () => {
    const defaults = find(synthesized, "postgresql_default_privileges");
    expect(new Set(defaults.map(({ owner }) => String(owner).replace(/\$\{.*\}/, "sales_owner")))).toEqual(
      new Set(["sales_owner"]),
    );
  });
});

describe("ManagerLogin", () => {
  const synthesized = example((database) => {
    const manager = new ManagerLogin(database, "Manager", { database, name: "vault", password });
    for (const id of ["One", "Two"])
      manager.manageGroup(database.addRole(id, { name: id.toLowerCase(), privileges: Privileges.CONNECT }));
  });
  const [login] = find(synthesized, "postgresql_role", { name: "vault" });

  test("creates roles and is no superuser", () => {
    expect(login).toMatchObject({ login: true, create_role: true });
    expect(login).not.toHaveProperty("superuser");
  });

  test("ignores memberships, which PostgreSQL 16 and later add with every lease, and the search path, which deploy sets", () => {
    expect(login).toMatchObject({ lifecycle: { ignore_changes: ["roles", "search_path"] } });
  });

  test("has its password write-only, by reference to an ephemeral sensitive variable, of a version that never changes", () => {
    expect(login).toMatchObject({ password_wo: "${var.manager_password}", password_wo_version: "1" });
    expect(login).not.toHaveProperty("password");
    expect(synthesized.json).toMatchObject({
      variable: { manager_password: { ephemeral: true, sensitive: true } },
    });
    expect(synthesized.json).not.toHaveProperty("variable.manager_password.default");
  });

  test("is a member of the owner without, and of each group with, admin option", () => {
    expect(
      find(synthesized, "postgresql_grant_role").map(({ grant_role: role, with_admin_option: admin }) => [
        role,
        admin,
      ]),
    ).toEqual([
      ["one", true],
      ["two", true],
      ["sales_owner", undefined],
    ]);
  });

  test("can still connect when PUBLIC can't", () => {
    expect(
      find(synthesized, "postgresql_grant").filter(({ role }) => String(role).includes("Shop_Manager")),
    ).toMatchObject([{ object_type: "database", privileges: ["CONNECT"] }]);
  });

  test("all that writes an ACL or a membership is one chain: no two can race", () => {
    const writers = [...synthesized.resources].filter(
      ([address, { roles }]) => !address.startsWith("postgresql_role.") || roles !== undefined,
    );
    const waitsFor = (address: string): string[] =>
      (synthesized.resources.get(address)?.["depends_on"] ?? []) as string[];
    const before = (address: string): Set<string> => {
      const all = new Set<string>();
      for (let next = waitsFor(address); next.length > 0; next = next.flatMap(waitsFor))
        for (const one of next) all.add(one);
      return all;
    };
    const chains = new Map(writers.map(([address]) => [address, before(address)]));
    for (const [one] of writers) {
      for (const [other] of writers) {
        if (one !== other)
          expect([one, other, chains.get(one)!.has(other) || chains.get(other)!.has(one)]).toEqual([
            one,
            other,
            true,
          ]);
      }
    }
  });
});
