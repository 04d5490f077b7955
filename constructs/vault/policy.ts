import { Policy as PolicyResource } from "@cdktf/provider-vault/lib/policy";
import { Lazy } from "cdktf";
import { Construct } from "constructs";
import { checkName, VAULT_POLICY_NAME } from "../names";
import { PolicyDocument, type IGrantee, type PolicyRule } from "./policy-document";

/** An ACL policy, by its name. */
export interface IPolicy {
  readonly policyName: string;
}

export interface PolicyProps {
  /** The policy's name. */
  readonly name: string;
  /**
   * A comment in its first line, by which it is told from somebody else's.
   * @default - none
   */
  readonly mark?: string;
}

/** An ACL policy whose rules are the grants that were made to it by synth time. */
export class Policy extends Construct implements IPolicy, IGrantee {
  /** One that exists already, whatever it allows. */
  static fromName(policyName: string): IPolicy {
    return { policyName };
  }

  readonly policyName: string;
  private readonly document: PolicyDocument;

  constructor(scope: Construct, id: string, props: PolicyProps) {
    super(scope, id);
    this.document = new PolicyDocument(props.mark);
    this.policyName = checkName(VAULT_POLICY_NAME, "policy name", props.name);
    new PolicyResource(this, "Resource", {
      name: this.policyName,
      policy: Lazy.stringValue({ produce: () => this.text }),
    });
  }

  /** What it has by now, in HCL. */
  get text(): string {
    return this.document.toString();
  }

  allow(...rules: PolicyRule[]): void {
    this.document.allow(...rules);
  }

  /** Lets the grantee write the policy with the text that it has by now, and no other. */
  grantManage(grantee: IGrantee): void {
    grantee.allow({
      path: `sys/policies/acl/${this.policyName}`,
      capabilities: ["create", "read", "update", "delete"],
      parameters: { policy: [this.text] },
    });
  }
}
