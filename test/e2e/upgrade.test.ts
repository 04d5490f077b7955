import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client, type ClientConfig } from "pg";
import type { EnvironmentInput } from "../../config/schema/schema";
import { untilActive } from "../../clients/vault-seal";
import { createTrustToken } from "../../clients/vault-token";
import { readAccessManifest, type ManifestDatabase } from "../../manifest/schema";
import type { VaultClient } from "../../clients/vault-client";
import { named, plant, SPRUNG } from "../support/traps";
import { answering } from "../support/kept-vault";
import { messages } from "../support/program";
import { release } from "../upgrade/release";
import type { Checkout } from "./checkout";
import { Estate } from "./estate";
import { inVault } from "./in-vault";
import { inDocker } from "./needs";
import { OwnServers } from "./own-servers";
import type { Ended } from "./terraform";

/**
 * What 0.1.0 deployed is brought to today's state by `init` and `deploy`, with the real Terraform and providers, while its
 * leases are alive. The tests are its steps, in order.
 */
const HOLDERS = ["operator", "planner", "deliverer", "verifier"] as const;
/** Before it writes anything, a deploy wants init to have been run. */
const INIT_FIRST =
  /^the operator's policy at \S+ is no longer what the config declares: run npx leasehold init/;

/** As 0.1.0 left it. */
interface Site {
  readonly checkout: Checkout;
  readonly root: VaultClient;
  /** Of PostgreSQL, where it is a file. */
  readonly logFile?: string;
  leasehold(...args: string[]): Promise<Ended>;
  /** As the superuser: the values of the rows, one after the other. */
  query(sql: string): Promise<unknown[]>;
  login(user: string, password: string): ClientConfig;
  /** What a destroy has left, but for init's policies. */
  left(): Promise<unknown[]>;
  stop(): Promise<void>;
}

interface Leased {
  readonly id: string;
  readonly login: string;
  readonly client: Client;
}

async function holds(command: Promise<Ended>, expected = 0): Promise<string> {
  const { code, output } = await command;
  expect({ code, output: code === expected ? "" : output }).toEqual({ code: expected, output: "" });
  return output;
}

/** Leaves a file in the home folder. Returns its path. */
function keep({ home, environment }: Checkout, name: string, text: string, mode = 0o600): string {
  const folder = join(home, "leasehold", environment);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, name), text, { mode });
  return join(folder, name);
}

/** What PUBLIC had before the first deploy. */
function keepPublic(checkout: Checkout, database: string): void {
  const had = { [`postgres/${database}`]: { database: ["CONNECT", "TEMPORARY"], functions: [] } };
  keep(checkout, "public-privileges.json", JSON.stringify(had));
}

function apply(
  { shell }: { shell: (command: string) => Promise<Ended> },
  stack: string,
  variables: Record<string, string>,
): Promise<string> {
  const exports = Object.entries({ ...variables, TF_INPUT: "0" }).map(
    ([name, value]) => `${name}='${value}'`,
  );
  const terraform = "terraform init -no-color; terraform apply -no-color -auto-approve";
  return holds(shell(`set -e; export ${exports.join(" ")}; cd cdktf.out/stacks/${stack}; ${terraform}`));
}

async function external(change: (draft: EnvironmentInput) => void = () => undefined): Promise<Site> {
  const own = await OwnServers.start({ synthesized: release("external") });
  const { checkout, deployment } = own;
  own.configure(change);
  const { tokens } = deployment.sandbox.initialised;
  cpSync(release("external"), checkout.path("cdktf.out"), { recursive: true });
  for (const who of HOLDERS) keep(checkout, `${who}-token`, tokens[who]);
  keepPublic(checkout, "app");
  const shell = (command: string) => own.shell(command);
  for (const stack of ["postgres", "vault"]) await apply({ shell }, stack, { VAULT_TOKEN: tokens.operator });
  const { host, port, database, ssl } = deployment.sandbox.postgres;
  return {
    checkout,
    root: deployment.root,
    logFile: deployment.sandbox.postgres.logFile,
    leasehold: (...args) => own.leasehold(...args),
    query: (sql) => own.query(sql),
    login: (user, password) => ({ host, port, database, ssl, user, password }),
    left: async () => [
      ...(await own.query(
        "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> 'postgres'",
      )),
      ...(await inVault(deployment.root)).filter((name) => !name.startsWith("leasehold-external-")),
    ],
    stop: () => own.stop(),
  };
}

