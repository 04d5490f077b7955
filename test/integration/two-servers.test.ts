import { join } from "node:path";
import { rotateRoot } from "../../ops/vault/rotate";
import { Deployment, findings } from "../support/deployment";
import { query } from "../support/hand-made";
import { Program } from "../support/program";

/** Two servers, one Vault. The config has Vault rotate the root of the first one's connection. */
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ env: "two-servers" });
});

afterAll(() => deployment.stop());

test("the operator rotates: the configured password no longer logs in, and Vault goes on", async () => {
  const { sandbox, manifest } = deployment;
  const [first, second] = [...sandbox.servers.values()];
  const variables = sandbox.variables("postgres");
  const login = (server: string) => ({
    user: "vault",
    password: String(variables[`${server}vault_manager_password`]),
  });
  expect(await query(first!, "SELECT 1", login(""))).toEqual([1]);

  expect(await rotateRoot(deployment.as("operator"), manifest)).toEqual(["database/orders"]);

  await expect(query(first!, "SELECT 1", login(""))).rejects.toMatchObject({ code: "28P01" });
  expect(await query(second!, "SELECT 1", login("archive_"))).toEqual([1]);
  expect(findings(await deployment.verify())).toEqual([]);
});

test.each(["planner", "deliverer", "verifier"] as const)("the %s may not rotate", async (who) => {
  await expect(rotateRoot(deployment.as(who), deployment.manifest)).rejects.toThrow(
    /^POST database\/rotate-root\/orders: HTTP 403/,
  );
});

describe("leasehold verify", () => {
  const verify = (more: NodeJS.ProcessEnv) => {
    const { servers, vault, initialised } = deployment.sandbox;
    return new Program(["verify", "--no-expiry", "--manifest", join(deployment.synthesized, "access.json")], {
      VAULT_ADDR: vault.address,
      VAULT_TOKEN: initialised.tokens.verifier,
      PGPORT: String(servers.get("postgres")!.port),
      PGPORT_ARCHIVE: String(servers.get("archive")!.port),
      ...more,
    });
  };

  test("finds each server under its name", async () => {
    const program = verify({});
    expect({ code: await program.ended, output: program.output }).toMatchObject({ code: 0 });
    expect(program.output).toMatch(/^✓ orders .*\n✓ history .*$/m);
  });

  test("says in one line what it can't take of another server", async () => {
    const program = verify({ PGSSLMODE_ARCHIVE: "prefer" });
    expect(await program.ended).toBe(2);
    expect(program.output.trim()).toBe('PGSSLMODE_ARCHIVE: received "prefer", allowed: verify-full, disable');
  });
});
