import { rotateRoot } from "../../ops/rotate";
import { Deployment, findings } from "./deployment";
import { query } from "./hand-made";

/** Root rotation where the config says so: of the two connections of two-servers, the first. */
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
