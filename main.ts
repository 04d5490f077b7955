import { loadEnvironment } from "./config/load";
import { isRefusal, synthesizeApp } from "./stacks/app";

/** Config → App → three stacks → synth. */
async function main(): Promise<void> {
  synthesizeApp(await loadEnvironment());
}

main().catch((error: unknown) => {
  if (!isRefusal(error)) throw error;
  console.error(error.message);
  process.exitCode = 2;
});
