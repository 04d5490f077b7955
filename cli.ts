import { Command, InvalidArgumentError, Option } from "commander";
import type { BenchOptions, Part } from "./bench/bench";
import type { DeployOptions } from "./ops/commands/deploy";
import type { DestroyOptions } from "./ops/commands/destroy";
import type { DiffAccessOptions } from "./ops/commands/diff-access";
import type { DiffOptions } from "./ops/commands/diff";
import type { EnvOptions } from "./ops/commands/env";
import type { InitOptions } from "./ops/commands/init";
import type { RotateOptions } from "./ops/commands/rotate";
import type { StartOptions } from "./ops/commands/start";
import type { SweepOptions } from "./ops/commands/sweep";
import { TerraformError, TerraformInterrupted } from "./ops/terraform/terraform";
import type { VerifyCommandOptions } from "./ops/commands/verify";
import { version } from "./package.json";
import { ApplyError } from "./sandbox/terraform-json";
import { SetupError } from "./clients/setup-error";
import { CannotVerify } from "./verify/errors";
import { VaultError, VaultUnreachable } from "./clients/vault-client";

/** Errors whose message says in one line what is wrong: their stack helps nobody. */
const EXPECTED = [SetupError, ApplyError, CannotVerify, VaultError, VaultUnreachable];

// A reader that has seen enough, such as head, is no error of this program's.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

const ENVIRONMENT = [
  "--env <name>",
  "the environment, a file in config/ (default: LEASEHOLD_ENV, else local)",
] as const;

const POSTGRES = [
  "--postgres <major>",
  "PostgreSQL 15, 16, 17 or 18 (default: LEASEHOLD_POSTGRES, else 18)",
] as const;

const DETAILS = [
  "--details",
  "show every check, with its time; by default what a terminal has room for",
] as const;

const NO_EXPIRY =
  "don't wait for a lease to end by itself, which takes five seconds, the other checks meanwhile";

/** Each command loads what it needs, once it is known: all of it takes as long again as Node itself. */
const program = new Command("leasehold")
  .description("Short-lived PostgreSQL credentials from Vault, proven after every deploy")
  .version(version)
  .configureOutput({
    outputError: (text, write) => {
      write(text.replace(/^error: /, ""));
    },
  })
  // Of a diff, 2 means changes.
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : process.argv[2] === "diff" ? 1 : 2));

program
  .command("start")
  .description("synthesize, apply to embedded servers, verify, show the matrix, stop everything")
  .option(...ENVIRONMENT)
  .option(...POSTGRES)
  .option("--no-expiry", NO_EXPIRY)
  .option(...DETAILS)
  .option("--keep", "stay in the foreground until Ctrl-C, with .sandbox/connection.json for other clients")
  .option("--json <file>", "write the report, with each check's evidence")
  .action(async (options: StartOptions) =>
    run(async (signal) => (await import("./ops/commands/start.js")).start(options, signal)),
  );

program
  .command("verify")
  .description(
    "verify a deployment: this machine's, or the one that VAULT_ADDR, VAULT_TOKEN (the verifier's), PGHOST and PGPORT name",
  )
  .option("--env <name>", "the environment, synthesized anew (default: the one that the manifest is of)")
  .option(
    "--manifest <file>",
    "what was declared (default: what was synthesized last, cdktf.out/access.json)",
  )
  .option("--list", "print every check there is: its id, its group, what it proves")
  .option("--only <ids>", "make these checks alone, separated by commas", ids)
  .option("--skip <ids>", "leave these checks out, separated by commas", ids)
  .option(...DETAILS)
  .option("--read-only", "make nothing: no probe object, no workload; the catalogs tell instead")
  .option("--no-expiry", NO_EXPIRY)
  .option("--json <file>", "write the report, with each check's evidence")
  .option("--fix-sql <file>", "write the statements that would mend what was found; nothing is changed")
  .action(async (options: VerifyCommandOptions) =>
    run(async (signal) => (await import("./ops/commands/verify.js")).verifyCommand(options, signal)),
  );

program
  .command("deploy")
  .description(
    "say what changes for whom, ask, and deploy all stacks, initialise and unseal Vault; what is there already stays",
  )
  .option(...ENVIRONMENT)
  .option(
    "--auto-approve",
    "say what changes, and do not ask; stops where others would lose what the config does not accept",
  )
  .option(
    "--plan <folder>",
    "deploy what diff --out has saved there, as it was shown, and do not ask; stops as --auto-approve does, and where anything has changed since",
  )
  .action(async (options: DeployOptions) =>
    run(async (signal) => (await import("./ops/commands/deploy.js")).deploy(options, signal)),
  );

program
  .command("diff")
  .description(
    "plan all stacks side by side, with the planner's token; exit code 0 no change, 1 a failure, 2 changes",
  )
  .option(...ENVIRONMENT)
  .addOption(
    new Option(
      "--out <folder>",
      "save the plan, for deploy --plan; readable by its owner alone, since it may hold secrets",
    ).conflicts("access"),
  )
  .option(
    "--access <commits...>",
    "who gains and loses what between a commit and HEAD, or between two, by their committed access.json, of every environment unless --env names one; 3 a widening that is not accepted",
  )
  .action(async ({ access, ...options }: DiffOptions & Partial<DiffAccessOptions>) =>
    run(
      async (signal) =>
        access
          ? (await import("./ops/commands/diff-access.js")).diffAccess({ access, ...options })
          : (await import("./ops/commands/diff.js")).diff(options, signal),
      1,
    ),
  );