async function local(): Promise<Site> {
  const estate = await Estate.open("local", { storage: "memory" });
  const { checkout } = estate;
  cpSync(release("local"), checkout.path("cdktf.out"), { recursive: true });
  const variables = {
    TF_VAR_postgres_superuser_password: "as-0.1.0-made-it",
    TF_VAR_vault_manager_password: "as-0.1.0-made-it-too",
  };
  for (const [name, password] of Object.entries(variables))
    keep(checkout, name.replace("TF_VAR_", ""), password);
  const file = keep(checkout, "postgres-password", variables.TF_VAR_postgres_superuser_password, 0o444);
  keepPublic(checkout, "nanvc");
  const shell = (command: string) => estate.shell(command);
  await apply({ shell }, "platform", { ...variables, TF_VAR_postgres_password_file: file });

  const vault = estate.vault();
  await answering(vault.address);
  const made = (await vault.call("PUT", "sys/init", { secret_shares: 1, secret_threshold: 1 })) as {
    keys_base64: string[];
    root_token: string;
  };
  const [key] = made.keys_base64 as [string];
  keep(checkout, "unseal-keys", key);
  await vault.call("PUT", "sys/unseal", { key });
  await untilActive(vault);
  const root = vault.withToken(made.root_token);
  const policy = readFileSync(join(release("local"), "operator.hcl"), "utf8");
  await root.call("PUT", "sys/policies/acl/leasehold-local-operator", { policy });
  const tokens = new Map<string, string>();
  for (const who of HOLDERS) tokens.set(who, await createTrustToken(root, who, `leasehold-local-${who}`));
  for (const [who, token] of tokens) keep(checkout, `${who}-token`, token);
  for (const stack of ["postgres", "vault"])
    await apply({ shell }, stack, { ...variables, VAULT_TOKEN: tokens.get("operator")! });
  return {
    checkout,
    root,
    leasehold: (...args) => estate.leasehold(...args),
    query: async (sql) => (await estate.query<object>(sql)).flatMap((row) => Object.values(row) as unknown[]),
    login: (user, password) => ({
      ...{ host: "127.0.0.1", port: Number(estate.variables["TF_VAR_postgres_port"]), database: "nanvc" },
      ...{ user, password },
    }),
    left: async () =>
      (
        await Promise.all((["container", "network", "volume"] as const).map((kind) => estate.things(kind)))
      ).flat(),
    stop: () => estate.remove(),
  };
}

async function lease(site: Site, role: string): Promise<Leased> {
  const { lease_id: id, data } = await site.root.call("GET", `database/creds/${role}`);
  const { username: login, password } = data as { username: string; password: string };
  const client = new Client(site.login(login, password));
  client.on("error", () => undefined);
  await client.connect();
  return { id: id!, login, client };
}

/** Its own row of pg_authid, in a transaction that stays open. */
async function holdRow({ client }: Leased): Promise<void> {
  await client.query("SET ROLE NONE; BEGIN");
  await client.query("ALTER ROLE CURRENT_USER PASSWORD 'kept'");
}

function logins(site: Site): Promise<unknown[]> {
  return site.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%' ORDER BY 1");
}

describe("on servers that exist already", () => {
  upgrades("external", external);
});

test("leases of 0.1.0 that outlive their database role end, whatever they hold open and have planted: a persona's that the config has lost, and all at destroy", async () => {
  const site = await external(({ databases: [database] }) => {
    database!.personas.pop();
    delete database!.workload;
  });
  const [admin, report] = [await lease(site, "app_admin"), await lease(site, "app_report")];
  await admin.client.query("SET search_path = pg_catalog");
  await plant(admin.client, "app", await named(admin.client, ["array_agg()"]), ["=", "<>", ">", "+"]);
  await holdRow(report);
  for (const args of [["init"], ["deploy", "--auto-approve"]]) await holds(site.leasehold(...args));
  expect(await logins(site)).toEqual([admin.login]);
  await holdRow(admin);
  await holds(site.leasehold("destroy", "--auto-approve"));
  expect(await logins(site)).toEqual([]);
  expect(readFileSync(site.logFile!, "utf8")).not.toContain(SPRUNG);
  await site.stop();
});

inDocker.describe(`in Docker${inDocker.because}`, () => {
  upgrades("local", local);
});

