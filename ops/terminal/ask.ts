import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { SetupError } from "../../clients/setup-error";

/** Asks for a secret on the terminal, without showing what is typed. */
export async function askSecret(question: string, signal: AbortSignal): Promise<string> {
  process.stderr.write(question);
  const silent = new Writable({
    write: (_chunk, _encoding, done) => {
      done();
    },
  });
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    // Readline takes Ctrl-C for itself.
    return await new Promise<string>((resolve, reject) => {
      terminal.once("SIGINT", () => {
        process.kill(process.pid, "SIGINT");
      });
      terminal.question("", { signal }).then((text) => {
        resolve(text.trim());
      }, reject);
    });
  } finally {
    terminal.close();
    process.stderr.write("\n");
  }
}

/**
 * Asks on the terminal whether to go on.
 * @param otherwise what is said where the answer is no
 * @throws SetupError when it is, or there is no terminal to ask on
 */
export async function confirm(question: string, otherwise: string, signal: AbortSignal): Promise<void> {
  if (!process.stdin.isTTY || !process.stdout.isTTY)
    throw new SetupError(`${question} There is no terminal to ask on: add --auto-approve`);
  const readline = createInterface({ input: process.stdin, output: process.stdout });
  // Readline takes Ctrl-C for itself.
  readline.once("SIGINT", () => {
    process.kill(process.pid, "SIGINT");
  });
  try {
    const answer = await readline.question(`\n${question} Type yes to go on: `, { signal });
    if (answer.trim() !== "yes") throw new SetupError(otherwise);
  } finally {
    readline.close();
  }
}
