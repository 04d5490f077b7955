import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Client, type DatabaseError } from "pg";
import external from "../../config/external";
import type { EnvironmentInput } from "../../config/schema/schema";
import { generateRootToken } from "../../ops/vault/root-token";
import { PostgresServer } from "../../sandbox/postgres-server";
import { Workspace } from "../../sandbox/workspace";
import { VaultClient } from "../../clients/vault-client";
import { KeptVault } from "../support/kept-vault";
import { messages } from "../support/program";
import { leaseAgainAndAgain } from "./application";
import { Checkout } from "./checkout";
import { inVault } from "./in-vault";
import { poll } from "./poll";
import { run, type Ended } from "./terraform";

/**
 * Init, deploy, rotation and destroy by the command line, with the real Terraform and providers, on servers that exist already.
 * The tests are its steps, in order.
 */
const PASSWORD = "the-superuser's";
let workspace: Workspace;
let checkout: Checkout;
let postgres: PostgresServer;
let vault: KeptVault;
/** A login that Vault leased and no longer knows. */
let forgotten: string;
/** Given to a destroy by force alone. */
let rootToken: string | undefined;
/** All that the commands have said. */
let said = "";

beforeAll(async () => {
  workspace = await Workspace.create();
  postgres = await PostgresServer.start(workspace, {
    superuser: "postgres",
    password: PASSWORD,
    database: "app",
  });
  vault = await KeptVault.start(workspace);
  checkout = new Checkout("rotation");
}, 60_000);

afterAll(async () => {
  await vault.stop();
  await postgres.stop();
  checkout.remove();
  workspace.remove();
});

async function leasehold(...args: string[]): Promise<Ended> {
  const { host, port } = postgres;
  const ended = await run(process.execPath, ["--import", "tsx", "cli.ts", ...args], {
    cwd: checkout.folder,
    env: checkout.env({
      NO_COLOR: "1",
      TF_VAR_postgres_host: host,
      TF_VAR_postgres_port: String(port),
      TF_VAR_postgres_superuser_password: PASSWORD,
      TF_VAR_vault_address: vault.address,
      TF_VAR_vault_postgres_host: host,
      TF_VAR_vault_postgres_port: String(port),
      VAULT_ADDR: vault.address,
      // Of verify alone: the other commands take what the home folder has.
      ...(args[0] === "verify" && { VAULT_TOKEN: secret("verifier-token") }),
      ...((args[0] === "init" || args.includes("--force-leases")) && { VAULT_TOKEN: rootToken }),
      PGHOST: host,
      PGPORT: String(port),
    }),
  });
  said += ended.output;
  return ended;
}

const secret = (name: string) =>
  readFileSync(join(checkout.home, "leasehold", checkout.environment, name), "utf8");

/** The manager's password version, whether it is rotated, and databases beside the first. */
function configure(
  passwordVersion: number,
  rotateRoot: boolean,
  ...more: EnvironmentInput["databases"]
): void {
  const [server] = external.servers;
  const [database] = external.databases;
  checkout.configure({
    ...external,
    servers: [{ ...server!, tls: false }],
    vault: { ...external.vault, tls: false },
    databases: [
      {
        ...database!,
        manager: { name: "vault", passwordVersion, rotateRoot },
        workload: { kind: "users", admin: "admin", writer: "service", reader: "report", table: "users" },
      },
      ...more,
    ],
  });
}

/** SQLSTATE of a login with the password that the stacks give, where it is refused. */
async function managerLogin(): Promise<string> {
  const { host, port } = postgres;
  const client = new Client({
    ...{ host, port, database: "app", user: "vault", ssl: false },
    password: secret("vault_manager_password"),
  });
  client.on("error", () => undefined);
  try {
    await client.connect();
    return "logged in";
  } catch (error) {
    return (error as DatabaseError).code!;
  } finally {
    await client.end();
  }
}

const vaultAs = (token?: string) => new VaultClient(vault.address, token);

const lease = () => vaultAs(secret("verifier-token")).request("GET", "database/creds/verify-owner");

