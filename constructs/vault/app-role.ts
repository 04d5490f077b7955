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

/**
 * An application's identity. Its token can renew itself and its leases, and can do what is granted to the AppRole; it has
 * no default policy (https://developer.hashicorp.com/vault/docs/concepts/policies#default-policy).
 */
export class AppRole extends Construct implements IGrantee {
  readonly appRoleName: string;
  readonly tokenMaxTtl: Duration;
  private readonly policy: Policy;
  private readonly resource: ApproleAuthBackendRole;

  constructor(
    private readonly auth: AppRoleAuth,
    id: string,
    props: AppRoleProps,
  ) {
    super(auth.roles, id);
    auth.appRoles.push(this);
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
    this.resource = new ApproleAuthBackendRole(this, "Resource", {
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

  /** Chosen by Vault at random. No secret, and not the deliverer's to read: with a secret id it logs in. */
  get roleId(): string {
    return this.resource.roleId;
  }

  /**
   * The AppRole with its own policy and no other, and that policy with its own text: who could write either otherwise would
   * give the AppRole's tokens what it likes.
   */
  grantManage(grantee: IGrantee): void {
    this.policy.grantManage(grantee);
    grantee.allow({
      path: `auth/${this.auth.path}/role/${this.appRoleName}`,
      capabilities: ["create", "read", "update", "delete"],
      parameters: {
        // An AppRole that logs in without a secret id would give its writer every credential.
        bind_secret_id: [true],
        // A list in a list: the whole list is compared. What has no line is refused, such as the old name, `policies`.
        token_policies: [[this.policy.policyName]],
        token_no_default_policy: [true],
        secret_id_ttl: [],
        secret_id_num_uses: [],
        secret_id_bound_cidrs: [],
        token_bound_cidrs: [],
        token_ttl: [],
        token_max_ttl: [],
        token_explicit_max_ttl: [],
        token_period: [],
        token_num_uses: [],
        token_type: [],
      },
    });
  }

  /** The text of the AppRole's own policy, to name the line behind what it allows. */
  grantReadPolicy(grantee: IGrantee): void {
    grantee.allow({ path: `sys/policies/acl/${this.appRoleName}`, capabilities: ["read"] });
  }
}