program
  .command("destroy")
  .description("revoke all leases and destroy all stacks; the users' data stay")
  .option(...ENVIRONMENT)
  .option("--auto-approve", "do not ask")
  .option(
    "--delete-data",
    "also the schemas with what they hold, the databases that deploy made, and the volumes",
  )
  .option("--force-leases", "have Vault forget leases that it can't revoke, and drop their logins")
  .action(async (options: DestroyOptions) =>
    run(async (signal) => (await import("./ops/commands/destroy.js")).destroy(options, signal)),
  );

program
  .command("env")
  .description('print the exports that plain cdktf needs, secrets among them: eval "$(npx leasehold env)"')
  .option(...ENVIRONMENT)
  .action(async (options: EnvOptions) =>
    run(async (signal) => (await import("./ops/commands/env.js")).printEnvironment(options, signal)),
  );

program
  .command("init")
  .description(
    "initialise and unseal Vault, make the tokens, revoke the root token; what is done already stays",
  )
  .option(...ENVIRONMENT)
  .option("--print-keys", "show the unseal keys, for your own keeping, and store them nowhere")
  .option("--take-over", "write its policies and the personas' over others of the same names")
  .option("--json <file>", "write what was done; never a key or a token")
  .action(async (options: InitOptions) =>
    run(async (signal) => (await import("./ops/commands/init.js")).initCommand(options, signal)),
  );

program
  .command("rotate")
  .description("have Vault replace the passwords of its own logins with ones that only Vault knows")
  .option(...ENVIRONMENT)
  .option("--database <name>", "of this database alone (default: all)")
  .action(async (options: RotateOptions) =>
    run(async (signal) => (await import("./ops/commands/rotate.js")).rotateCommand(options, signal)),
  );

program
  .command("sweep")
  .description("list the leased logins that no lease stands for any more, and drop them")
  .option(...ENVIRONMENT)
  .option("--auto-approve", "do not ask")
  .option("--json <file>", "write what was found and what became of it")
  .action(async (options: SweepOptions) =>
    run(async (signal) => (await import("./ops/commands/sweep.js")).sweep(options, signal)),
  );

program
  .command("bench")
  .description("measure synth, leases and deploys, each beside something else of the same run; minutes")
  .option(...ENVIRONMENT)
  .option(...POSTGRES)
  .option(
    "--only <parts>",
    "these parts alone, separated by commas: synth, leases, rates, verify, deploys",
    parts,
  )
  .option("--rounds <number>", "of the short measurements", rounds, 20)
  .option(
    "--alive <numbers>",
    "how many leases are alive while the rates are measured, separated by commas",
    alive,
    [0, 1000],
  )
  .option("--json <file>", "write the figures")
  .action(async (options: BenchOptions) =>
    run(async (signal) => (await import("./bench/bench.js")).bench(options, signal)),
  );

function ids(text: string): string[] {
  const named = text
    .split(",")
    .map((id) => id.trim())
    .filter((id) => id !== "");
  if (named.length === 0) throw new InvalidArgumentError("allowed: ids of checks, separated by commas");
  return named;
}

function parts(text: string): Part[] {
  const known: Part[] = ["synth", "leases", "rates", "verify", "deploys"];
  return text.split(",").map((name) => {
    const part = known.find((one) => one === name.trim());
    if (part === undefined) throw new InvalidArgumentError(`allowed: ${known.join(", ")}`);
    return part;
  });
}

function alive(text: string): number[] {
  const numbers = text.split(",");
  if (!numbers.every((number) => /^\d{1,5}$/.test(number.trim())))
    throw new InvalidArgumentError("allowed: whole numbers from 0 to 99999, separated by commas");
  return numbers.map(Number).sort((a, b) => a - b);
}

function rounds(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError("allowed: a whole number from 1 to 9999");
  return Number(text);
}

/**
 * The first signal ends the work and cleans up; a second one ends the program.
 * @param cannotRun the exit code when something that it needs is missing
 */
async function run(work: (signal: AbortSignal) => Promise<number>, cannotRun = 2): Promise<void> {
  const interrupt = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      if (interrupt.signal.aborted) process.exit(130);
      interrupt.abort();
    });
  }
  try {
    process.exitCode = await work(interrupt.signal);
  } catch (error) {
    if (interrupt.signal.aborted) {
      const isTold = error instanceof TerraformInterrupted || error instanceof CannotVerify;
      console.error(isTold ? error.message : "interrupted: what was started is stopped");
      process.exitCode = 130;
    } else if (error instanceof TerraformError) {
      console.error(error.message);
      process.exitCode = 1;
    } else if (EXPECTED.some((type) => error instanceof type)) {
      console.error((error as Error).message);
      process.exitCode = cannotRun;
    } else if (error instanceof Error && "code" in error && error.code === "ABORT_ERR") {
      // Ctrl-D at a question.
      console.error("ended without an answer: nothing was done");
      process.exitCode = cannotRun;
    } else if (isFileError(error)) {
      console.error(`${error.message}: check the free space and the permissions there`);
      process.exitCode = cannotRun;
    } else {
      // A bug: with its stack.
      throw error;
    }
  }
}

/** A full disk, a file or folder that is missing or not this user's: the machine's, and the message names it. */
function isFileError(error: unknown): error is Error {
  const { code = "", syscall = "" } = error as NodeJS.ErrnoException;
  return (
    ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "ENOENT", "ENOTDIR"].includes(code) &&
    !/^(spawn|connect|listen|bind|kill)/.test(syscall)
  );
}

void program.parseAsync();
