import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { TerraformStack, TerraformVariable } from "cdktf";
import { Duration } from "../../constructs/duration";
import { Manifest } from "../../constructs/manifest";
import { Persona } from "../../constructs/persona";
import { AccessRole } from "../../constructs/postgres/access-role";
import { Database, Owner, Schema } from "../../constructs/postgres/database";
import { ManagerLogin } from "../../constructs/postgres/manager-login";
import { Privileges } from "../../constructs/postgres/privileges";
import { PostgresServer } from "../../constructs/postgres/server";
import { Secret } from "../../constructs/secret";
import { AppRole } from "../../constructs/vault/app-role";
import { AppRoleAuth } from "../../constructs/vault/app-role-auth";
import { DatabaseConnection } from "../../constructs/vault/database-connection";
import { DatabaseMount } from "../../constructs/vault/database-mount";
import { LeaseStatements } from "../../constructs/vault/lease-statements";
import { Policy } from "../../constructs/vault/policy";
import { VaultServer } from "../../constructs/vault/server";
import { ServerAddress } from "../../constructs/vault/server-address";
import { accessManifestSchema } from "../../manifest/schema";
import { unless } from "../support/skip";
import { find, synth, testApp, type Synthesized } from "../support/synth";

const password = Secret.fromVariable("manager_password", {
  for: "manager-password",
  description: "Vault's own password",
});

/** A whole app: PostgreSQL's side and Vault's in one stack, and no config. */
function shop(functionsOwner?: string): TerraformStack {
  const stack = new TerraformStack(testApp(), "shop");
  const server = new PostgresServer(stack, "Postgres", {
    name: "postgres",
    superuser: "postgres",
    database: "shop",
  });
  new VaultServer(stack, "Vault");
  const database = new Database(stack, "Shop", {
    server,
    name: "shop",
    schema: "sales",
    owner: "sales_owner",
  });
  const manager = new ManagerLogin(stack, "Manager", { database, name: "vault", password, functionsOwner });
  const connection = new DatabaseConnection(stack, "Connection", {
    mount: new DatabaseMount(stack, "Mount", { path: "database" }),
    name: "shop",
    address: ServerAddress.fromVariables(stack, { server: "postgres" }),
    manager,
  });
  const auth = new AppRoleAuth(stack, "Auth", { path: "approle" });

  new Persona(stack, "admin", {
    connection,
    login: auth.addAppRole("Admin", { name: "shop-admin" }),
    groupRole: "shop_admin",
    privileges: Privileges.OWNER,
    actsAsOwner: true,
  });
  new Persona(stack, "readonly", {
    connection,
    login: auth.addAppRole("Readonly", { name: "shop-readonly", tokenTtl: Duration.minutes(20) }),
    groupRole: "shop_readonly",
    privileges: Privileges.READ,
    defaultTtl: Duration.minutes(30),
  }).addStaticRole("Report", { name: "report", login: "shop_report", rotationPeriod: Duration.hours(24) });
  return stack;
}

/** The same, where all but the persona exists already, and Terraform alone knows some values. */
function existing(functionsOwner?: string): TerraformStack {
  const stack = new TerraformStack(testApp(), "existing");
  new PostgresServer(stack, "Postgres", { name: "postgres", superuser: "postgres", database: "shop" });
  new VaultServer(stack, "Vault");
  const text = (name: string) => new TerraformVariable(stack, name, { type: "string" }).stringValue;
  const number = (name: string) => new TerraformVariable(stack, name, { type: "number" }).numberValue;
  const database = Database.fromNames(stack, "Shop", {
    name: text("database"),
    schema: text("schema"),
    owner: text("owner"),
  });
  const manager = ManagerLogin.fromName(stack, "Manager", {
    database,
    name: "vault",
    password,
    functionsOwner,
  });
  const connection = new DatabaseConnection(stack, "Connection", {
    mount: DatabaseMount.fromPath(stack, "Mount", text("mount")),
    name: "shop",
    address: { host: "db.internal", port: "5432" },
    manager,
  });
  const member = AccessRole.fromName({ database, name: "shop_readonly", privileges: Privileges.READ });
  manager.functions?.addGroup(member);
  const role = connection.addRole("Readonly", {
    member,
    statements: LeaseStatements.of(member, manager),
    defaultTtl: Duration.seconds(number("ttl")),
    maxTtl: Duration.hours(number("hours")),
  });
  role.grantRead(
    new AppRole(stack, "App", {
      auth: AppRoleAuth.fromPath(stack, "Auth", text("auth")),
      name: "shop-readonly",
      policies: [Policy.fromName("audit")],
      tokenMaxTtl: Duration.minutes(number("minutes")),
    }),
  );
  new Database(stack, "Other", {
    name: "shop",
    schema: Schema.fromName("archive"),
    owner: Owner.fromName("archive_owner"),
  });
  return stack;
}

/** The resources that are there before one. */
function before({ resources }: Synthesized, address: string): string[] {
  const direct = (resources.get(address)?.["depends_on"] ?? []) as string[];
  return [...direct, ...direct.flatMap((each) => before({ resources } as Synthesized, each))];
}

