import { TerraformVariable } from "cdktf";
import { Construct } from "constructs";

/**
 * A secret that Terraform receives at run time and stores nowhere: an ephemeral, sensitive variable, set as
 * `TF_VAR_<name>`. It can only go into a provider's configuration or a write-only argument
 * (https://developer.hashicorp.com/terraform/language/manage-sensitive-data/ephemeral).
 */
export class Secret {
  static fromVariable(scope: Construct, name: string, description: string): Secret {
    const variable = new TerraformVariable(scope, name, { type: "string", sensitive: true, description });
    // cdktf 0.21 has no property for it.
    variable.addOverride("ephemeral", true);
    return new Secret(variable.stringValue);
  }

  private constructor(
    /** A reference to the variable, never the secret itself. */
    readonly reference: string,
  ) {}
}
