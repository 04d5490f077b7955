import { loadEnvironment } from "./config/load";
import { ConfigError } from "./config/schema";
import { synthesizeApp } from "./stacks/app";

/** Config → App → three stacks → synth. */
async function main(): Promise<void> {
  synthesizeApp(await loadEnvironment(process.env["LEASEHOLD_ENV"] || "local"));
}

main().catch((error: unknown) => {
  if (!(error instanceof ConfigError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
});
