import { trustPolicyNames, type Environment } from "../config/schema";
import type { IGrantee } from "../constructs/vault/policy-document";

interface Managed {
  grantManage(grantee: IGrantee): void;
  grantInspect(grantee: IGrantee): void;
}

/** The policies that the stack writes: the personas' by prefix, and the trust model's but for the operator's own. */
function policyPaths(environment: Environment): string[] {
  const { planner, deliverer, verifier } = trustPolicyNames(environment);
  const paths = [`${environment.vault.namePrefix}*`, planner, deliverer];
  return [...paths, ...(environment.verification ? [verifier] : [])].map(
    (name) => `sys/policies/acl/${name}`,
  );
}

/** A token looks at itself before Terraform uses it, and keeps itself alive. */
const OWN_TOKEN = [
  { path: "auth/token/lookup-self", capabilities: ["read"] },
  { path: "auth/token/renew-self", capabilities: ["update"] },
] as const;

/** Terraform's token when it deploys. It can write database roles, so it can run any SQL as Vault's login. */
export function grantOperator(
  operator: IGrantee,
  environment: Environment,
  managed: readonly Managed[],
): void {
  for (const part of managed) part.grantManage(operator);
  for (const path of policyPaths(environment)) {
    operator.allow({ path, capabilities: ["create", "read", "update", "delete"] });
  }
  operator.allow(
    // So that init sees whether the policy is still what the config wants.
    { path: `sys/policies/acl/${trustPolicyNames(environment).operator}`, capabilities: ["read"] },
    // Where that takes a token (OpenBao 2.6 and later): makes a root token for who has the unseal keys, for nobody else.
    { path: "sys/generate-root-token/attempt", capabilities: ["create", "read", "update", "delete"] },
    { path: "sys/generate-root-token/update", capabilities: ["create", "update"] },
    ...OWN_TOKEN,
  );
}

/** Terraform's token for a pull request's diff. */
export function grantPlanner(planner: IGrantee, environment: Environment, managed: readonly Managed[]): void {
  for (const part of managed) part.grantInspect(planner);
  for (const path of policyPaths(environment)) planner.allow({ path, capabilities: ["read"] });
  planner.allow(...OWN_TOKEN);
}

/** The deliverer's own token; what it delivers are grants of the AppRoles. */
export function grantDeliverer(deliverer: IGrantee): void {
  deliverer.allow(...OWN_TOKEN);
}

/** What the verifier does with what it holds: a lease's id, a persona's token, of which it asks what that may do. */
export function grantVerifier(verifier: IGrantee): void {
  verifier.allow(
    { path: "sys/leases/renew", capabilities: ["update"] },
    { path: "sys/leases/revoke", capabilities: ["update"] },
    { path: "auth/token/revoke", capabilities: ["update"] },
    { path: "sys/capabilities", capabilities: ["update"] },
    ...OWN_TOKEN,
  );
}
