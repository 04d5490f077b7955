import { Pace } from "../../clients/pace";
import { VaultClient } from "../../clients/vault-client";
import { Deployment, findings } from "../support/deployment";

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start();
});

afterAll(() => deployment.stop());

/** A client that has waited for nothing yet. */
const verifier = () => deployment.sandbox.vaultClient(deployment.sandbox.initialised.tokens.verifier);

async function limit(quota: object): Promise<void> {
  await deployment.root.call("POST", "sys/quotas/rate-limit/all", quota);
}

test("20 requests a second: everything holds, and no login is left", async () => {
  await limit({ rate: 20 });
  const vault = verifier();
  const report = await deployment.verify({ vault, expiry: true });
  expect(findings(report)).toEqual([]);
  expect(report.left).toEqual([]);
  expect(await deployment.leasedRoles()).toEqual([]);
  expect(report.remarks).toEqual([
    expect.stringMatching(/^Vault's rate limit \(HTTP 429\) was waited for, \d+ s in all$/),
  ]);
});

test("a limit that stays: as long as the bound, then one line", async () => {
  await limit({ rate: 1, interval: "60s", block_interval: "60s" });
  const run = { pace: new Pace({ wait: 100, run: 250 }) };
  const { address } = deployment.sandbox.vault;
  const vault = new VaultClient(
    address,
    deployment.sandbox.initialised.tokens.verifier,
    undefined,
    undefined,
    run,
  );
  await expect(deployment.verify({ vault })).rejects.toThrow(
    /^Vault at http:\S+ limits the rate of requests \(HTTP 429\), and a run waits for it no longer than \S+ min: raise its quota \(sys\/quotas\/rate-limit\), or try again later$/,
  );
  expect(run.pace.milliseconds).toBe(200);
});
