import { execFileSync } from "node:child_process";
import type { Sandbox } from "../../sandbox/sandbox";
import type { Workspace } from "../../sandbox/workspace";
import { VaultError } from "../../clients/vault-client";
import { handMadeSandbox, providerBlock, query, variables } from "../support/hand-made";
import { eventually } from "../support/program";

let sandbox: Sandbox;
let workspace: Workspace;
let stop: () => Promise<void>;

beforeAll(async () => {
  ({ sandbox, workspace, stop } = await handMadeSandbox({
    access: { servers: [{ name: "postgres", tls: true }], vault: { shares: 5, threshold: 3 } },
    postgres: {
      provider: {
        postgresql: providerBlock("postgres", "ledger", {
          sslmode: "verify-full",
          sslrootcert: "${var.postgres_sslrootcert}",
        }),
      },
      variable: variables(
        ...["host", "port", "superuser_password", "sslrootcert"].map((name) => `postgres_${name}`),
      ),
      resource: { postgresql_role: { kept: { name: "kept" } } },
    },
  }));
  await sandbox.apply();
});

afterAll(() => stop());

const health = async () => (await sandbox.vaultClient().request("GET", "sys/health")).status;
const root = () => sandbox.vaultClient(sandbox.initialised.rootToken);

test("PostgreSQL restarts on the same port, with its data, its password and its certificate", async () => {
  const { postgres } = sandbox;
  const before = { port: postgres.port, version: postgres.version };
  const since = "SELECT pg_postmaster_start_time()";
  const [started] = (await query(postgres, since)) as [Date];
  const open = query(postgres, "SELECT pg_sleep(60)").then(
    () => "slept",
    (error: unknown) => (error as { code: string }).code,
  );
  await untilBusy();

  await postgres.restart();

  expect(await open).toBe("57P01");
  expect({ port: postgres.port, version: postgres.version }).toEqual(before);
  expect(((await query(postgres, since)) as [Date])[0].getTime()).toBeGreaterThan(started.getTime());
  expect(await query(postgres, "SELECT rolname FROM pg_roles WHERE rolname = 'kept'")).toEqual(["kept"]);
  await expect(query(postgres, "SELECT", { ssl: false })).rejects.toMatchObject({ code: "28000" });

  async function untilBusy(): Promise<void> {
    const busy = "SELECT count(*)::int FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'";
    await eventually(
      async () => (await query(postgres, busy))[0] !== 0,
      30_000,
      () => "the session is not busy",
    );
  }
});

test("Vault is initialised with the shares and the threshold that the manifest says", async () => {
  const { body } = await sandbox.vaultClient().request("GET", "sys/seal-status");
  expect(body).toMatchObject({ n: 5, t: 3, sealed: false, storage_type: "inmem" });
  expect(sandbox.initialised.unsealKeys).toHaveLength(3);
});

test("Vault is sealed and unsealed, and what it held is there", async () => {
  await root().call("PUT", "sys/policies/acl/kept", { policy: "# kept" });
  expect(await health()).toBe(200);
  await sandbox.sealVault();
  expect(await health()).toBe(503);
  await expect(root().call("GET", "sys/policies/acl/kept")).rejects.toThrow(/HTTP 503: Vault is sealed/);

  await sandbox.unsealVault();
  expect(await health()).toBe(200);
  const { data } = await root().call("GET", "sys/policies/acl/kept");
  expect(data).toMatchObject({ policy: "# kept" });
});

test("no unseal key is on disk, in an environment or on a command line", () => {
  const keys = sandbox.initialised.unsealKeys;
  expect(new Set(keys).size).toBe(3);
  for (const key of keys) {
    const found = execFileSync(
      "bash",
      [
        "-c",
        'grep -rlF -f - "$0" $(ls -d /proc/[0-9]*/environ /proc/[0-9]*/cmdline) 2>/dev/null || true',
        workspace.folder,
      ],
      { input: key },
    );
    expect(found.toString()).toBe("");
  }
});

test("without the root token, Vault is not sealed, and says so", async () => {
  const { sandbox: other, stop: stopOther } = await handMadeSandbox(
    {
      postgres: {
        provider: { postgresql: providerBlock("postgres", "ledger") },
        variable: variables("postgres_host", "postgres_port", "postgres_superuser_password"),
      },
    },
    { keepRootToken: false },
  );
  await expect(other.sealVault()).rejects.toThrow(VaultError);
  const { body } = await other.vaultClient().request("GET", "sys/seal-status");
  expect(body).toMatchObject({ n: 1, t: 1, sealed: false });
  await stopOther();
});
