import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { Network } from "@cdktf/provider-docker/lib/network";
import { DockerProvider } from "@cdktf/provider-docker/lib/provider";
import { App } from "cdktf";
import type { Construct } from "constructs";
import { Client } from "pg";
import { VaultContainer } from "../../constructs/docker/vault-container";
import { removeVolumes, startStopped } from "../../ops/docker/platform";
import { freePort } from "../../sandbox/free-port";
import { PlatformStack } from "../../stacks/platform";
import { LeaseholdStack } from "../../stacks/stack";
import { environment } from "../support/synth";
import { docker } from "./docker";
import { POSTGRES_VERSIONS, postgresImage, vaultImage, type PostgresVersion } from "./images";
import { inDocker, withAll } from "./needs";
import { NAME } from "./one-run";
import { poll } from "./poll";
import { run, type Ended } from "./terraform";

/** The stack `platform` with real Terraform and Docker, under names and ports of this run. The tests are its steps, in order. */
const IMAGES_TIMEOUT_MILLISECONDS = 900_000;
const PASSWORD = "Geheim-der-Superuser-3141";
const DEV_TOKEN = "Geheim-des-Dev-Servers-2718";

let folder: string;
let synthesized: string;
const variables: Record<string, string> = {};
let port: number;
let vaultAddress: string;
let volumesBefore: string[];

/** The two forms of Vault's container that the environment local does not have, each with its free port. */
const VARIANTS = { locking: "", dev: "" };

class VariantStack extends LeaseholdStack {
  constructor(scope: Construct, name: keyof typeof VARIANTS) {
    super(scope, name, { name: NAME });
    new DockerProvider(this, "docker", {});
    new VaultContainer(this, "Vault", {
      name: `${NAME}-${name}`,
      image: "named-by-a-variable",
      network: new Network(this, "Network", { name: `${NAME}-${name}` }),
      hostPort: 8200,
      ...(name === "dev"
        ? { mode: "dev", storage: "memory", lockMemory: false }
        : { mode: "server", storage: "file", lockMemory: true }),
    });
  }
}

const isVariant = (stack: string): stack is keyof typeof VARIANTS => Object.hasOwn(VARIANTS, stack);

function terraform(stack: string, ...args: string[]): Promise<Ended> {
  const env = {
    ...{ ...process.env, ...variables, TF_INPUT: "0", CHECKPOINT_DISABLE: "1" },
    ...(isVariant(stack) && { TF_VAR_vault_port: VARIANTS[stack] }),
  };
  return run("terraform", args, { cwd: join(synthesized, "stacks", stack), env });
}

async function apply(stack: string): Promise<string> {
  const { code, output } = await terraform(stack, "apply", "-auto-approve", "-no-color");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  return output;
}

async function expectEmptyPlan(stack: string): Promise<void> {
  const { code, output } = await terraform(stack, "plan", "-detailed-exitcode", "-no-color");
  expect(output).toContain("No changes.");
  expect(code).toBe(0);
}

async function destroy(stack: string): Promise<void> {
  const { code, output } = await terraform(stack, "destroy", "-auto-approve", "-no-color");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
}

