#!/usr/bin/env -S node --import tsx
import { Command } from "commander";
import { start, type StartOptions } from "./ops/start";
import { verifyCommand, type VerifyCommandOptions } from "./ops/verify";
import { ApplyError } from "./sandbox/terraform-json";
import { SetupError } from "./sandbox/setup-error";
import { CannotVerify } from "./verify/verify";
import { VaultError, VaultUnreachable } from "./verify/vault-client";

/** Errors whose message says in one line what is wrong: their stack helps nobody. */
const EXPECTED = [SetupError, ApplyError, CannotVerify, VaultError, VaultUnreachable];

const NO_EXPIRY =
  "don't wait for a lease to end by itself, which takes five seconds, the other checks meanwhile";

const program = new Command("leasehold")
  .description("Short-lived PostgreSQL credentials from Vault, proven after every deploy")
  .configureOutput({
    outputError: (text, write) => {
      write(text.replace(/^error: /, ""));
    },
  })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

program
  .command("start")
  .description("synthesize, apply to embedded servers, verify, show the matrix, stop everything")
  .option("--env <name>", "the environment, a file in config/ (default: LEASEHOLD_ENV, else local)")
  .option("--postgres <major>", "PostgreSQL 15, 16, 17 or 18 (default: LEASEHOLD_POSTGRES, else 18)")
  .option("--no-expiry", NO_EXPIRY)
  .option("--keep", "stay in the foreground until Ctrl-C, with .sandbox/connection.json for other clients")
  .option("--json <file>", "write the report, with each check's evidence")
  .action(async (options: StartOptions) => run((signal) => start(options, signal)));

program
  .command("verify")
  .description("verify a deployment, with VAULT_ADDR, VAULT_TOKEN (the verifier's), PGHOST and PGPORT")
  .option("--manifest <file>", "what was declared", "cdktf.out/access.json")
  .option("--read-only", "make nothing: no probe object, no workload; the catalogs tell instead")
  .option("--no-expiry", NO_EXPIRY)
  .option("--json <file>", "write the report, with each check's evidence")
  .action(async (options: VerifyCommandOptions) => run((signal) => verifyCommand(options, signal)));

/** The first signal ends the work and cleans up; a second one ends the program. */
async function run(work: (signal: AbortSignal) => Promise<number>): Promise<void> {
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
      console.error("interrupted: what was started is stopped");
      process.exitCode = 130;
    } else if (EXPECTED.some((type) => error instanceof type)) {
      console.error((error as Error).message);
      process.exitCode = 2;
    } else {
      throw error;
    }
  }
}

void program.parseAsync();
