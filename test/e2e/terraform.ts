import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Deployment } from "../support/deployment";
import { ROOT } from "../support/program";

export interface Ended {
  readonly code: number | null;
  /** Both streams, as they came. */
  readonly output: string;
}

/** Runs a program to its end. Never asks: without an answer to a missing variable Terraform would wait for ever. */
export function run(
  program: string,
  args: readonly string[],
  options: { cwd: string; env: NodeJS.ProcessEnv },
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.on("error", reject);
    child.on("close", (code) => {
      resolve({ code, output });
    });
  });
}

/** What plain cdktf and Terraform need: the variables, and a token of Vault's. */
export function environment(deployment: Deployment, token: "operator" | "planner"): NodeJS.ProcessEnv {
  const { sandbox } = deployment;
  return {
    ...process.env,
    ...sandbox.terraformVariables(),
    VAULT_TOKEN: sandbox.initialised.tokens[token],
    TF_INPUT: "0",
    CHECKPOINT_DISABLE: "1",
  };
}

/**
 * `cdktf deploy` or `destroy` of one stack, with the real providers. One at a time: --ignore-missing-stack-dependencies,
 * needed since the stack platform is left out, ignores the order of the others too. The provider lock would ask the registry.
 */
export function cdktf(deployment: Deployment, command: "deploy" | "destroy", stack: string): Promise<Ended> {
  const args = [
    command,
    stack,
    "--auto-approve",
    "--ignore-missing-stack-dependencies",
    "--output",
    deployment.synthesized,
  ];
  if (command === "deploy") args.push("--skip-provider-lock");
  args.push("--app", `node --import tsx ${deployment.app}`);
  return run(join(ROOT, "node_modules/.bin/cdktf"), args, {
    cwd: ROOT,
    env: { ...environment(deployment, "operator"), LEASEHOLD_ENV: deployment.manifest.environment },
  });
}

/** `terraform plan` of a deployed stack: exit code 0 where there is nothing to do, 2 where there is. */
export function plan(
  deployment: Deployment,
  stack: string,
  token: "operator" | "planner" = "planner",
): Promise<Ended> {
  const cwd = join(deployment.synthesized, "stacks", stack);
  return run("terraform", ["plan", "-detailed-exitcode", "-no-color", "-lock=false"], {
    cwd,
    env: environment(deployment, token),
  });
}
