import type { Environment } from "../config/schema/schema";
import type { AppRoleAuth } from "../constructs/vault/app-role-auth";
import type { IGrantee } from "../constructs/vault/policy-document";
import { trustPolicyNames } from "../manifest/names";

interface Managed {
  grantManage(grantee: IGrantee): void;
  grantInspect(grantee: IGrantee): void;
}

/** The personas' policies, by the prefix that no policy of the trust model has, and the trust model's own. */
function policyPaths(environment: Environment): string[] {
  const names = [`${environment.vault.namePrefix}*`, ...Object.values(trustPolicyNames(environment))];
  return names.map((name) => `sys/policies/acl/${name}`);
}

/** A token looks at itself before Terraform uses it, and keeps itself alive. */
export const OWN_TOKEN = [
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
  // The policies of the trust model too, so that init sees whether they are still what the config wants.
  for (const path of policyPaths(environment)) operator.allow({ path, capabilities: ["read"] });
  operator.allow(
    // Those of personas that are no longer declared.
    { path: `sys/policies/acl/${environment.vault.namePrefix}*`, capabilities: ["delete"] },
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

/** Who brings secret ids to applications, and can't log in with them: the role ids are others' to bring. */
export function grantDeliverer(deliverer: IGrantee, auth: AppRoleAuth): void {
  auth.grantDeliver(deliverer);
  deliverer.allow(...OWN_TOKEN);
}

/** Logs in as each persona; what it leases are grants of the probes' database roles. */
export function grantVerifier(verifier: IGrantee, auth: AppRoleAuth): void {
  auth.grantDeliver(verifier);
  auth.grantReadRoleId(verifier);
  for (const appRole of auth.appRoles) appRole.grantReadPolicy(verifier);
  verifier.allow(
    // With what it holds: a lease's id, a persona's token, of which it asks what that may do.
    { path: "sys/leases/renew", capabilities: ["update"] },
    { path: "sys/leases/revoke", capabilities: ["update"] },
    { path: "auth/token/revoke", capabilities: ["update"] },
    { path: "sys/capabilities", capabilities: ["update"] },
  );
}
