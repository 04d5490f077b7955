import { LocalBackend, TerraformStack } from "cdktf";
import type { Construct } from "constructs";

/** A stack whose synthesized configuration is the same on every machine. */
export class LeaseholdStack extends TerraformStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    // Relative to cdktf.out/stacks/<id>, where Terraform runs; the backend's own default is an absolute path.
    new LocalBackend(this, { path: `../../../terraform.${id}.tfstate` });
  }
}
