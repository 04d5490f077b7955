import type { EnvironmentInput } from "../../config/schema/schema";
import { messages } from "../support/program";
import { OwnServers } from "./own-servers";

/**
 * Mounts of others', with their roles and a lease of theirs, used with the real Terraform and providers. The tests are its steps,
 * in order.
 */
let servers: OwnServers;
let theirs: string;
let before: object;

const MOUNTS = ["database", "auth/approle"];

beforeAll(async () => {
  servers = await OwnServers.start();
  const root = servers.root();
  await root.call("POST", "sys/mounts/database", { type: "database" });
  await root.call("POST", "sys/auth/approle", { type: "approle" });
  const { host, port, database, superuser, password } = servers.deployment.sandbox.postgres;
  await root.call("POST", "database/config/theirs", {
    plugin_name: "postgresql-database-plugin",
    connection_url: `postgresql://{{username}}:{{password}}@${host}:${String(port)}/${database}?sslmode=require`,
    ...{ username: superuser, password, allowed_roles: ["theirs"] },
  });
  await root.call("POST", "database/roles/theirs", {
    db_name: "theirs",
    creation_statements: [`CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}'`],
  });
  await root.call("POST", "auth/approle/role/theirs", { token_policies: ["theirs"] });
  theirs = (await root.call("GET", "database/creds/theirs")).lease_id!;
  before = await ofOthers();
}, 60_000);

afterAll(() => servers.stop());

async function read(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const { status, body: found } = await servers.root().request(method, path, body);
  return { status, ...found.data };
}

async function ofOthers(): Promise<object> {
  const { status, id } = await read("PUT", "sys/leases/lookup", { lease_id: theirs });
  return {
    lease: { status, id },
    mounts: await Promise.all(MOUNTS.map((mount) => read("GET", `sys/mounts/${mount}`))),
    connection: await read("GET", "database/config/theirs"),
    role: await read("GET", "database/roles/theirs"),
    appRole: await read("GET", "auth/approle/role/theirs"),
  };
}

function configure(exists: boolean, suffix = ""): void {
  servers.configure((draft: EnvironmentInput) => {
    const mount = (path: string) => (exists ? { path, exists } : path + suffix);
    draft.vault.authMount = mount("approle");
    draft.databases[0]!.vault.mount = mount("database");
    // The login of that lease gets in as everybody does.
    draft.databases[0]!.public = { database: ["CONNECT", "TEMPORARY"], functions: ["EXECUTE"] };
  });
}

async function holds(...args: string[]): Promise<string> {
  const output = await servers.succeeds(...args);
  expect(await ofOthers()).toEqual(before);
  return output;
}

test("they are used", async () => {
  configure(true);
  await holds("init");
  await holds("deploy", "--auto-approve");
  await holds("verify", "--no-expiry");
});

test("and are not taken: as the environment's own they are refused, with the ways out; imported they are", async () => {
  configure(false);
  await holds("init");
  const { code, output } = await servers.leasehold("deploy", "--auto-approve");
  const lines = messages(output);
  expect([code, lines]).toEqual([
    2,
    ["auth mount approle", "mount database"].map((what): unknown =>
      expect.stringMatching(
        new RegExp(
          `^the ${what} of Vault at \\S+ is there already and not in Terraform's state; .* if it is somebody else's, say that it exists \\(\\{ path, exists: true \\}\\) or choose another name in config/external\\.ts, or destroy`,
        ),
      ),
    ),
  ]);
  const commands = lines.map((line) => /made it, (\(.*\)); if/.exec(line)![1]!);
  expect(await servers.shell(commands.join(" && "))).toMatchObject({ code: 0 });
  await holds("deploy", "--auto-approve");
});

test("the environment's own are not renamed, since every lease and login would go with them", async () => {
  configure(false, "-2");
  const { code, output } = await servers.leasehold("deploy", "--auto-approve");
  expect(code).toBe(2);
  for (const what of [
    "mount database, which Terraform would remove with its leases",
    "auth mount approle, with which Terraform would move what everybody logs in with",
  ])
    expect(messages(output)).toContainEqual(
      `config/external.ts no longer declares the ${what}: put it back, or run npx leasehold destroy before you remove it`,
    );
  configure(false);
  expect(await holds("deploy", "--auto-approve")).toMatch("Nothing to do");
});

test("given back they are not unmounted, by deploy and by destroy, and a lease of ours lives on until then", async () => {
  const root = servers.root();
  const { lease_id } = await root.call("GET", "database/creds/app_report");
  configure(true);
  await holds("init");
  await holds("deploy", "--auto-approve");
  expect(await read("PUT", "sys/leases/lookup", { lease_id })).toMatchObject({ status: 200 });
  await holds("destroy", "--auto-approve");
  expect(await read("PUT", "sys/leases/lookup", { lease_id })).toMatchObject({ status: 400 });
  for (const path of ["database/config", "database/roles", "auth/approle/role"])
    expect(await read("LIST", path)).toMatchObject({ keys: ["theirs"] });
});
