import { loadEnvironment } from "./config/load";
import { synthesizeApp } from "./stacks/app";

/** Config → App → three stacks → synth. */
async function main(): Promise<void> {
  synthesizeApp(await loadEnvironment());
}

main().catch((error: unknown) => {
  // What a construct refuses is said in one line, like the config's own errors.
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
});