async function superuser<T>(work: (client: Client) => Promise<T>, database = "app"): Promise<T> {
  const { host, port } = postgres;
  const client = new Client({
    ...{ host, port, database, user: "postgres", password: PASSWORD, ssl: false },
  });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function roles(): Promise<string[]> {
  const { rows } = await superuser((client) =>
    client.query<{ rolname: string }>(
      "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY rolname",
    ),
  );
  return rows.map(({ rolname }) => rolname);
}

const leased = async () => (await roles()).filter((name) => name.startsWith("v-")).length;

/** Vault's own. As long as it has a session, it does not notice, and a rotation would help. */
function loseThePassword(): Promise<unknown> {
  return superuser((client) =>
    client.query(
      `ALTER ROLE vault PASSWORD 'nobody knows';
       SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'vault'`,
    ),
  );
}

async function nothingToDo(): Promise<void> {
  const deployed = await leasehold("deploy", "--auto-approve");
  expect(deployed).toEqual({ code: 0, output: expect.stringContaining("Nothing to do") as string });
  expect(await leasehold("diff")).toMatchObject({ code: 0 });
}

test("deploy before init: one line says what to run", async () => {
  configure(1, true);
  const { code, output } = await leasehold("deploy", "--auto-approve");
  expect({ code, output }).toEqual({
    code: 2,
    output: expect.stringContaining("is not initialised: run npx leasehold init") as string,
  });
});

test("init, then the first deploy as the operator, which rotates", async () => {
  expect(await leasehold("init")).toMatchObject({ code: 0 });
  const { code, output } = await leasehold("deploy", "--auto-approve");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(output).toContain("Rotated the password of database/app");
  expect(await managerLogin()).toBe("28P01");
  expect((await lease()).status).toBe(200);
});

test("deploy, diff and verification hold after it, with leases alive", async () => {
  await nothingToDo();
  expect(await leasehold("verify", "--manifest", "cdktf.out/access.json")).toMatchObject({ code: 0 });
  expect((await lease()).status).toBe(200);
});

test("rotate rotates again, and the same holds", async () => {
  expect(await leasehold("rotate")).toEqual({
    code: 0,
    output: "rotated database/app: Vault alone knows its password\n",
  });
  expect(await leasehold("rotate", "--database", "app")).toMatchObject({ code: 0 });
  expect(await leasehold("rotate", "--database", "other")).toEqual({
    code: 2,
    output: '--database: received "other", allowed: one of app\n',
  });
  expect((await lease()).status).toBe(200);
  await nothingToDo();
});

test("a lost password: a lease and a rotation fail, each with one line", async () => {
  await loseThePassword();
  expect((await lease()).status).toBe(500);
  const { code, output } = await leasehold("rotate");
  expect(code).toBe(2);
  expect(output).toMatch(/^POST database\/rotate-root\/app: HTTP 500: .*28P01.*\n$/);
});

test("one config value sets it anew, in PostgreSQL and in Vault, and deploy rotates it again", async () => {
  configure(2, true);
  expect(await leasehold("diff")).toMatchObject({ code: 2 });
  const { code, output } = await leasehold("deploy", "--auto-approve");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(output).toContain("Deployed the stack postgres: nothing to do");
  expect(output).toContain("Deployed the stack vault: 0 added, 1 changed, 0 removed");
  expect(output).toContain("Rotated the password of database/app");
  expect(await managerLogin()).toBe("28P01");
  expect((await lease()).status).toBe(200);
  await nothingToDo();
});

test("without rotateRoot the password stays the one of the stacks, until rotate", async () => {
  configure(3, false);
  expect(await leasehold("deploy", "--auto-approve")).toMatchObject({ code: 0 });
  expect(await managerLogin()).toBe("logged in");
  expect((await lease()).status).toBe(200);
  expect(await leasehold("rotate")).toMatchObject({ code: 0 });
  expect(await managerLogin()).toBe("28P01");
  expect((await lease()).status).toBe(200);
  await nothingToDo();
});

/** Init's, and not the operator's to remove. */
const TRUST_POLICIES = ["deliverer", "operator", "planner", "verifier"].map(
  (who) => `leasehold-rotation-${who}`,
);

const MORE: EnvironmentInput["databases"][number] = {
  name: "more",
  schema: "more",
  owner: "more_owner",
  manager: { name: "vault_more", passwordVersion: 1 },
  vault: { mount: "more", connection: "more" },
  personas: [
    { ...external.databases[0]!.personas[0]!, name: "more", groupRole: "more_admin", appRole: "app-more" },
  ],
};

test("a mount that is new to the config wants another operator's policy: init writes it, then deploy may", async () => {
  configure(3, false, MORE);
  const { code, output } = await leasehold("deploy", "--auto-approve");
  expect({ code, output }).toEqual({
    code: 2,
    output: expect.stringMatching(
      /the operator's policy at \S+ is no longer what the config declares: run npx leasehold init/,
    ) as string,
  });
  expect(await leasehold("init")).toEqual({
    code: 0,
    output: expect.stringMatching(
      /^wrote the policies leasehold-rotation-operator, .*\nthe root token is revoked\n$/,
    ) as string,
  });
  const again = await leasehold("deploy", "--auto-approve");
  expect({ code: again.code, output: again.code === 0 ? "" : again.output }).toEqual({ code: 0, output: "" });
  await nothingToDo();
});

test("a database that is taken out of the config while it is deployed: nothing is dropped", async () => {
  configure(3, false);
  for (const command of [
    ["deploy", "--auto-approve"],
    ["destroy", "--auto-approve"],
  ]) {
    const { code, output } = await leasehold(...command);
    expect({
      command,
      code,
      lines: output.split("\n").filter((line) => line.startsWith("config/")),
    }).toEqual({
      command,
      code: 2,
      lines: [
        expect.stringMatching(
          /^config\/\S+ no longer declares the database more, which Terraform would drop with its data: put it back, or run/,
        ),
        expect.stringMatching(
          /^config\/\S+ no longer declares the mount more, which Terraform would remove with its leases: put it back/,
        ),
      ],
    });
  }
  configure(3, false, MORE);
  await nothingToDo();
});

test("a Vault that was started again without its storage has lost the rotated password: deploy sets it anew", async () => {
  forgotten = String((await lease()).body.data!["username"]);
  await vault.restart();
  expect(await leasehold("init")).toMatchObject({ code: 0 });
  const { code, output } = await leasehold("deploy", "--auto-approve");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  for (const login of ["vault", "vault_more"])
    expect(output).toContain(`set the password of ${login} in PostgreSQL`);
  expect((await lease()).status).toBe(200);
  await nothingToDo();
});

test("no secret was said, and none stands in a file outside the home folder", () => {
  const home = join(checkout.home, "leasehold", checkout.environment);
  const secrets = [
    PASSWORD,
    ...readdirSync(home)
      .filter((name) => !name.endsWith(".json"))
      .map((name) => secret(name)),
  ];
  expect(secrets).toHaveLength(9);
  expect(secrets.filter((text) => said.includes(text))).toEqual([]);
  const files = readdirSync(checkout.folder, { recursive: true, encoding: "utf8" })
    .filter((name) => !/^(home|node_modules|config)(\/|$)|\.terraform\//.test(name))
    .map((name) => checkout.path(name))
    .filter((file) => statSync(file).isFile());
  expect(files.some((file) => file.endsWith(".tfstate"))).toBe(true);
  const hits = files.filter((file) => secrets.some((text) => readFileSync(file, "utf8").includes(text)));
  expect(hits).toEqual([]);
});

test("destroy where PostgreSQL refuses Vault's login: a line says so, and another who may force it", async () => {
  expect((await lease()).status).toBe(200);
  await loseThePassword();
  const destroyed = async (...more: string[]) => {
    const { code, output } = await leasehold("destroy", "--auto-approve", ...more);
    return { code, lines: messages(output) };
  };
  expect(await destroyed()).toEqual({
    code: 2,
    lines: [
      expect.stringMatching(
        /^the leases of database\/creds can't be revoked \(HTTP 400: .*28P01.*\): make PostgreSQL drop their logins, or/,
      ),
    ],
  });
  expect(await destroyed("--force-leases")).toEqual({
    code: 2,
    lines: [
      expect.stringMatching(
        /^the operator is not allowed to force the revocation of the leases of database\/creds \(HTTP 403: .*\): set VAULT_TOKEN to a token that is/,
      ),
    ],
  });
  expect(await leased()).not.toBe(0);
});

test("destroy by force leaves no login, but the users' data, and says so, and deploy takes them back", async () => {
  const operator = vaultAs(secret("operator-token"));
  rootToken = await generateRootToken(vaultAs(), operator, secret("unseal-keys").split("\n"));
  // An owner may make schemas beside the declared one.
  for (const database of ["app", "more"]) {
    await superuser(
      (client) =>
        client.query(
          `SET ROLE ${database}_owner; CREATE SCHEMA beside CREATE TABLE kept (id int);
           GRANT USAGE ON SCHEMA beside TO ${database}_admin; GRANT SELECT ON beside.kept TO ${database}_admin`,
        ),
      database,
    );
  }
  // Elsewhere on the server: what a group made goes to the owner, but where nobody may connect.
  await superuser(
    (client) => client.query("CREATE TABLE elsewhere (); ALTER TABLE elsewhere OWNER TO app_admin"),
    "postgres",
  );
  await superuser((client) => client.query("CREATE DATABASE closed"));
  await superuser((client) => client.query("CREATE TABLE t (); ALTER TABLE t OWNER TO app_admin"), "closed");
  await superuser((client) => client.query("ALTER DATABASE closed ALLOW_CONNECTIONS false"));
  const stopped = await leasehold("destroy", "--auto-approve", "--force-leases");
  expect(stopped).toEqual({
    code: 1,
    output: expect.stringMatching(/^could not delete role app_admin: .* cannot be dropped/m) as string,
  });
  expect(await leased()).toBe(0);
  expect(await inVault(vaultAs(rootToken))).toEqual(TRUST_POLICIES);
  await superuser((client) => client.query("DROP DATABASE closed"));
  const { code, output } = await leasehold("destroy", "--auto-approve");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(output).not.toContain("not on record");
  expect(output).toMatch(/left: the schema app of the database app with its contents \(\d objects\)/);
  expect(output).toContain("left: the database more");
  for (const [database, count] of [
    ["app", 3],
    ["more", 2],
  ] as const)
    expect(output).toContain(
      `left: ${String(count)} objects of ${database}_owner outside the schema ${database} of the database ${database}, and ${database}_owner`,
    );
  expect(stopped.output).toContain(`dropped the login ${forgotten}, which Vault no longer knows`);
  // Destroy has ended the tokens.
  expect(await leasehold("init")).toMatchObject({ code: 0 });
  const deployed = await leasehold("deploy", "--auto-approve");
  expect(deployed).toMatchObject({ code: 0 });
  for (const what of ["role app_owner", "role more_owner", "database more"])
    expect(deployed.output).toContain(`taking back the ${what}, which an earlier destroy left`);
  const users = await superuser((client) => client.query("SELECT FROM app.users"));
  expect(users.rowCount).toBe(3);
});

test("destroy as the operator, with applications that lease anew at once, leaves no role but the owner of what is not declared", async () => {
  await superuser(
    (client) =>
      client.query(
        "DROP SCHEMA beside CASCADE; ALTER DEFAULT PRIVILEGES FOR ROLE more_owner GRANT SELECT ON TABLES TO pg_monitor",
      ),
    "more",
  );
  const stop = new AbortController();
  const { host, port } = postgres;
  const server = { host, port, database: "app", ssl: false };
  // Destroy takes the token's file away.
  const verifier = vaultAs(secret("verifier-token"));
  const again = () => verifier.request("GET", "database/creds/verify-owner");
  const applications = [1, 2, 3].map(() => leaseAgainAndAgain(again, server, stop.signal));
  await poll(async () => {
    expect(await leased()).toBeGreaterThanOrEqual(applications.length);
  });
  expect(await inVault(vaultAs(rootToken))).toEqual(
    expect.arrayContaining(["leases of database/", "database/", "approle/", "leasehold-rotation-verifier"]),
  );
  const { code, output } = await leasehold("destroy", "--auto-approve");
  stop.abort();
  await Promise.all(applications);
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(await roles()).toEqual(["app_owner", "postgres"]);
  expect(await inVault(vaultAs(rootToken))).toEqual(TRUST_POLICIES);
  expect(output).toMatch(
    /^left: 3 objects of app_owner outside the schema app of the database app, and app_owner$/m,
  );
  expect(output).toMatch(/^left: the schema app of the database app with its contents/m);
  expect(output).toMatch(/^left: the database more$/m);
  expect(output).toMatch(/^left: the policies leasehold-rotation-operator, leasehold-rotation-planner, /m);
  expect(output).toMatch(
    /^left: the folder .* with unseal-keys, unseal-keys.previous, vault_manager_password, /m,
  );
  expect(output.match(/^left: /gm)).toHaveLength(5);
});

test("destroy --delete-data after it takes what it left, but for what is not declared", async () => {
  const { code, output } = await leasehold("destroy", "--auto-approve", "--delete-data");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(await roles()).toEqual(["app_owner", "postgres"]);
  expect(output.match(/^left: .*/gm)).toEqual([
    "left: 3 objects of app_owner outside the schema app of the database app, and app_owner",
    expect.stringMatching(/^left: the policies /),
    expect.stringMatching(/^left: the folder /),
  ]);
  const kept = await superuser((client) =>
    client.query(
      `SELECT tableowner, to_regnamespace('app') AS app, (SELECT count(*)::int FROM pg_database WHERE datname = 'more') AS more
       FROM pg_tables WHERE schemaname = 'beside'`,
    ),
  );
  expect(kept.rows).toEqual([{ tableowner: "app_owner", app: null, more: 0 }]);
});
