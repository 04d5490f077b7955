import { TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import { Input, type InputProps } from "./input";

type SecretProps = Pick<InputProps, "for" | "server" | "description">;

/**
 * A secret that Terraform receives at run time and stores nowhere: an ephemeral, sensitive variable, set as
 * `TF_VAR_<variable>`. It can only go into a provider's configuration or a write-only argument
 * (https://developer.hashicorp.com/terraform/language/manage-sensitive-data/ephemeral).
 */
export class Secret {
  /** The variable says what it is for as an {@link Input} does, and is declared in each stack that refers to the secret. */
  static fromVariable(variable: string, props: SecretProps): Secret {
    return new Secret(variable, props);
  }

  private readonly inputs = new Map<TerraformStack, Input>();

  private constructor(
    readonly variable: string,
    private readonly props: SecretProps,
  ) {}

  /** A reference to the variable, never the secret itself. The stack of the scope declares the variable, once. */
  referenceIn(scope: Construct): string {
    const stack = TerraformStack.of(scope);
    const input = this.inputs.get(stack) ?? this.declareIn(stack);
    return input.stringValue;
  }

  private declareIn(stack: TerraformStack): Input {
    const input = new Input(stack, this.variable, { ...this.props, sensitive: true });
    // cdktf 0.21 has no property for it.
    input.addOverride("ephemeral", true);
    this.inputs.set(stack, input);
    return input;
  }
}