describe("both sides in one stack", () => {
  const stack = shop();
  const synthesized = synth(stack);
  const first = (start: string) => [...synthesized.resources.keys()].find((each) => each.startsWith(start))!;
  const waits = (one: string, other: string) => {
    expect(before(synthesized, first(one))).toContain(first(other));
  };

  test("Vault's connection waits for its login, and for what lets it connect", () => {
    const connection = "vault_database_secret_backend_connection.Connection";
    waits(connection, "postgresql_grant_role.Manager_Owner");
    waits(connection, "postgresql_grant.Manager_Database");
  });

  test("what can be leased or rotated waits for Vault's login to administer the role", () => {
    waits(
      "vault_database_secret_backend_role.Connection_Roles_admin",
      "postgresql_grant_role.Manager_Members_admin",
    );
    waits("vault_database_secret_backend_static_role.", "postgresql_grant_role.Manager_Members_Report");
  });

  test("through functions it waits for these, and for what lets Vault's login call them", () => {
    const through = synth(shop("postgres"));
    const waitsFor = before(
      through,
      [...through.resources.keys()].find((address) =>
        address.startsWith("vault_database_secret_backend_role.Connection_Roles_admin"),
      )!,
    ).join();
    for (const part of ["function.Manager_Functions_open", "grant.Manager_Functions_Usage"])
      expect(waitsFor).toContain(`postgresql_${part}`);
  });

  test("a variable that both sides have is one", () => {
    expect(Object.keys(synthesized.json["variable"] as object)).toContain("manager_password");
    expect(find(synthesized, "postgresql_role", { name: "vault" })).toMatchObject([
      { password_wo: "${var.manager_password}" },
    ]);
    expect(find(synthesized, "vault_database_secret_backend_connection")).toMatchObject([
      { postgresql: { password_wo: "${var.manager_password}" } },
    ]);
  });

  test("a persona whose logins may have no session is refused", () => {
    const { node } = shop();
    const connection = node.findAll().find((each) => each instanceof DatabaseConnection)!;
    const auth = node.findAll().find((each) => each instanceof AppRoleAuth)!;
    const login = auth.addAppRole("None", { name: "shop-none" });
    const none = { connection, login, groupRole: "shop_none", privileges: Privileges.READ };
    expect(() => new Persona(connection, "none", { ...none, connectionLimit: 0 })).toThrow(
      "connection limit (0) must be a positive whole number",
    );
  });

  test("what they declare is an access manifest", () => {
    const manifest = Manifest.of(stack).synthesize({ environment: "shop" });
    const { databases, inputs } = accessManifestSchema.parse(manifest);
    expect(databases).toMatchObject([
      {
        name: "shop",
        schemas: [{ name: "sales", owner: "sales_owner" }],
        manager: "vault",
        managerPasswordVariable: "manager_password",
        vault: { mount: "database", connection: "shop" },
        personas: [
          { name: "admin", actsAsOwner: true },
          {
            name: "readonly",
            login: {
              kind: "approle",
              authMount: "approle",
              name: "shop-readonly",
              policies: ["shop-readonly"],
            },
            databaseRole: { name: "shop_readonly", defaultTtl: 1800, maxTtl: 86_400 },
          },
        ],
        staticRoles: [{ name: "report", login: "shop_report", persona: "readonly" }],
      },
    ]);
    const [{ policy }] = find(synthesized, "vault_policy", { name: "shop-readonly" }) as [{ policy: string }];
    expect(databases[0]!.personas[1]!.policies).toEqual([{ name: "shop-readonly", text: policy }]);
    expect(inputs.map(({ variable }) => variable).sort()).toEqual(
      Object.keys(synthesized.json["variable"] as object),
    );
  });
});

const PROVIDERS = ["hashicorp/vault", "cyrilgdn/postgresql"].map((name) =>
  join(homedir(), ".terraform.d/plugins/registry.terraform.io", name),
);

function missing(): string | false {
  try {
    execFileSync("terraform", ["version"], { stdio: "ignore" });
  } catch {
    return "there is no Terraform on PATH";
  }
  return (
    !PROVIDERS.every((folder) => existsSync(folder)) && "the providers are not in ~/.terraform.d/plugins"
  );
}

test("two constructs that say different things of one database are refused, and none is lost", () => {
  const stack = new TerraformStack(testApp(), "twice");
  const manifest = Manifest.of(stack);
  for (const schema of ["sales", "hr"]) manifest.addToDatabase(stack, "app", () => ({ schema }));
  expect(() =>
    manifest.synthesize({
      environment: "twice",
      vault: { shares: 1, threshold: 1, tls: false },
      policies: undefined,
      accepted: [],
    }),
  ).toThrow('schema of a database ("hr") must be declared once, it is "sales" already');
});

const terraform = unless(missing());

terraform.test.each([
  ["both sides in one stack", shop],
  ["both sides in one stack, through functions", () => shop("postgres")],
  ["what exists already", existing],
  ["what exists already, through functions", () => existing("postgres")],
])(`Terraform takes %s${terraform.because}`, (_, build) => {
  const folder = mkdtempSync(join(tmpdir(), "leasehold-validate-"));
  try {
    writeFileSync(join(folder, "cdk.tf.json"), synth(build()).text);
    const run = (...args: string[]) =>
      execFileSync("terraform", args, {
        cwd: folder,
        encoding: "utf8",
        env: { ...process.env, CHECKPOINT_DISABLE: "1", TF_INPUT: "0" },
        stdio: ["ignore", "pipe", "pipe"],
      });
    run("init", "-no-color");
    expect(JSON.parse(run("validate", "-json"))).toMatchObject({ valid: true, diagnostics: [] });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
