import { loadEnvironment } from "./config/load";
import { isRefusal, synthesizeApp } from "./stacks/app";

/** Config → App → three stacks → synth. */
async function main(): Promise<void> {
  synthesizeApp(await loadEnvironment());
}

main().catch((error: unknown) => {
  // A bug of ours keeps its stack trace.
  console.error(isRefusal(error) ? error.message : error);
  process.exitCode = 2;
});
