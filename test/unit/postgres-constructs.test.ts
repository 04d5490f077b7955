import { createHash } from "node:crypto";
import { PostgresqlProvider } from "@cdktf/provider-postgresql/lib/provider";
import { Manifest } from "../../constructs/manifest";
import { Database, Owner, Schema } from "../../constructs/postgres/database";
import { ManagerLogin } from "../../constructs/postgres/manager-login";
import { declaredPrivileges, Privileges, type SchemaPrivileges } from "../../constructs/postgres/privileges";
import { StaticLogin } from "../../constructs/postgres/static-login";
import { Secret } from "../../constructs/secret";
import { LeaseholdStack } from "../../stacks/stack";
import { find, synth, testApp, type Attributes, type Synthesized } from "../support/synth";

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

  test("PUBLIC loses the database, existing functions and procedures, and later functions of the owner in any schema", () => {
    const publics = [
      ...find(synthesized, "postgresql_grant", { role: "public" }),
      ...find(synthesized, "postgresql_default_privileges", { role: "public" }),
    ];
    expect(publics.map(({ object_type: type, schema, privileges }) => [type, schema, privileges])).toEqual([
      ["database", undefined, []],
      ["function", "sales", []],
      ["procedure", "sales", []],
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

describe("Database with further schemas", () => {
  const stack = newStack();
  const database = new Database(stack, "Shop", {
    ...{ name: "shop", schema: "public", owner: "sales_owner" },
    furtherSchemas: [
      { schema: "hr", owner: "hr_owner", creators: ["sales_owner", "nightly"] },
      { schema: Schema.fromName("old"), owner: Owner.fromName("old_owner") },
    ],
  });
  database.addRole("Readonly", { name: "readers", privileges: Privileges.READ });
  const synthesized = synth(stack);
  const name = (reference: unknown) =>
    String(reference).replace(/\$\{postgresql_role\.(\w+?)_[0-9A-F]{8}.*\}/, "$1");

  test("makes neither public nor what exists already, and lets the owner that it makes create in public", () => {
    expect(find(synthesized, "postgresql_schema").map(({ name }) => name)).toEqual(["hr"]);
    expect(
      find(synthesized, "postgresql_role", { login: false })
        .map(({ name }) => name)
        .sort(),
    ).toEqual(["hr_owner", "readers", "sales_owner"]);
    expect(
      find(synthesized, "postgresql_grant", { object_type: "schema", privileges: ["CREATE", "USAGE"] }),
    ).toMatchObject([{ schema: "public" }]);
  });

  test("takes PUBLIC's from each, and the later functions of each owner and creator once", () => {
    const taken = (type: string) =>
      find(synthesized, type, { role: "public" }).map(({ object_type: kind, schema, owner }) =>
        [kind, schema ?? name(owner ?? "")].join(" "),
      );
    expect(taken("postgresql_grant").sort()).toEqual([
      "database ",
      "function hr",
      "function old",
      "function public",
      "procedure hr",
      "procedure old",
      "procedure public",
      "schema public",
    ]);
    expect(taken("postgresql_default_privileges").sort()).toEqual([
      "function Shop_Owner",
      "function Shop_Schemas_hr_Owner",
      "function nightly",
      "function old_owner",
    ]);
  });

  test("gives a role its privileges in each, on what owner and creators make later too", () => {
    const later = find(synthesized, "postgresql_default_privileges", { object_type: "table" });
    expect(later.map(({ schema, owner }) => [schema, name(owner)].join(" ")).sort()).toEqual([
      "hr hr_owner",
      "hr nightly",
      "hr sales_owner",
      "old old_owner",
      "public sales_owner",
    ]);
    expect(
      find(synthesized, "postgresql_grant", { privileges: ["SELECT"], object_type: "table" })
        .map(({ schema }) => schema)
        .sort(),
    ).toEqual(["hr", "old", "public"]);
    for (const role of find(synthesized, "postgresql_role"))
      expect(role["search_path"]).toEqual(["public", "hr", "old"]);
  });

  test("alters neither a schema nor an owner that exists", () => {
    const stack = newStack();
    const props = { schema: Schema.fromName("public"), owner: Owner.fromName("old_owner") };
    new Database(stack, "Old", { name: "old", ...props }).addRole("Readonly", {
      ...{ name: "readers", privileges: Privileges.READ },
    });
    const { resources, json } = synth(stack);
    const about = [...resources.values()].filter(
      ({ role, name, object_type: type }) =>
        role === "old_owner" || name === "old_owner" || type === "schema",
    );
    // The personas' USAGE on the schema.
    expect(about).toMatchObject([{ object_type: "schema", privileges: ["USAGE"] }]);
    expect(JSON.stringify(json["removed"])).toContain("postgresql_grant.Old_OwnerDatabase");
  });

  test("leaves a database that exists, and PUBLIC what it has; what was made or taken before is forgotten", () => {
    const stack = newStack();
    const props = {
      schema: "public",
      owner: "a",
      creators: ["nightly"],
      furtherSchemas: [{ schema: "b", owner: "a" }],
    };
    const kept = { database: ["CONNECT"], schema: [], functions: [] } as const;
    new Database(stack, "Old", { name: "old", exists: true, public: kept, ...props });
    const { resources, json } = synth(stack);
    expect(find(synth(stack), "postgresql_database")).toEqual([]);
    expect([...resources.values()].filter(({ role }) => role === "public")).toEqual([]);
    const forgotten = (json["removed"] as { from: string }[]).map(({ from }) =>
      from.replace(/_[0-9A-F]{8}$/, ""),
    );
    expect(forgotten).toEqual([
      "postgresql_grant.Old_Schemas_b_PublicFunctions",
      "postgresql_grant.Old_Schemas_b_PublicProcedures",
      "postgresql_database.Old",
      "postgresql_grant.Old_PublicDatabase",
      "postgresql_grant.Old_PublicSchema",
      "postgresql_grant.Old_PublicFunctions",
      "postgresql_grant.Old_PublicProcedures",
      "postgresql_default_privileges.Old_PublicDefaultFunctions",
      "postgresql_default_privileges.Old_Creator-nightly_PublicDefaultFunctions",
    ]);
    expect(Manifest.of(stack).synthesize({ environment: "test" }).databases).toMatchObject([
      { name: "old", exists: true, public: kept },
    ]);
  });

  test("is of one chain", () => {
    expectOneChain(synthesized);
  });

  test("says what there is to the manifest", () => {
    expect(Manifest.of(stack).synthesize({ environment: "test" }).databases).toMatchObject([
      {
        schema: "public",
        owner: "sales_owner",
        schemas: [
          { name: "public", owner: "sales_owner", exists: true },
          { name: "hr", owner: "hr_owner", creators: ["sales_owner", "nightly"] },
          { name: "old", owner: "old_owner", exists: true, public: ["USAGE"], ownerExists: true },
        ],
      },
    ]);
  });
});

describe("AccessRole with privileges by schema and table", () => {
  const grantsOf = (tables: SchemaPrivileges["tables"]) => {
    const { resources } = example((database) => {
      const privileges: Privileges = {
        database: ["CONNECT"],
        schemas: { sales: { schema: ["USAGE"], tables } },
      };
      database.addRole("Clerk", { name: "clerks", privileges });
    });
    return [...resources]
      .filter(([address, { object_type: type }]) => {
        return address.includes("Clerk") && ["table", "column"].includes(String(type));
      })
      .map(([address, attributes]) => {
        const { objects = [], columns = [], privileges } = attributes as Record<string, string[]>;
        const id = address.replace(/^postgresql_(default_)?.*_Clerk_(.*)_[0-9A-F]{8}$/, "$1$2");
        return [id, [...objects, ...columns].join(" "), privileges!.join(" ")];
      })
      .sort();
  };

  test("is granted by table and column, and nothing on later ones", () => {
    expect(
      grantsOf({
        orders: ["SELECT", "INSERT"],
        customers: { SELECT: ["id", "email"], UPDATE: ["email"], DELETE: true },
      }),
    ).toEqual([
      ["Table-customers", "customers", "DELETE"],
      ["Table-customers_SELECT", "customers email id", "SELECT"],
      ["Table-customers_UPDATE", "customers email", "UPDATE"],
      ["Tables", "orders", "INSERT SELECT"],
    ]);
  });

  test("the first grant stands where all tables' stood, and a table's first where the others are below", () => {
    expect(grantsOf({ customers: { SELECT: ["id"], UPDATE: ["id"] }, orders: { SELECT: ["id"] } })).toEqual([
      ["Table-orders", "orders id", "SELECT"],
      ["Tables", "customers id", "SELECT"],
      ["Tables_UPDATE", "customers id", "UPDATE"],
    ]);
    expect(grantsOf(["SELECT"])).toEqual([
      ["Tables", "", "SELECT"],
      ["default_DefaultTables", "", "SELECT"],
    ]);
  });

  test("tables with like names have resources of their own", () => {
    const ids = grantsOf({
      a: ["SELECT"],
      b: { SELECT: ["x"], UPDATE: ["x"] },
      "b-UPDATE": ["SELECT"],
      Default: ["SELECT"],
    });
    expect(ids).toHaveLength(5);
  });

  test("is checked at once", () => {
    expect(() => grantsOf({ 'a"b': ["SELECT"] })).toThrow(/^table \("a\\"b"\) must be/);
    expect(() => grantsOf({ a: { SELECT: ["x y"] } })).toThrow(/^column \("x y"\) must be/);
  });

  test("says what there is to the manifest, on all tables and on named ones", () => {
    const privileges: Privileges = {
      database: ["CONNECT"],
      schemas: { hr: { schema: ["USAGE"], tables: ["SELECT"] }, sales: { tables: { a: { SELECT: ["x"] } } } },
    };
    const none = { sequences: [], functions: [] };
    const sales = {
      ...{ ...none, schema: [], tables: [] },
      namedTables: [{ name: "a", privileges: [], columns: { SELECT: ["x"] } }],
    };
    expect(declaredPrivileges(privileges, [{ name: "sales" }, { name: "hr" }])).toEqual({
      ...{ database: ["CONNECT"], ...sales },
      schemas: [
        { name: "sales", ...sales },
        { name: "hr", ...none, schema: ["USAGE"], tables: ["SELECT"] },
      ],
    });
    expect(declaredPrivileges(Privileges.READ, [{ name: "sales" }])).toEqual(Privileges.READ);
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
      ["procedure", ["EXECUTE"]],
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

  test("ignores memberships, which PostgreSQL 16 and later add with every lease, and what deploy sets", () => {
    expect(login).toMatchObject({
      lifecycle: {
        ignore_changes: [
          ...["roles", "search_path", "create_role"],
          ...["statement_timeout", "idle_in_transaction_session_timeout"],
        ],
      },
    });
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
    expectOneChain(synthesized);
  });
});

describe("LeaseFunctions", () => {
  const readers = { name: "readers", privileges: Privileges.READ };
  const admins = { name: "admins", privileges: Privileges.OWNER, actsAsOwner: true };
  const declare = (build: (database: Database, manager: ManagerLogin) => void) => {
    const stack = newStack();
    const database = new Database(stack, "Shop", { name: "shop", schema: "sales", owner: "sales_owner" });
    const manager = new ManagerLogin(database, "Manager", {
      ...{ database, name: "vault", password },
      ...{ environment: "test", functionsOwner: "postgres" },
    });
    build(database, manager);
    return stack;
  };
  const stack = declare((database, manager) => {
    const member = database.addRole("Readonly", readers);
    manager.manageGroup(database.addRole("Admin", admins), { connectionLimit: 5 });
    manager.manageGroup(member);
    manager.manageLogin(new StaticLogin(database.roles, "Report", { name: "report", member }));
  });
  const synthesized = synth(stack);
  test("a static login that exists is put into the group, and nothing else", () => {
    const { resources, json } = synth(
      declare((database, manager) => {
        const member = database.addRole("Readonly", readers);
        const login = new StaticLogin(database.roles, "Old", { name: "old", member, exists: true });
        manager.manageLogin(login);
      }),
    );
    const about = [...resources.values()].filter(({ role, name }) => role === "old" || name === "old");
    expect(about).toMatchObject([{ role: "old", grant_role: "readers" }]);
    expect(JSON.stringify(json["removed"])).toContain("postgresql_role.Shop_Roles_Old");
  });

  const bodies = (of: Synthesized) =>
    Object.fromEntries(
      find(of, "postgresql_function").map(({ name, body }) => [name as string, body as string]),
    );

  test("Vault's login has neither CREATEROLE nor a membership", () => {
    expect(find(synthesized, "postgresql_role", { name: "vault" })).toMatchObject([{ create_role: false }]);
    expect(find(synthesized, "postgresql_grant_role")).toEqual([]);
  });

  test("five functions that run as their owner, in a schema of the superuser's, which may not take along what others put there", () => {
    const functions = find(synthesized, "postgresql_function");
    expect(functions.map(({ name, arg }) => [name, (arg as Attributes[]).map(({ name }) => name)])).toEqual([
      ["close", ["login"]],
      ["drop", ["login", "group_role"]],
      ["open", ["login", "group_role", "secret", "valid_until"]],
      ["renew", ["login", "valid_until"]],
      ["set_password", ["login", "secret"]],
    ]);
    for (const { security_definer: definer, returns, arg } of functions)
      expect([definer, returns, new Set((arg as Attributes[]).map(({ type }) => type))]).toEqual([
        true,
        "void",
        new Set(["text"]),
      ]);
    expect(find(synthesized, "postgresql_schema", { name: "leasehold" })).toMatchObject([
      { database: "shop", owner: "postgres", drop_cascade: false },
    ]);
  });

  test("Vault's login alone may call them, by name, and look into their schema", () => {
    const grants = [...synthesized.resources]
      .filter(([address]) => address.startsWith("postgresql_grant.Shop_Manager_Functions"))
      .map(([, { role, object_type: type, objects, privileges }]) => [role, type, objects, privileges]);
    const names = ["close", "drop", "open", "renew", "set_password"];
    const vault = expect.stringContaining("postgresql_role.Shop_Manager") as string;
    expect(grants).toEqual([
      [vault, "function", names, ["EXECUTE"]],
      ["public", "function", names, []],
      [vault, "schema", undefined, ["USAGE"]],
    ]);
  });

  test("hold what was added by synth, sorted: group, heir, search path, sessions; and static logins", () => {
    const { open, set_password: setPassword } = bodies(synthesized);
    expect(open).toContain(
      "(VALUES ('admins', 'sales_owner', 'sales', 5), ('readers', 'readers', 'sales', 20))",
    );
    expect(open).toContain("'leasehold test shop'");
    expect(setPassword).toContain("(VALUES ('report'))");
    const otherWayRound = declare((database, manager) => {
      const member = database.addRole("Readonly", readers);
      manager.manageLogin(new StaticLogin(database.roles, "Report", { name: "report", member }));
      manager.manageGroup(member);
      manager.manageGroup(database.addRole("Admin", admins), { connectionLimit: 5 });
    });
    expect(bodies(synth(otherWayRound))).toEqual(bodies(synthesized));
  });

  test("hold a list of nothing where nothing was added", () => {
    const { open, set_password: setPassword } = bodies(synth(declare(() => undefined)));
    expect(open).toContain("(VALUES (NULL::pg_catalog.text, NULL, NULL, NULL))");
    expect(setPassword).toContain("(VALUES (NULL::pg_catalog.text))");
  });

  test.each(Object.entries(bodies(synthesized)))(
    "the body of %s has no placeholder left, and nothing that Terraform or its provider would take apart",
    (_, body) => {
      expect(body).not.toMatch(/:'?(leased|mark|groups|logins)\b|[$%]\{|\$[a-zA-Z]*\$|\blanguage\b/i);
      // PostgreSQL keeps it as it is.
      expect(body).toBe(body.trim());
    },
  );

  test("the manifest has the digest of each body", () => {
    const { databases } = Manifest.of(stack).synthesize({ environment: "test" });
    const count = { open: 4, renew: 2, close: 1, drop: 2, set_password: 2 };
    expect(databases).toMatchObject([
      {
        leases: "functions",
        leaseFunctions: Object.entries(count).map(([name, texts]) => ({
          name,
          arguments: Array.from({ length: texts }, () => "text").join(", "),
          sha256: createHash("sha256").update(bodies(synthesized)[name]!).digest("hex"),
        })),
      },
    ]);
  });

  test("are of the chain of all that writes an ACL", () => {
    expectOneChain(synthesized);
  });

  test("an owner's name is validated at once", () => {
    const stack = newStack();
    const database = new Database(stack, "Shop", { name: "shop", schema: "sales", owner: "sales_owner" });
    const props = { database, name: "vault", password, functionsOwner: "public" };
    expect(() => new ManagerLogin(database, "Manager", props)).toThrow(
      /^owner of the lease functions \("public"\) must be/,
    );
  });
});

function expectOneChain(synthesized: Synthesized): void {
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
}
