import { TerraformStack, TerraformVariable } from "cdktf";
import type { Construct } from "constructs";
import type { InputPurpose } from "../manifest/inputs";
import { Manifest } from "./manifest";

export interface InputProps {
  /** What it is for: the manifest says so, and whoever sets the variable looks it up by this. */
  readonly for: InputPurpose;
  /**
   * The name of the PostgreSQL server that it is about.
   * @default - it is about none
   */
  readonly server?: string;
  /**
   * Terraform's type.
   * @default - that of the default, or a text
   */
  readonly type?: "string" | "number";
  /**
   * Its value where nobody sets it.
   * @default - it has to be set, as `TF_VAR_<name>`
   */
  readonly default?: string | number;
  /** For whoever has to set it. */
  readonly description: string;
  /**
   * Has Terraform hide the value.
   * @default - Terraform shows it
   */
  readonly sensitive?: boolean;
}

/**
 * A Terraform variable of the stack in which the scope is, whose id is its name. `for` stands where the variable is declared: in
 * the servers, addresses and containers of constructs/, in stacks/platform.ts, and for Vault's own login in stacks/postgres.ts.
 */
export class Input extends TerraformVariable {
  constructor(scope: Construct, name: string, props: InputProps) {
    const { for: purpose, server, ...config } = props;
    super(TerraformStack.of(scope), name, {
      ...config,
      type: config.type ?? (typeof config.default === "number" ? "number" : "string"),
    });
    Manifest.of(scope).addInput({ variable: name, for: purpose, server });
  }
}