/** As the superuser, from this machine. */
async function query(sql: string, password = PASSWORD): Promise<Record<string, unknown>[]> {
  const client = new Client({
    ...{ host: "127.0.0.1", port, user: "nanvc", database: "nanvc", password, ssl: false },
  });
  client.on("error", () => undefined);
  try {
    await client.connect();
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function call(
  address: string,
  method: string,
  path: string,
  { token = "", body }: { token?: string; body?: unknown } = {},
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${address}/v1/${path}`, {
    method,
    headers: { "X-Vault-Token": token },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: (text ? JSON.parse(text) : {}) as Record<string, unknown> };
}

/** How the server in a container stands, not a health check beside it: numbers as the kernel writes them. */
async function serverOf(container: string, command: string): Promise<Record<string, string>> {
  const script = `for p in /proc/[0-9]*; do case "$(tr '\\0' ' ' <$p/cmdline)" in "${command}"*) cat $p/status; exit ;; esac; done`;
  const text = await docker("exec", container, "sh", "-c", script);
  return Object.fromEntries(text.split("\n").map((line) => line.split(/:\s+/, 2) as [string, string]));
}

const idOf = (container: string) => docker("inspect", "--format", "{{.Id}}", container);

async function inspect<T>(container: string): Promise<T> {
  return (JSON.parse(await docker("inspect", container)) as [T])[0];
}

interface Inspected {
  readonly HostConfig: Record<string, unknown>;
  readonly State: { readonly Running: boolean; readonly ExitCode: number };
}

const list = async (...args: string[]) => (await docker(...args)).split("\n").filter(Boolean);
/** Of another run on the same Docker. */
const OTHERS = new RegExp(`^leasehold-e2e-(?!${NAME.slice("leasehold-e2e-".length)}-)`);
const volumes = async () => (await list("volume", "ls", "--quiet")).filter((name) => !OTHERS.test(name));

/** Every place where somebody could read what Terraform and Docker were given. */
async function places(stack: string, containers: readonly string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const planned = await terraform(stack, "plan", "-out=saved.tfplan", "-no-color");
  found.set("terraform plan", planned.output);
  found.set("plan file", (await terraform(stack, "show", "-json", "saved.tfplan")).output);
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const file = join(folder, name);
    if (name.startsWith("secrets") || name.includes(".terraform/") || !statSync(file).isFile()) continue;
    found.set(name, readFileSync(file, "latin1"));
  }
  rmSync(join(synthesized, "stacks", stack, "saved.tfplan"));
  for (const container of containers) {
    found.set(`docker inspect ${container}`, await docker("inspect", container));
    found.set(`docker logs ${container}`, await docker("logs", container));
    found.set(
      `docker history of ${container}'s image`,
      await docker("history", "--no-trunc", await docker("inspect", "--format", "{{.Image}}", container)),
    );
  }
  found.set(
    "docker network inspect",
    await docker("network", "inspect", ...(await list("network", "ls", "--quiet"))),
  );
  found.set("docker volume inspect", await docker("volume", "inspect", ...(await volumes())));
  found.set("processes", (await run("ps", ["-eo", "args"], { cwd: "/", env: process.env })).output);
  return found;
}

const holding = (found: Map<string, string>, secret: string) =>
  [...found].filter(([, text]) => text.includes(secret)).map(([place]) => place);

async function expectHardened(container: string): Promise<void> {
  const { HostConfig } = await inspect<Inspected>(container);
  expect(HostConfig).toMatchObject({
    ReadonlyRootfs: true,
    Privileged: false,
    CapAdd: null,
    CapDrop: ["ALL"],
    SecurityOpt: ["no-new-privileges:true"],
    RestartPolicy: { Name: "unless-stopped" },
    LogConfig: { Type: "json-file", Config: { "max-size": "10m", "max-file": "3" } },
  });
  expect(HostConfig["Memory"]).toBeGreaterThan(0);
  expect(HostConfig["MemorySwap"]).toBe(HostConfig["Memory"]);
}

/** Nothing of a deploy is left but what is named. */
async function expectGone(prefix: string): Promise<void> {
  expect(await list("ps", "--all", "--quiet", "--filter", `name=^/${prefix}`)).toEqual([]);
  expect(await list("network", "ls", "--quiet", "--filter", `name=^${prefix}`)).toEqual([]);
}