function upgrades(environment: string, deployed: () => Promise<Site>): void {
  const [database] = readAccessManifest(release(environment)).databases as [ManifestDatabase];
  /** Policies that a stack of 0.1.0 wrote, and init writes now. */
  const trust = HOLDERS.filter((who) => who !== "operator").map((who) => `leasehold-${environment}-${who}`);
  let site: Site;
  let leases: Leased[];

  beforeAll(async () => {
    site = await deployed();
    leases = await Promise.all(database.personas.map(({ databaseRole }) => lease(site, databaseRole.name)));
  }, 900_000);

  afterAll(() => site.stop());

  const policiesInState = () => {
    const state = site.checkout.path(`terraform.${environment}.vault.tfstate`);
    const { resources } = JSON.parse(readFileSync(state, "utf8")) as {
      resources: { type: string; instances: { attributes: { name: string } }[] }[];
    };
    return resources
      .filter(({ type }) => type === "vault_policy")
      .flatMap(({ instances }) => instances.map(({ attributes }) => attributes.name));
  };

  test("deploy before init: one line, exit code 2, nothing changed", async () => {
    const { code, output } = await site.leasehold("deploy", "--auto-approve");
    expect({ code, lines: messages(output) }).toEqual({
      code: 2,
      lines: [expect.stringMatching(INIT_FIRST)],
    });
    expect(policiesInState()).toEqual(expect.arrayContaining(trust));
    expect(await logins(site)).toEqual(leases.map(({ login }) => login).sort());
  });

  test("init writes the policies of the trust model", async () => {
    await holds(site.leasehold("init"));
  });

  test("the plan destroys nothing: what init writes is no longer managed", async () => {
    const output = await holds(site.leasehold("diff"), 2);
    const counts = [...output.matchAll(/(\d+) to destroy/g)].map(([, count]) => count);
    expect(counts).toEqual(counts.map(() => "0"));
    for (const name of trust) expect(output).toContain(name);
  });

  test("deploy destroys nothing; again there is nothing to do", async () => {
    const output = await holds(site.leasehold("deploy", "--auto-approve"));
    expect(output).toMatch(/Deployed the stack vault: \d+ added, \d+ changed, 0 removed/);
    for (const { login } of leases) expect(output).toContain(`marked the login ${login}`);
    expect(policiesInState().filter((name) => trust.includes(name))).toEqual([]);
    for (const name of trust)
      expect((await site.root.request("GET", `sys/policies/acl/${name}`)).status).toBe(200);
    expect(await holds(site.leasehold("deploy", "--auto-approve"))).toContain("Nothing to do");
    await holds(site.leasehold("diff"));
  });

  test("the leases are alive and marked, and are renewed", async () => {
    expect(await logins(site)).toEqual(leases.map(({ login }) => login).sort());
    const marks =
      "SELECT DISTINCT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname LIKE 'v-%'";
    expect(await site.query(marks)).toEqual([`leasehold ${environment} ${database.name}`]);
    for (const { id, client, login } of leases) {
      expect((await client.query("SELECT session_user AS login")).rows).toEqual([{ login }]);
      await site.root.call("PUT", "sys/leases/renew", { lease_id: id, increment: 7200 });
    }
  });

  test("verify holds", async () => {
    expect(await holds(site.leasehold("verify", "--no-expiry"))).toContain("left behind: nothing");
  });

  test("today's statements revoke them, whatever they hold open", async () => {
    const stack = readFileSync(site.checkout.path("cdktf.out/stacks/vault/cdk.tf.json"), "utf8");
    const { resource } = JSON.parse(stack) as {
      resource: Record<string, Record<string, { name: string; revocation_statements: string[] }>>;
    };
    const declared = Object.values(resource["vault_database_secret_backend_role"]!);
    for (const { databaseRole } of database.personas) {
      const { data } = await site.root.call("GET", `${database.vault.mount}/roles/${databaseRole.name}`);
      const { revocation_statements: statements } = declared.find(({ name }) => name === databaseRole.name)!;
      expect(data!["revocation_statements"]).toEqual(statements);
    }
    for (const leased of leases) await holdRow(leased);
    for (const { id } of leases)
      await site.root.call("PUT", "sys/leases/revoke", { lease_id: id, sync: true });
    expect(await logins(site)).toEqual([]);
  });

  test("destroy with leases alive leaves nothing", async () => {
    for (const { databaseRole } of database.personas) await lease(site, databaseRole.name);
    await holds(site.leasehold("destroy", "--auto-approve", "--delete-data"));
    expect(await site.left()).toEqual([]);
  });
}
