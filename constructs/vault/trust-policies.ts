import { TerraformStack } from "cdktf";
import { Construct } from "constructs";
import type { TrustToken } from "../../manifest/names";
import { spell } from "../manifest";
import type { IDatabaseMount } from "./database-mount";
import type { IAuthMethod } from "./persona-login";
import { OWN_TOKEN, PolicyDocument, type PolicyRule } from "./policy-document";

export interface TrustPoliciesProps {
  /** What the policies are called in Vault. */
  readonly names: Readonly<Record<TrustToken, string>>;
  /**
   * A comment in the first line of each, by which it is told from somebody else's.
   * @default - none
   */
  readonly mark?: string;
  /**
   * What the names of the personas' policies start with, and none of `names` does.
   * @default - each is named in the policies of the tokens that read it
   */
  readonly namePrefix?: string;
  /**
   * Whether the verifier may log in as each persona.
   * @default - its token can look at itself, and no more
   */
  readonly verification?: boolean;
}

/** Policies that a stack had until init wrote them. */
const FORMER_RESOURCES = ["Planner_D1424F44", "Deliverer_ECE61983", "Verifier_F60271A7"];

/**
 * The policies of the trust model, which whoever initialises Vault writes. No resources: whoever can write the policy of a token
 * can do what that may.
 */
export class TrustPolicies extends Construct {
  /** Logs in as each persona; what it leases itself is granted to it. */
  readonly verifier: PolicyDocument;
  private readonly mounts: IDatabaseMount[] = [];
  private readonly auths: IAuthMethod[] = [];

  constructor(
    scope: Construct,
    id: string,
    private readonly props: TrustPoliciesProps,
  ) {
    super(scope, id);
    this.verifier = this.document();
    // They leave the stack's state, and stay in Vault.
    TerraformStack.of(this).addOverride(
      "removed",
      FORMER_RESOURCES.map((resource) => ({
        from: `vault_policy.${resource}`,
        lifecycle: { destroy: false },
      })),
    );
  }

  /** Has the operator manage a mount, and the planner look at it. */
  addMount(mount: IDatabaseMount): void {
    this.mounts.push(mount);
  }

  /** Has each token of the trust model do its part with an auth method with which personas log in. */
  addAuth(auth: IAuthMethod): void {
    this.auths.push(auth);
  }

  /** In HCL, with what was added and granted by now. Variables stand in it as Terraform spells them: `${var.name}`. */
  texts(): Record<TrustToken, string> {
    return spell(this, {
      operator: this.operator().toString(),
      planner: this.planner().toString(),
      deliverer: this.deliverer().toString(),
      verifier: this.verifierPolicy().toString(),
    });
  }

  private document(): PolicyDocument {
    return new PolicyDocument(this.props.mark);
  }

  /** Terraform's token when it deploys. It can write database roles, so it can run any SQL as Vault's login. */
  private operator(): PolicyDocument {
    const operator = this.document();
    // database-mount.ts with database-connection.ts, app-role-auth.ts with app-role.ts and policy.ts: each says what is managed.
    for (const part of [...this.mounts, ...this.auths]) part.grantManage(operator);
    // The policies of the trust model too, so that init sees whether they are still what the config wants.
    operator.allow(...this.readablePolicies());
    operator.allow(
      // Those of personas that are no longer declared. Without a prefix init names them, from Terraform's state.
      ...this.prefixed().map((path): PolicyRule => ({ path, capabilities: ["delete"] })),
      // Where that takes a token (OpenBao 2.6 and later): makes a root token for whoever has the unseal keys, for nobody else.
      { path: "sys/generate-root-token/attempt", capabilities: ["create", "read", "update", "delete"] },
      { path: "sys/generate-root-token/update", capabilities: ["create", "update"] },
      ...OWN_TOKEN,
    );
    return operator;
  }

  /** Terraform's token for a pull request's diff. */
  private planner(): PolicyDocument {
    const planner = this.document();
    for (const part of [...this.mounts, ...this.auths]) part.grantInspect(planner);
    planner.allow(...this.readablePolicies(), ...OWN_TOKEN);
    return planner;
  }

  /** Who brings to applications what they log in with, and can't log in with that alone. */
  private deliverer(): PolicyDocument {
    const deliverer = this.document();
    for (const auth of this.auths) auth.grantDeliver(deliverer);
    deliverer.allow(...OWN_TOKEN);
    return deliverer;
  }

  private verifierPolicy(): PolicyDocument {
    const { verifier } = this;
    const { verification = false } = this.props;
    if (verification) {
      for (const auth of this.auths) auth.grantVerify(verifier);
      verifier.allow(
        // With what it holds: a lease's id, a persona's token, of which it asks what that may do.
        { path: "sys/leases/renew", capabilities: ["update"] },
        { path: "sys/leases/revoke", capabilities: ["update"] },
        { path: "auth/token/revoke", capabilities: ["update"] },
        { path: "sys/capabilities", capabilities: ["update"] },
      );
    }
    verifier.allow(...OWN_TOKEN);
    return verifier;
  }

  /** The personas' policies, by the prefix that no policy of the trust model has or by name, and the trust model's own. */
  private readablePolicies(): PolicyRule[] {
    const named = this.props.namePrefix ? [] : this.auths.flatMap(({ policyNames }) => policyNames);
    const paths = [...named, ...Object.values(this.props.names)].map((name) => `sys/policies/acl/${name}`);
    return [...this.prefixed(), ...paths].map((path) => ({ path, capabilities: ["read"] }));
  }

  /** Where policies with the prefix are. */
  private prefixed(): string[] {
    const { namePrefix } = this.props;
    return namePrefix ? [`sys/policies/acl/${namePrefix}*`] : [];
  }
}
