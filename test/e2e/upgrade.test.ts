import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { readAccessManifest } from "../../verify/manifest";
import { messages } from "../integration/program";
import { release } from "../upgrade/release";
import { inVault } from "./in-vault";
import { OwnServers } from "./own-servers";
import type { Ended } from "./terraform";

/**
 * What 0.1.0 deployed on servers that exist already, with the real Terraform and providers, is brought to today's state by
 * `init` and `deploy` while its leases are alive. The tests are its steps, in order.
 */
const RELEASE = release("external");
const STACKS = ["postgres", "vault"] as const;
const [{ personas, vault }] = readAccessManifest(RELEASE).databases as [
  ReturnType<typeof readAccessManifest>["databases"][number],
];
/** Policies that 0.1.0's stack wrote, and init writes now. */
const TRUST = ["planner", "deliverer", "verifier"].map((who) => `leasehold-external-${who}`);

interface Leased {
  readonly id: string;
  readonly login: string;
  readonly client: Client;
}

let servers: OwnServers;
let leases: Leased[];

beforeAll(async () => {
  servers = await OwnServers.start(RELEASE);
  cpSync(RELEASE, servers.checkout.path("cdktf.out"), { recursive: true });
  // As 0.1.0's init and deploy left the home folder.
  const home = join(servers.checkout.home, "leasehold/external");
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const before = { "postgres/app": { database: ["CONNECT", "TEMPORARY"], functions: [] } };
  const { tokens } = servers.servers.sandbox.initialised;
  for (const [who, token] of Object.entries(tokens))
    writeFileSync(join(home, `${who}-token`), token, { mode: 0o600 });
  writeFileSync(join(home, "public-privileges.json"), JSON.stringify(before), { mode: 0o600 });
  for (const stack of STACKS) {
    const terraform = `cd cdktf.out/stacks/${stack}; terraform init -no-color; terraform apply -no-color -auto-approve`;
    await holds(servers.shell(`set -e; export VAULT_TOKEN='${tokens.operator}' TF_INPUT=0; ${terraform}`));
  }
  leases = await Promise.all(personas.map(({ databaseRole }) => lease(databaseRole.name)));
}, 120_000);

afterAll(() => servers.stop());

async function holds(command: Promise<Ended>, expected = 0): Promise<string> {
  const { code, output } = await command;
  expect({ code, output: code === expected ? "" : output }).toEqual({ code: expected, output: "" });
  return output;
}

async function lease(role: string): Promise<Leased> {
  const { lease_id: id, data } = await servers.root().call("GET", `${vault.mount}/creds/${role}`);
  const { username: login, password } = data as { username: string; password: string };
  const { host, port, database, ssl } = servers.servers.sandbox.postgres;
  const client = new Client({ host, port, database, user: login, password, ssl });
  client.on("error", () => undefined);
  await client.connect();
  return { id: id!, login, client };
}

const inState = (stack: string) =>
  (
    JSON.parse(readFileSync(servers.checkout.path(`terraform.external.${stack}.tfstate`), "utf8")) as {
      resources: { type: string; instances: { attributes: Record<string, unknown> }[] }[];
    }
  ).resources.flatMap(({ type, instances }) =>
    instances.map(
      ({ attributes }) =>
        `${type} ${String(attributes["name"] ?? attributes["role_name"] ?? attributes["path"])}`,
    ),
  );

const logins = () => servers.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%' ORDER BY 1");

test("deploy before init: one line, exit code 2, nothing changed", async () => {
  const { code, output } = await servers.leasehold("deploy");
  expect({ code, lines: messages(output) }).toEqual({
    code: 2,
    lines: [
      expect.stringMatching(
        /^the operator's policy at \S+ is not what the config wants any more: run npx leasehold init/,
      ),
    ],
  });
  expect(inState("vault")).toEqual(expect.arrayContaining(TRUST.map((name) => `vault_policy ${name}`)));
});

test("init writes the policies of the trust model", async () => {
  await holds(servers.leasehold("init"));
});

test("the plan destroys nothing: the policies are no longer managed", async () => {
  const output = await holds(servers.leasehold("diff"), 2);
  expect(output.match(/\d+ to destroy/g)).toEqual(
    expect.not.arrayContaining([expect.stringMatching(/^[1-9]/)]),
  );
  for (const name of TRUST) expect(output).toContain(name);
});

test("deploy, and again with nothing to do", async () => {
  const output = await holds(servers.leasehold("deploy"));
  expect(output).toMatch(/Deployed the stack vault: 0 added, \d+ changed, 0 removed/);
  expect(inState("vault").filter((resource) => TRUST.some((name) => resource.endsWith(name)))).toEqual([]);
  for (const name of TRUST)
    expect((await servers.root().request("GET", `sys/policies/acl/${name}`)).status).toBe(200);
  expect(await servers.leasehold("deploy")).toEqual({
    code: 0,
    output: expect.stringContaining("Nothing to do") as string,
  });
  await holds(servers.leasehold("diff"));
});

test("the leases are alive and marked, and can be renewed", async () => {
  expect(await logins()).toEqual(leases.map(({ login }) => login).sort());
  const marks = await servers.query(
    "SELECT DISTINCT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname LIKE 'v-%'",
  );
  expect(marks).toEqual(["leasehold external app"]);
  for (const { id, client, login } of leases) {
    expect((await client.query("SELECT session_user AS login")).rows).toEqual([{ login }]);
    await servers.root().call("PUT", "sys/leases/renew", { lease_id: id, increment: 7200 });
  }
});

test("they are revoked by today's statements, whatever they hold open", async () => {
  const { resource } = JSON.parse(
    readFileSync(servers.checkout.path("cdktf.out/stacks/vault/cdk.tf.json"), "utf8"),
  ) as { resource: Record<string, Record<string, { name: string; revocation_statements: string[] }>> };
  const declared = Object.values(resource["vault_database_secret_backend_role"]!);
  for (const { databaseRole } of personas) {
    const { data } = await servers.root().call("GET", `${vault.mount}/roles/${databaseRole.name}`);
    expect(data!["revocation_statements"]).toEqual(
      declared.find(({ name }) => name === databaseRole.name)!.revocation_statements,
    );
  }
  for (const { client } of leases) {
    await client.query("SET ROLE NONE; BEGIN");
    await client.query("ALTER ROLE CURRENT_USER PASSWORD 'kept'");
  }
  for (const { id } of leases)
    await servers.root().call("PUT", "sys/leases/revoke", { lease_id: id, sync: true });
  expect(await logins()).toEqual([]);
});

test("verify holds", async () => {
  expect(await holds(servers.leasehold("verify", "--no-expiry"))).toContain("left behind: nothing");
});

test("destroy with leases alive leaves no role and nothing in Vault but init's policies", async () => {
  for (const { databaseRole } of personas) await lease(databaseRole.name);
  await holds(servers.leasehold("destroy", "--auto-approve", "--delete-data"));
  expect(await servers.query("SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'")).toEqual([
    "postgres",
  ]);
  expect((await inVault(servers.root())).sort()).toEqual(["leasehold-external-operator", ...TRUST].sort());
});
