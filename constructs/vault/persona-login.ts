import type { Construct } from "constructs";
import type { AccessManifestInput } from "../../manifest/schema";
import { addAppRoleLogin, type AppRoleLoginProps } from "./app-role-auth";
import type { IGrantee } from "./policy-document";
import type { TrustPolicies } from "./trust-policies";

type Persona = AccessManifestInput["databases"][number]["personas"][number];

/** How a persona proves to Vault who it is: a role of an auth method, to which its leases are granted. */
export interface IPersonaLogin extends IGrantee {
  /** As the manifest has it, by now. */
  readonly declared: Pick<Persona, "login" | "appRole" | "policies" | "paths">;
}

/** An auth method, and what the tokens of the trust model may do with it and with the logins that were added to it. */
export interface IAuthMethod {
  /** The personas' own policies that were added to it by now. */
  readonly policyNames: readonly string[];
  /** Lets the operator mount it, and write its logins as they are declared. */
  grantManage(grantee: IGrantee): void;
  /** Lets the planner read what the operator writes. */
  grantInspect(grantee: IGrantee): void;
  /** Lets the deliverer bring to applications what they log in with. */
  grantDeliver(grantee: IGrantee): void;
  /** Lets the verifier log in as each persona, and read its policy. */
  grantVerify(grantee: IGrantee): void;
}

/** A login as a config declares it, by its kind. */
export type PersonaLoginProps = AppRoleLoginProps;

/**
 * Makes a persona's login. The auth method of its kind is mounted with the first one, and is part of the trust model from then
 * on.
 * @param scope of the auth methods
 */
export function addPersonaLogin(
  scope: Construct,
  trust: TrustPolicies,
  login: PersonaLoginProps,
): IPersonaLogin {
  return addAppRoleLogin(scope, trust, login);
}
