import { networkInterfaces } from "node:os";
import { messages } from "../support/program";
import { unless } from "../support/skip";
import { OwnServers } from "./own-servers";
import { Wire } from "./wire";

const { describe, because } = unless(
  !Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1")) &&
    "this machine has no ::1, as IPv6 has it",
);

/** The environment external where PostgreSQL and Vault are at addresses of IPv6, each spelled in another way, with the real Terraform. */
describe(`addresses of IPv6, and Terraform's own variables${because}`, () => {
  let servers: OwnServers;
  const wires: Wire[] = [];

  beforeAll(async () => {
    servers = await OwnServers.start();
    servers.configure(() => undefined);
    const { postgres, vault } = servers.deployment.sandbox;
    for (const port of [postgres.port, postgres.port, Number(new URL(vault.address).port)])
      wires.push(await Wire.open({ host: "127.0.0.1", port }, { host: "::1" }));
    const [ours, vaults, toVault] = wires.map(({ port }) => String(port));
    Object.assign(servers.env, {
      TF_VAR_postgres_host: "[::1]",
      TF_VAR_postgres_port: ours,
      TF_VAR_vault_postgres_host: "0:0:0:0:0:0:0:1",
      TF_VAR_vault_postgres_port: vaults,
      TF_VAR_vault_address: `https://[0:0:0:0:0:0:0:1]:${toVault!}`,
      // A folder that is nobody's.
      TF_DATA_DIR: servers.checkout.path("terraform-data"),
    });
  }, 60_000);

  afterAll(async () => {
    for (const wire of wires) wire.close();
    await servers.stop();
  });

  test("init, deploy, diff and verify", async () => {
    await servers.succeeds("init");
    await servers.succeeds("deploy", "--auto-approve");
    await servers.succeeds("diff");
    expect(await servers.succeeds("verify")).toContain("left behind: nothing");
    for (const { heard } of wires) expect(heard).not.toBe("");
  });

  test.each([
    ["deploy", 2],
    // Its 2 is a difference.
    ["diff", 1],
    ["destroy", 2],
  ])("%s with TF_WORKSPACE: one line, exit code %i", async (command, wanted) => {
    const approved = command === "diff" ? [] : ["--auto-approve"];
    const { code, output } = await servers.leaseholdWith(
      { env: { TF_WORKSPACE: "ci" } },
      command,
      ...approved,
    );
    expect({ code, lines: messages(output) }).toEqual({
      code: wanted,
      lines: [
        "TF_WORKSPACE is set to ci, and an environment has one state: unset it, and name another environment with --env",
      ],
    });
  });

  test("destroy leaves nothing", async () => {
    await servers.succeeds("destroy", "--auto-approve");
    expect(await servers.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'app%'")).toEqual([]);
  });
});
