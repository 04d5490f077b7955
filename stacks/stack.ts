import { LocalBackend, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import type { Environment } from "../config/schema";

/** A stack whose synthesized configuration is the same on every machine. */
export class LeaseholdStack extends TerraformStack {
  constructor(scope: Construct, id: string, { name, backend }: Pick<Environment, "name" | "backend">) {
    super(scope, id);
    if (backend) {
      // As it is in the config: Terraform knows its backends, and cdktf not all of them.
      const values = Object.entries(backend.arguments).map(([key, value]): [string, unknown] => [
        key,
        typeof value === "string" ? value.replaceAll("{stack}", id).replaceAll("{environment}", name) : value,
      ]);
      this.addOverride(`terraform.backend.${backend.type}`, Object.fromEntries(values));
    } else {
      // Relative to cdktf.out/stacks/<id>, where Terraform runs; the backend's own default is an absolute path.
      new LocalBackend(this, { path: `../../../terraform.${name}.${id}.tfstate` });
    }
  }
}
