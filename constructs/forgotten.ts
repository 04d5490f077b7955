import { TerraformElement } from "cdktf";
import type { Construct } from "constructs";

/** A resource that a stack had under this id: Terraform forgets it, and what it made stays until a command takes it away. */
export class Forgotten extends TerraformElement {
  constructor(
    scope: Construct,
    id: string,
    private readonly type: string,
  ) {
    super(scope, id);
  }

  override toTerraform(): object {
    const from = `${this.type}.${this.friendlyUniqueId}`;
    return { removed: [{ from, lifecycle: { destroy: false } }] };
  }
}
