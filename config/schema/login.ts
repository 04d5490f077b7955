import type { PersonaLoginProps } from "../../constructs/vault/persona-login";
import { mountOf } from "./fields";
import type { DatabaseConfig, Environment } from "./environment";

/** How a persona logs in, with its kind. */
export function loginOf(
  { vault: { authMount: spelled } }: Environment,
  { appRole: name, policy: policyName, token, secretId, vault }: DatabaseConfig["personas"][number],
): PersonaLoginProps {
  const { path: authMount, exists: authMountExists } = mountOf(spelled);
  return {
    ...{ kind: "approle", authMount, authMountExists, name, policyName },
    ...{ policies: vault.policies.map((policyName) => ({ policyName })), paths: vault.paths },
    ...{ tokenTtl: token.ttl, tokenMaxTtl: token.maxTtl, tokenBoundCidrs: token.boundCidrs },
    ...{ secretIdTtl: secretId.ttl, secretIdUses: secretId.uses, secretIdBoundCidrs: secretId.boundCidrs },
  };
}
