import type { Ended } from "./terraform";
import { run } from "./terraform";

/** Runs a program on a terminal of its own, and types an answer when the question is asked. */
const TERMINAL = `
import fcntl, os, pty, struct, sys, termios
answer, question = sys.argv[1].encode(), b"Type yes to go on: "
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
seen, asked = b"", False
while True:
    try:
        text = os.read(terminal, 65536)
    except OSError:
        break
    if not text:
        break
    os.write(1, text)
    seen += text
    if not asked and question in seen:
        asked = True
        os.write(terminal, answer)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256)
`;

/** What stands for Ctrl-C on a terminal. */
export const CTRL_C = "\u0003";

/** @param answer as it is typed */
export function onTerminal(
  answer: string,
  command: readonly string[],
  options: { cwd: string; env: NodeJS.ProcessEnv },
): Promise<Ended> {
  return run("python3", ["-c", TERMINAL, answer, ...command], options);
}