function reaches(host: string, to: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: to, timeout: 2_000 });
    const end = (reached: boolean) => () => {
      socket.destroy();
      resolve(reached);
    };
    socket.once("connect", end(true)).once("error", end(false)).once("timeout", end(false));
  });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "leasehold-platform-"));
  synthesized = join(folder, "cdktf.out");
  const secrets = mkdtempSync(join(folder, "secrets-"));
  for (const [name, secret] of [
    ["postgres_password_file", PASSWORD],
    ["vault_dev_token_file", DEV_TOKEN],
  ] as const) {
    writeFileSync(join(secrets, name), secret);
    chmodSync(join(secrets, name), 0o444);
    variables[`TF_VAR_${name}`] = join(secrets, name);
  }
  const progress = (text: string) => process.stderr.write(`${text}\n`);
  port = await freePort();
  const vaultPort = await freePort();
  vaultAddress = `http://127.0.0.1:${String(vaultPort)}`;
  Object.assign(variables, {
    TF_VAR_platform_name: NAME,
    TF_VAR_postgres_image: await postgresImage("18.4", progress),
    TF_VAR_vault_image: await vaultImage(progress),
    TF_VAR_postgres_port: String(port),
    TF_VAR_vault_port: String(vaultPort),
  });
  for (const stack of Object.keys(VARIANTS).filter(isVariant)) VARIANTS[stack] = String(await freePort());
  const app = new App({ outdir: synthesized, stackTraces: false });
  new PlatformStack(app, environment());
  for (const stack of Object.keys(VARIANTS).filter(isVariant)) new VariantStack(app, stack);
  app.synth();
  for (const stack of ["platform", ...Object.keys(VARIANTS)]) {
    const { code, output } = await terraform(stack, "init", "-no-color");
    expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  }
  volumesBefore = await volumes();
}, IMAGES_TIMEOUT_MILLISECONDS);

afterAll(async () => {
  for (const stack of ["platform", ...Object.keys(VARIANTS)])
    await terraform(stack, "destroy", "-auto-approve");
  const left = (await volumes()).filter((name) => name.startsWith(NAME));
  if (left.length > 0) await docker("volume", "rm", ...left);
  rmSync(folder, { recursive: true, force: true });
});

