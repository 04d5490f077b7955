import { join } from "node:path";
import { apply } from "../../sandbox/engine";
import { createTrustToken } from "../../clients/vault-token";
import { postgresqlProvider } from "../../sandbox/postgresql-provider";
import { readConfiguration } from "../../sandbox/terraform-json";
import { vaultProvider } from "../../sandbox/vault-provider";
import { VaultClient } from "../../clients/vault-client";
import { Deployment, findings } from "../support/deployment";
import { NO_NAMESPACES, onOpenBao } from "../support/skip";

/** The environment external in a namespace of Vault's: everything of the stack's is there, and nothing outside. */
const { test: namespaceTest, because } = onOpenBao(NO_NAMESPACES);

namespaceTest(
  `with vault_namespace the stack lives in that namespace, and the verifier with it${because}`,
  async () => {
    const deployment = await Deployment.start({ env: "external", apply: false });
    const { sandbox, synthesized, root } = deployment;
    await root.call("PUT", "sys/namespaces/team");
    const { address, ca } = sandbox.vault;
    const within = (token: string) => new VaultClient(address, token, "team", ca);
    const team = within(sandbox.initialised.rootToken);
    const { operator, verifier } = deployment.manifest.policies!;
    for (const who of ["operator", "verifier"] as const)
      await team.call("PUT", `sys/policies/acl/${deployment.manifest.policies![who]}`, {
        policy: sandbox.policyTexts()[who],
      });

    const factories = {
      postgresql: postgresqlProvider,
      vault: vaultProvider(await createTrustToken(team, "operator", operator)),
    };
    for (const stack of ["postgres", "vault"] as const) {
      const configuration = readConfiguration(join(synthesized, "stacks", stack, "cdk.tf.json"));
      await apply(configuration, { ...sandbox.variables(stack), vault_namespace: "team" }, factories);
    }

    expect((await team.call("GET", "sys/mounts")).data).toHaveProperty("database/");
    expect((await root.call("GET", "sys/mounts")).data).not.toHaveProperty("database/");
    const report = await deployment.verify({
      vault: within(await createTrustToken(team, "verifier", verifier)),
    });
    expect(findings(report)).toEqual([]);
    expect(report.left).toEqual([]);
    await deployment.stop();
  },
);
