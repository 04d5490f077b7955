import { LocalBackend, TerraformBackend, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import type { Environment } from "../config/schema/schema";

/** A backend as it is in the config: Terraform knows its backends, and cdktf not all of them. */
class Backend extends TerraformBackend {
  constructor(
    scope: Construct,
    type: string,
    private readonly values: Readonly<Record<string, unknown>>,
  ) {
    super(scope, "backend", type);
  }

  protected override synthesizeAttributes(): Record<string, unknown> {
    return { ...this.values };
  }

  override getRemoteStateDataSource(): never {
    throw new Error("no stack reads another one's state");
  }
}

/** A stack whose synthesized configuration is the same on every machine. */
export class LeaseholdStack extends TerraformStack {
  constructor(scope: Construct, id: string, { name, backend }: Pick<Environment, "name" | "backend">) {
    super(scope, id);
    if (backend) {
      const values = JSON.parse(JSON.stringify(backend.arguments), (_, value: unknown) =>
        typeof value === "string" ? value.replaceAll("{stack}", id).replaceAll("{environment}", name) : value,
      ) as Record<string, unknown>;
      new Backend(this, backend.type, values);
    } else {
      // Relative to cdktf.out/stacks/<id>, where Terraform runs; the backend's own default is an absolute path.
      new LocalBackend(this, { path: `../../../terraform.${name}.${id}.tfstate` });
    }
  }
}
