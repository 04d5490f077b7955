import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { synthesize } from "../ops/deployment/synthesize";
import { freePort } from "../sandbox/free-port";
import { Sandbox } from "../sandbox/sandbox";
import { SetupError } from "../clients/setup-error";
import { Workspace } from "../sandbox/workspace";
import type { InputPurpose } from "../manifest/inputs";
import { readAccessManifest } from "../manifest/schema";
import { Checkout } from "./checkout";
import { comparison, time, type Comparison } from "./measure";

const ROUNDS = 2;
const PHASES = ["first deploy", "deploy, nothing to do", "diff", "destroy"] as const;
type Phase = (typeof PHASES)[number];
const BESIDE: Readonly<Record<Phase, string>> = {
  "first deploy": "terraform init and apply, stack by stack",
  "deploy, nothing to do": "terraform apply, stack by stack",
  diff: "terraform plan, all stacks at once",
  destroy: "terraform destroy, stack by stack",
};

/** A measured command failed, for a reason that is not the machine's. */
export class BenchFailed extends Error {
  override readonly name = "BenchFailed";
}

/** Where one deploys from, with the addresses of where to. */
interface Target {
  readonly checkout: Checkout;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * `leasehold` beside plain Terraform on the same JSON, in copies of the checkout: on Docker for an environment that has a
 * stack `platform`, under names and on ports of this run, else on embedded servers.
 * @throws SetupError when the machine misses something for it, BenchFailed
 */
export async function benchDeploys(
  environment: string,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<Comparison[]> {
  const times = new Map(PHASES.map((phase) => [phase, { ours: [] as number[], plain: [] as number[] }]));
  for (let round = 1; round <= ROUNDS; round += 1) {
    for (const [who, deploys] of [
      ["ours", ours],
      ["plain", plain],
    ] as const) {
      await onTarget(environment, signal, async (target) => {
        for await (const [phase, milliseconds] of deploys(target, signal)) {
          times.get(phase)![who].push(milliseconds);
          onProgress(
            `round ${String(round)} of ${String(ROUNDS)}, ${who === "ours" ? "leasehold" : "terraform"}: ${phase}`,
          );
        }
      });
    }
  }
  return [...times].map(([phase, { ours, plain }]) => comparison([phase, BESIDE[phase]], ours, plain));
}

async function* ours(target: Target, signal: AbortSignal): AsyncGenerator<[Phase, number]> {
  const command = (...args: string[]) => time(() => leasehold(target, signal, ...args));
  yield ["first deploy", await command("deploy", "--auto-approve")];
  yield ["deploy, nothing to do", await command("deploy", "--auto-approve")];
  yield ["diff", await command("diff")];
  yield ["destroy", await command("destroy", "--auto-approve")];
}

async function* plain(target: Target, signal: AbortSignal): AsyncGenerator<[Phase, number]> {
  const { checkout } = target;
  await synthesize(checkout.environment, checkout.path("cdktf.out"));
  const { stacks } = JSON.parse(readFileSync(checkout.path("cdktf.out/manifest.json"), "utf8")) as {
    stacks: Record<string, unknown>;
  };
  const names = ["platform", "postgres", "vault"].filter((name) => name in stacks);
  let exports: NodeJS.ProcessEnv = {};
  const readExports = async () => {
    exports = parseExports(await leasehold(target, signal, "env"));
  };
  const terraform = async (stack: string, ...args: string[]) => {
    const env = { ...target.env, ...exports };
    await run("terraform", args, { cwd: checkout.path("cdktf.out/stacks", stack), env, signal });
  };
  const apply = (stack: string) => terraform(stack, "apply", "-auto-approve", "-input=false");
  const each = (stacks: readonly string[], work: (stack: string) => Promise<void>) =>
    time(async () => {
      for (const stack of stacks) await work(stack);
    });
  await readExports();
  yield [
    "first deploy",
    await each(names, async (stack) => {
      await terraform(stack, "init", "-input=false");
      await apply(stack);
      if (stack !== "platform") return;
      // Vault has to be made ready in between, and its operator's token be known.
      await leasehold(target, signal, "init");
      await readExports();
    }),
  ];
  yield ["deploy, nothing to do", await each(names, apply)];
  const plan = (stack: string) => terraform(stack, "plan", "-input=false", "-lock=false");
  yield ["diff", await time(() => Promise.all(names.map(plan)))];
  yield ["destroy", await each(names.reverse(), (stack) => terraform(stack, "destroy", "-auto-approve"))];
}

/** New servers and a new checkout; all of it is gone afterwards. */
async function onTarget(
  environment: string,
  signal: AbortSignal,
  work: (target: Target) => Promise<void>,
): Promise<void> {
  const checkout = new Checkout(environment);
  try {
    const synthesized = checkout.path("synthesized");
    await synthesize(environment, synthesized);
    const hasPlatform = existsSync(join(synthesized, "stacks/platform"));
    await (hasPlatform ? onDocker : onSandbox)(checkout, synthesized, work, signal);
  } finally {
    checkout.remove();
  }
}

async function onSandbox(
  checkout: Checkout,
  synthesized: string,
  work: (target: Target) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const workspace = await Workspace.create();
  let sandbox: Sandbox | undefined;
  try {
    sandbox = await Sandbox.start(workspace, { synthesized, keepRootToken: true });
    const env = checkout.env(sandbox.terraformVariables());
    const root = { ...env, VAULT_TOKEN: sandbox.initialised.rootToken };
    await leasehold({ checkout, env: root }, signal, "init");
    await work({ checkout, env });
  } finally {
    await sandbox?.stop();
    workspace.remove();
  }
}

async function onDocker(
  checkout: Checkout,
  synthesized: string,
  work: (target: Target) => Promise<void>,
): Promise<void> {
  const vaultPort = String(await freePort());
  const values: Partial<Record<InputPurpose, () => Promise<string | undefined> | string>> = {
    "platform-name": () => `leasehold-bench-${String(process.pid)}`,
    "vault-container-port": () => vaultPort,
    "vault-address": () => `http://127.0.0.1:${vaultPort}`,
    port: async () => String(await freePort()),
  };
  const variables: NodeJS.ProcessEnv = {};
  for (const { variable, for: purpose } of readAccessManifest(synthesized).inputs) {
    const name = `TF_VAR_${variable}`;
    // The machine's own images, where it has no registry.
    variables[name] =
      purpose === "image" || purpose === "vault-image" ? process.env[name] : await values[purpose]?.();
  }
  const target = { checkout, env: checkout.env(variables) };
  try {
    await work(target);
  } finally {
    // Also after an interrupt, so without the signal.
    const never = new AbortController().signal;
    await leasehold(target, never, "destroy", "--auto-approve", "--delete-data");
  }
}

function leasehold({ checkout, env }: Target, signal: AbortSignal, ...args: string[]): Promise<string> {
  const options = { cwd: checkout.folder, env, signal };
  return run(process.execPath, ["--import", "tsx", "cli.ts", ...args], options);
}

/**
 * Runs a program to its end; interrupted, it may clean up.
 * @returns what it printed
 */
async function run(
  program: string,
  args: readonly string[],
  { cwd, env, signal }: { cwd: string; env: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<string> {
  signal.throwIfAborted();
  const child = execa(program, args, {
    ...{ cwd, env, extendEnv: false },
    ...{ stdin: "ignore", detached: true, reject: false },
  });
  const interrupt = () => {
    child.kill("SIGINT", { forceKillAfterTimeout: false });
  };
  signal.addEventListener("abort", interrupt);
  const { exitCode: code, failed, stdout, stderr } = await child;
  signal.removeEventListener("abort", interrupt);
  signal.throwIfAborted();
  if (!failed) return stdout;
  // Not its progress.
  const said = (stderr.trim() || stdout).split("\n").filter((line) => !/^[❯✔✖›]/.test(line));
  const message = said.join("\n");
  // Its exit code where the machine misses something.
  if (program === process.execPath && code === 2) throw new SetupError(message);
  throw new BenchFailed(`${[program, ...args].join(" ")} ended with exit code ${String(code)}: ${message}`);
}

/** From lines `export NAME='value'`, in which a quote is written `'\\''`. */
function parseExports(text: string): NodeJS.ProcessEnv {
  return Object.fromEntries(
    [...text.matchAll(/^export (\w+)='((?:[^']|'\\'')*)'$/gm)].map(([, name, value]) => [
      name!,
      value!.replaceAll("'\\''", "'"),
    ]),
  );
}
