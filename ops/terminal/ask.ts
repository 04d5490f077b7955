import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";

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
