import { VaultClient } from "../../clients/vault-client";
import { createTrustToken } from "../../clients/vault-token";
import { TRUST_TOKENS, type TrustToken } from "../../manifest/names";
import { apply } from "../../sandbox/engine";
import { postgresqlProvider } from "../../sandbox/postgresql-provider";
import { readSynthesized, STACKS } from "../../sandbox/synthesized";
import { vaultProvider } from "../../sandbox/vault-provider";
import { Cluster } from "../support/cluster";
import { Deployment, findings } from "../support/deployment";
import { before } from "../support/faults";

/** Vault as a cluster of three, which Vault's address need not be the active node of. */
let deployment: Deployment;
let cluster: Cluster;
let verifiersToken: string;

beforeAll(async () => {
  deployment = await Deployment.start({ apply: false });
  const { sandbox, synthesized } = deployment;
  cluster = await Cluster.start(deployment.workspace);
  const [active] = await cluster.addresses();
  const root = new VaultClient(active!, cluster.rootToken);
  const { policies, stacks } = readSynthesized(synthesized);
  const tokens = {} as Record<TrustToken, string>;
  for (const who of TRUST_TOKENS) {
    const policy = sandbox.policyTexts()[who];
    if (policy !== undefined) await root.call("PUT", `sys/policies/acl/${policies[who]}`, { policy });
    tokens[who] = await createTrustToken(root, who, policies[who]);
  }
  const providers = { postgresql: postgresqlProvider, vault: vaultProvider(tokens.operator) };
  for (const stack of STACKS)
    await apply(stacks[stack], { ...sandbox.variables(stack), vault_address: active! }, providers);
  verifiersToken = tokens.verifier;
});

afterAll(async () => {
  await cluster.stop();
  await deployment.stop();
});

const verifier = (address: string) => new VaultClient(address, verifiersToken);

async function everythingHolds(vault: VaultClient): Promise<void> {
  const report = await deployment.verify({ vault });
  expect(findings(report)).toEqual([]);
  expect(report.left).toEqual([]);
  expect(report.remarks).toEqual([]);
  expect(await deployment.leasedRoles()).toEqual([]);
}

test("a standby's address: the active node is asked", async () => {
  const [active, standby] = await cluster.addresses();
  const vault = verifier(standby!);
  await everythingHolds(vault);
  expect(vault.run.node).toBe(active);
});

test("another node becomes the active one in the middle of it", async () => {
  const [active, standby] = await cluster.addresses();
  const stepDown = () => new VaultClient(active!, cluster.rootToken).call("PUT", "sys/step-down");
  await everythingHolds(before(verifier(standby!), /^GET database\/creds\/readonly_role$/, stepDown));
});

test("the active node is killed in the middle of it", async () => {
  const [active, standby] = await cluster.addresses();
  const kill = () => cluster.kill(active!);
  await everythingHolds(before(verifier(standby!), /^GET database\/creds\/readonly_role$/, kill));
});
