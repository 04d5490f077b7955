import { ApproleAuthBackendRole } from "@cdktf/provider-vault/lib/approle-auth-backend-role";
import { Construct } from "constructs";
import { Duration } from "../duration";
import { checkName, VAULT_POLICY_NAME } from "../names";
import type { AppRoleAuth } from "./app-role-auth";
import { Policy } from "./policy";
import type { IGrantee, PolicyRule } from "./policy-document";

export interface AppRoleProps {
  /** The AppRole's name and its policy's. */
  readonly name: string;
  readonly tokenTtl: Duration;
  readonly tokenMaxTtl: Duration;
  /** @default - its tokens may be used from anywhere */
  readonly tokenBoundCidrs?: readonly string[];
  readonly secretIdTtl: Duration;
  readonly secretIdUses: number;
  /** @default - its secret ids may be used from anywhere */
  readonly secretIdBoundCidrs?: readonly string[];
}

/** How long a wrapped secret id may wait to be opened. */
export const SECRET_ID_WRAPPING = { min: Duration.seconds(5), max: Duration.minutes(5) };

/**
 * An application's identity. Its token can renew itself and its leases, and can do what is granted to the AppRole; it has
 * no default policy (https://developer.hashicorp.com/vault/docs/concepts/policies#default-policy).
 */
export class AppRole extends Construct implements IGrantee {
  readonly appRoleName: string;
  readonly tokenMaxTtl: Duration;
  private readonly policy: Policy;

  constructor(
    private readonly auth: AppRoleAuth,
    id: string,
    props: AppRoleProps,
  ) {
    super(auth.roles, id);
    this.appRoleName = checkName(VAULT_POLICY_NAME, "AppRole name", props.name);
    this.tokenMaxTtl = props.tokenMaxTtl;
    if (props.tokenMaxTtl.isShorterThan(props.tokenTtl)) {
      throw new Error(
        `token max TTL (${props.tokenMaxTtl.toString()}) must be at least the token TTL (${props.tokenTtl.toString()})`,
      );
    }
    this.policy = new Policy(this, "Policy", { name: this.appRoleName });
    this.allow(
      { path: "auth/token/renew-self", capabilities: ["update"] },
      { path: "sys/leases/renew", capabilities: ["update"] },
    );
    new ApproleAuthBackendRole(this, "Resource", {
      backend: auth.mountedPath,
      roleName: this.appRoleName,
      bindSecretId: true,
      secretIdTtl: props.secretIdTtl.toSeconds(),
      secretIdNumUses: props.secretIdUses,
      secretIdBoundCidrs: props.secretIdBoundCidrs && [...props.secretIdBoundCidrs],
      tokenBoundCidrs: props.tokenBoundCidrs && [...props.tokenBoundCidrs],
      tokenPolicies: [this.policy.policyName],
      tokenNoDefaultPolicy: true,
      tokenTtl: props.tokenTtl.toSeconds(),
      tokenMaxTtl: props.tokenMaxTtl.toSeconds(),
    });
  }

  allow(...rules: PolicyRule[]): void {
    this.policy.allow(...rules);
  }

  /** The role id, and secret ids that are wrapped: neither logs in alone, and an opened wrapping is noticed. */
  grantDeliver(grantee: IGrantee): void {
    const path = `auth/${this.auth.path}/role/${this.appRoleName}`;
    grantee.allow(
      { path: `${path}/role-id`, capabilities: ["read"] },
      { path: `${path}/secret-id`, capabilities: ["update"], wrapping: SECRET_ID_WRAPPING },
    );
  }

  /** The text of the AppRole's own policy, to name the line behind what it allows. */
  grantReadPolicy(grantee: IGrantee): void {
    grantee.allow({ path: `sys/policies/acl/${this.appRoleName}`, capabilities: ["read"] });
  }
}
