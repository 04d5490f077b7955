import { ApproleAuthBackendRole } from "@cdktf/provider-vault/lib/approle-auth-backend-role";
import { Construct } from "constructs";
import { checkPositive, DeclarationError } from "../declaration-error";
import { Duration } from "../duration";
import { checkName, VAULT_POLICY_NAME } from "../names";
import type { IAppRoleAuth } from "./app-role-auth";
import type { IPersonaLogin } from "./persona-login";
import { Policy, type IPolicy } from "./policy";
import { OWN_TOKEN, type IGrantee, type PolicyRule } from "./policy-document";

/** A path of an engine that is somebody else's, such as `secret/data/app/*`, and what may be done there. */
export type PathGrant = Pick<PolicyRule, "path" | "capabilities">;

export interface AppRoleProps {
  /** Where it logs in. */
  readonly auth: IAppRoleAuth;
  /** The AppRole's name. */
  readonly name: string;
  /**
   * The name of its own policy.
   * @default - the AppRole's
   */
  readonly policyName?: string;
  /**
   * A comment in its policy's first line, by which that is told from somebody else's.
   * @default - none
   */
  readonly mark?: string;
  /**
   * Policies beside its own.
   * @default - none
   */
  readonly policies?: readonly IPolicy[];
  /**
   * What its own policy allows beside its leases.
   * @default - nothing
   */
  readonly paths?: readonly PathGrant[];
  /**
   * How long a token lives until it is renewed.
   * @default - 1 hour
   */
  readonly tokenTtl?: Duration;
  /**
   * How long it lives however often it is renewed; its leases end with it.
   * @default - 24 hours
   */
  readonly tokenMaxTtl?: Duration;
  /**
   * Address ranges from which its tokens may be used.
   * @default - from anywhere
   */
  readonly tokenBoundCidrs?: readonly string[];
  /**
   * How long a secret id can be used to log in.
   * @default - 24 hours
   */
  readonly secretIdTtl?: Duration;
  /**
   * How often a secret id can be used to log in.
   * @default - once
   */
  readonly secretIdUses?: number;
  /**
   * Address ranges from which its secret ids may be used.
   * @default - from anywhere
   */
  readonly secretIdBoundCidrs?: readonly string[];
}

/**
 * An application's identity. Its token can look itself up, renew and end itself and the leases whose ids it holds, and can do
 * what is granted to the AppRole; it has no default policy (https://developer.hashicorp.com/vault/docs/concepts/policies#default-policy).
 */
export class AppRole extends Construct implements IPersonaLogin {
  readonly appRoleName: string;
  readonly tokenMaxTtl: Duration;
  private readonly appRole: NonNullable<IPersonaLogin["declared"]["appRole"]>;
  private readonly policy: Policy;
  private readonly others: readonly IPolicy[];
  private readonly paths: readonly PathGrant[];
  private readonly resource: ApproleAuthBackendRole;

  constructor(scope: Construct, id: string, props: AppRoleProps) {
    super(scope, id);
    const { auth, policies = [], paths = [] } = props;
    const { tokenTtl = Duration.hours(1), tokenMaxTtl = Duration.hours(24), tokenBoundCidrs } = props;
    const { secretIdTtl = Duration.hours(24), secretIdUses = 1 } = props;
    if (tokenMaxTtl.isShorterThan(tokenTtl)) {
      throw new DeclarationError(
        `token max TTL (${tokenMaxTtl.toString()}) must be at least the token TTL (${tokenTtl.toString()})`,
      );
    }
    // To Vault none would be without a limit.
    checkPositive("secret id uses", secretIdUses);
    auth.appRoles.push(this);
    this.appRoleName = checkName(VAULT_POLICY_NAME, "AppRole name", props.name);
    this.tokenMaxTtl = tokenMaxTtl;
    this.policy = new Policy(this, "Policy", {
      name: props.policyName ?? this.appRoleName,
      mark: props.mark,
    });
    this.allow(
      ...OWN_TOKEN,
      { path: "auth/token/revoke-self", capabilities: ["update"] },
      // Whose id, which nobody guesses, is in the request.
      { path: "sys/leases/renew", capabilities: ["update"] },
      { path: "sys/leases/revoke", capabilities: ["update"] },
      ...paths,
    );
    this.paths = paths;
    this.others = policies;
    const tokenPolicies = [this.policy, ...policies].map(({ policyName }) => policyName);
    const settings = {
      tokenTtl: tokenTtl.toSeconds(),
      tokenMaxTtl: tokenMaxTtl.toSeconds(),
      tokenBoundCidrs: tokenBoundCidrs && [...tokenBoundCidrs],
      secretIdTtl: secretIdTtl.toSeconds(),
    };
    const secretIdBoundCidrs = props.secretIdBoundCidrs && [...props.secretIdBoundCidrs];
    this.appRole = {
      ...{ authMount: auth.path, authMountExists: auth.exists || undefined },
      ...{ name: this.appRoleName, policies: tokenPolicies },
      ...{ ...settings, secretIdUses, secretIdBoundCidrs },
    };
    this.resource = new ApproleAuthBackendRole(this, "Resource", {
      backend: auth.mountedPath,
      roleName: this.appRoleName,
      bindSecretId: true,
      secretIdNumUses: secretIdUses,
      secretIdBoundCidrs,
      tokenPolicies,
      tokenNoDefaultPolicy: true,
      ...settings,
    });
  }

  allow(...rules: PolicyRule[]): void {
    this.policy.allow(...rules);
  }

  /** Chosen by Vault at random. No secret, and not the deliverer's to read: with a secret id it logs in. */
  get roleId(): string {
    return this.resource.roleId;
  }

  /** Where Vault has it. */
  get path(): string {
    return `auth/${this.appRole.authMount}/role/${this.appRoleName}`;
  }

  /** Of its own policy. */
  get policyName(): string {
    return this.policy.policyName;
  }

  get declared(): IPersonaLogin["declared"] {
    const { appRole, policy, others, paths } = this;
    return {
      appRole,
      policies: [
        { name: policy.policyName, text: policy.text },
        ...others.map(({ policyName: name }) => ({ name })),
      ],
      // Left out where there are none.
      ...(paths.length > 0 && {
        paths: paths.map(({ path, capabilities }) => ({ path, capabilities: [...capabilities] })),
      }),
    };
  }

  /**
   * The AppRole with its own policies and no other, and its own policy with its own text: whoever could write either otherwise
   * would give the AppRole's tokens what it likes.
   */
  grantManage(grantee: IGrantee): void {
    this.policy.grantManage(grantee);
    grantee.allow({
      path: this.path,
      capabilities: ["create", "read", "update", "delete"],
      parameters: {
        // An AppRole that logs in without a secret id would give its writer every credential.
        bind_secret_id: [true],
        // Lists in a list: the whole list is compared, and the provider sends a set in whatever order. What has no line is refused,
        // such as the old name, `policies`.
        token_policies: orders(this.appRole.policies),
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
    grantee.allow({ path: `sys/policies/acl/${this.policyName}`, capabilities: ["read"] });
  }
}

function orders<Item>(items: readonly Item[]): Item[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((first, i) =>
    orders(items.filter((_, at) => at !== i)).map((rest) => [first, ...rest]),
  );
}
