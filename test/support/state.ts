import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Attributes, Deployment, StackName } from "../../ops/deployment/deployment";

/** Where Terraform keeps a stack's state. */
export function stateFile(commands: Deployment, name: StackName): string {
  const { folder, json } = commands.stack(name)!;
  return resolve(folder, String(json.terraform.backend["local"]!["path"]));
}

/** A state of a stack that has some of the resources that it declares, as if Terraform had made no others. */
export function recordState(
  commands: Deployment,
  isMade: (type: string, attributes: Attributes) => boolean,
  stack: StackName = "postgres",
): void {
  const at = commands.stack(stack)!;
  const resources = Object.entries(at.json.resource).flatMap(([type, byName]) =>
    Object.entries(byName)
      .filter(([, attributes]) => isMade(type, attributes))
      .map(([name, attributes]) => ({
        ...{ mode: "managed", type, name },
        instances: [{ attributes: commands.valueIn(at, attributes) }],
      })),
  );
  writeFileSync(stateFile(commands, stack), JSON.stringify({ version: 4, resources }));
  commands.forgetState(stack);
}