inDocker.describe(`the platform${inDocker.because}`, () => {
  const postgres = `${NAME}-postgres`;
  const vault = `${NAME}-vault`;
  const platform = { containers: [postgres, vault], volumes: [`${postgres}-data`] };

  test("deploys", async () => {
    expect(await apply("platform")).toContain("Apply complete! Resources: 5 added, 0 changed, 0 destroyed.");
  });

  test("a second plan is empty", () => expectEmptyPlan("platform"));

  test("PostgreSQL takes the password of the file, hashed, and no other", async () => {
    expect(
      await query(
        "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' AS scram FROM pg_authid WHERE rolname = 'nanvc'",
      ),
    ).toEqual([{ scram: true }]);
    await expect(query("SELECT", "another")).rejects.toMatchObject({ code: "28P01" });
  });

  test("Vault is up, neither initialised nor unsealed", async () => {
    expect((await call(vaultAddress, "GET", "sys/health")).status).toBe(501);
  });

  test("Vault reaches PostgreSQL by its name", async () => {
    const script = "getent hosts postgres && pg_isready -q -h postgres";
    await docker("run", "--rm", "--network", NAME, variables["TF_VAR_postgres_image"]!, "sh", "-c", script);
  });

  test("both are hardened as declared", async () => {
    for (const container of [postgres, vault]) await expectHardened(container);
  });

  test.each([
    [postgres, "postgres", "999"],
    [vault, "vault server", "100"],
  ])("%s has no capability, can gain none, and can't write its root", async (container, command, uid) => {
    const status = await serverOf(container, command);
    expect(status).toMatchObject({
      Uid: [uid, uid, uid, uid].join("\t"),
      CapPrm: "0000000000000000",
      CapEff: "0000000000000000",
      CapBnd: "0000000000000000",
      NoNewPrivs: "1",
    });
    await expect(docker("exec", container, "sh", "-c", "echo >/usr/x")).rejects.toThrow(
      /Read-only file system/,
    );
  });

  test("the ports are reached on 127.0.0.1 alone", async () => {
    const others = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter(({ family, internal }) => family === "IPv4" && !internal);
    for (const to of [port, Number(variables["TF_VAR_vault_port"])]) {
      expect(await reaches("127.0.0.1", to)).toBe(true);
      for (const { address } of others)
        expect([address, await reaches(address, to)]).toEqual([address, false]);
    }
  });

  test("no diff deletes a stopped container, and startStopped starts it, so that the plan is empty again", async () => {
    const before = await Promise.all([postgres, vault].map(idOf));
    await docker("stop", postgres, vault);
    // The provider sees no ports of a stopped container, and would replace it.
    const { code } = await terraform("platform", "plan", "-detailed-exitcode", "-no-color");
    expect(code).toBe(2);
    for (const container of [postgres, vault]) {
      const { State } = await inspect<Inspected>(container);
      expect(State).toMatchObject({ Running: false, ExitCode: 0 });
    }
    expect(await startStopped(platform)).toEqual([postgres, vault]);
    await expectEmptyPlan("platform");
    expect(await Promise.all([postgres, vault].map(idOf))).toEqual(before);
    expect(await query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
    expect(await startStopped(platform)).toEqual([]);
  });

  test("a deploy without startStopped replaces a stopped container, with its data", async () => {
    await query("CREATE TABLE stopped AS SELECT 42 AS answer");
    await docker("stop", postgres);
    expect(await apply("platform")).toContain("Resources: 1 added, 0 changed, 1 destroyed.");
    expect(await query("SELECT answer FROM stopped")).toEqual([{ answer: 42 }]);
  });

  test("startStopped names what Docker refuses", async () => {
    const file = variables["TF_VAR_postgres_password_file"]!;
    await docker("stop", postgres);
    rmSync(file);
    await expect(startStopped(platform)).rejects.toThrow(
      new RegExp(`^container ${postgres} can't be started: .*${file}`),
    );
    writeFileSync(file, PASSWORD);
    chmodSync(file, 0o444);
    expect(await startStopped(platform)).toEqual([postgres]);
  });

  test("the password stands nowhere", async () => {
    const found = await places("platform", [postgres, vault]);
    expect([...found.keys()]).toEqual(
      expect.arrayContaining(["terraform.local.platform.tfstate", "plan file"]),
    );
    expect(holding(found, PASSWORD)).toEqual([]);
  });

  test("the data outlives destroy and a deploy that follows, without a crash recovery", async () => {
    await query("CREATE TABLE kept AS SELECT 42 AS answer");
    await destroy("platform");
    await expectGone(NAME);
    expect((await volumes()).filter((name) => !volumesBefore.includes(name))).toEqual([`${postgres}-data`]);
    await apply("platform");
    expect(await query("SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
    expect(await docker("logs", postgres)).not.toMatch(/not properly shut down|recovery/);
  });

  test("removeVolumes refuses while a container is there, and afterwards removes the data", async () => {
    await expect(removeVolumes(platform)).rejects.toThrow(`volume ${postgres}-data can't be removed: `);
    await destroy("platform");
    expect(await removeVolumes(platform)).toEqual([`${postgres}-data`]);
    expect(await removeVolumes(platform)).toEqual([]);
    expect(await volumes()).toEqual(volumesBefore);
  });

  withAll.test.each(POSTGRES_VERSIONS.filter((version) => version !== "18.4"))(
    `PostgreSQL %s deploys, keeps its data through an image's change, and leaves nothing${withAll.because}`,
    async (version: PostgresVersion) => {
      variables["TF_VAR_postgres_image"] = await postgresImage(version, () => undefined);
      await apply("platform");
      await expectEmptyPlan("platform");
      expect(await query("SHOW server_version")).toEqual([{ server_version: version }]);
      await query("CREATE TABLE kept AS SELECT 42 AS answer");
      await terraform("platform", "apply", "-auto-approve", `-replace=docker_container.Postgres_9DC8BB04`);
      expect(await query("SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
      await destroy("platform");
      await removeVolumes(platform);
      expect(await volumes()).toEqual(volumesBefore);
    },
  );
});

inDocker.describe(`Vault's other forms${inDocker.because}`, () => {
  const locking = `${NAME}-locking`;
  const dev = `${NAME}-dev`;
  let address: string;
  let devAddress: string;
  let key: string;
  let token: string;

  // With raft, which stands in for files where the image is OpenBao's, it elects itself first.
  const active = () =>
    poll(async () => {
      expect((await call(address, "GET", "sys/health")).status).toBe(200);
    });
  const unseal = () => call(address, "PUT", "sys/unseal", { body: { key } });

  test("deploy, and a second plan is empty", async () => {
    address = `http://127.0.0.1:${VARIANTS.locking}`;
    devAddress = `http://127.0.0.1:${VARIANTS.dev}`;
    for (const stack of Object.keys(VARIANTS)) {
      expect(await apply(stack)).toContain("Apply complete! Resources: 3 added, 0 changed, 0 destroyed.");
      await expectEmptyPlan(stack);
    }
  });

  test("locking: Vault is not root, and has IPC_LOCK alone", async () => {
    const status = await serverOf(locking, "vault server");
    expect(status).toMatchObject({
      Uid: "100\t100\t100\t100",
      CapEff: "0000000000004000",
      CapPrm: "0000000000004000",
    });
    const { HostConfig } = await inspect<Inspected>(locking);
    expect(HostConfig).toMatchObject({
      CapAdd: ["CAP_IPC_LOCK", "CAP_KILL", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETUID"],
      CapDrop: ["ALL"],
      Privileged: false,
    });
    // OpenBao dropped mlock (https://openbao.org/docs/install/#post-installation-hardening).
    const isVault = (await docker("exec", locking, "vault", "version")).startsWith("Vault");
    expect(parseInt(status["VmLck"]!) > 0).toBe(isVault);
  });

  test("locking: what is stored outlives a stop, which is prompt, and destroy", async () => {
    const initialised = await call(address, "PUT", "sys/init", {
      body: { secret_shares: 1, secret_threshold: 1 },
    });
    key = (initialised.body["keys_base64"] as [string])[0];
    token = initialised.body["root_token"] as string;
    await unseal();
    await active();
    const policy = { policy: 'path "x" { capabilities = ["read"] }' };
    expect((await call(address, "PUT", "sys/policies/acl/kept", { token, body: policy })).status).toBe(204);
    await docker("stop", "--time", "30", locking);
    expect((await inspect<Inspected>(locking)).State.ExitCode).toBe(0);
    expect(await startStopped({ containers: [locking, dev], volumes: [] })).toEqual([locking]);
    await expectEmptyPlan("locking");
    await destroy("locking");
    await apply("locking");
    expect((await call(address, "GET", "sys/health")).status).toBe(503);
    await unseal();
    await active();
    expect((await call(address, "GET", "sys/policies/acl/kept", { token })).status).toBe(200);
  });

  test("dev: the file's token is the root token, after a restart too", async () => {
    for (const again of [false, true]) {
      if (again) await docker("stop", dev);
      await startStopped({ containers: [dev], volumes: [] });
      const { body } = await call(devAddress, "GET", "auth/token/lookup-self", { token: DEV_TOKEN });
      expect(body["data"]).toMatchObject({ policies: ["root"] });
    }
    await expectHardened(dev);
  });

  test("dev: neither token nor unseal key stands anywhere", async () => {
    const found = await places("dev", [locking, dev]);
    expect(holding(found, DEV_TOKEN)).toEqual([]);
    expect(holding(found, token)).toEqual([]);
    expect(holding(found, key)).toEqual([]);
    expect(found.get(`docker logs ${dev}`)).toMatch(/unsealed/);
    expect(found.get(`docker logs ${dev}`)).not.toMatch(/Unseal Key|Root Token/);
  });

  test("destroy leaves the volume of the storage alone", async () => {
    for (const stack of Object.keys(VARIANTS)) await destroy(stack);
    await expectGone(NAME);
    expect((await volumes()).filter((name) => !volumesBefore.includes(name))).toEqual([`${locking}-data`]);
    await docker("volume", "rm", `${locking}-data`);
  });
});
