import { execa } from "execa";
import { changeText, compareAccess, type Declared } from "../../access/compare";
import { SetupError } from "../../clients/setup-error";
import { oneLine, printable } from "../../clients/text";
import { parseAccessManifest, type AccessManifest } from "../../manifest/schema";
import { ROOT } from "../deployment/synthesize";

/** Where each environment's access.json is committed. */
const FOLDER = "test/snapshot/access";

export interface DiffAccessOptions {
  /** One commit, which is compared with HEAD, or two: what Git takes for one. */
  readonly access: readonly string[];
  /** @default - every environment that is committed in either */
  readonly env?: string;
}

/**
 * Compares what two commits declare, as access.json is committed with them, and runs the code of neither. Returns the exit code:
 * 0 no change, 2 changes, 3 a widening that the second commit does not accept.
 * @throws SetupError where there is nothing to compare
 */
export async function diffAccess({ access, env }: DiffAccessOptions): Promise<number> {
  const [before, after = "HEAD", ...more] = access;
  if (before === undefined || more.length > 0)
    throw new SetupError("--access takes one commit, which is compared with HEAD, or two");
  const sides = [await committedIn(before), await committedIn(after)] as const;
  const names = [...new Set(sides.flatMap((side) => [...side.keys()]))].filter(
    (name) => !env || name === env,
  );
  if (names.length === 0) throw new SetupError(`neither commit has ${FOLDER}/${env ?? "*"}.json`);
  let exitCode = 0;
  for (const name of names.sort()) {
    const [old, now] = sides.map((side) => side.get(name));
    const lines = accessLines(old, now).map(({ text, isWidening }) => {
      exitCode = Math.max(exitCode, isWidening ? 3 : 2);
      return text;
    });
    console.log([`# ${printable(name)}`, ...(lines.length > 0 ? lines : ["no change"]), ""].join("\n"));
  }
  return exitCode;
}

interface Line {
  readonly text: string;
  /** More access, which is not accepted. */
  readonly isWidening: boolean;
}

const NOTHING = { servers: [], databases: [] };

/** What changes for whom, with what the later manifest accepts; where one of them is missing, all of the other comes or goes. */
export function accessLines(old: Declared | undefined, now: AccessManifest | undefined): Line[] {
  return compareAccess(old ?? NOTHING, now ?? NOTHING).map((change) => {
    const accepted = now?.accepted.find(({ id }) => id === change.id);
    return {
      text: `${changeText(change)}${accepted ? `, accepted: ${printable(accepted.reason)}` : ""}`,
      isWidening: change.isGain && !accepted,
    };
  });
}

/** The manifests of a commit, by the names of their environments. */
async function committedIn(commit: string): Promise<Map<string, AccessManifest>> {
  const { stdout: id } = await git(commit, "rev-parse", "--verify", "--end-of-options", `${commit}^{commit}`);
  const { stdout } = await git(commit, "ls-tree", "--name-only", "-z", id, `${FOLDER}/`);
  const found = new Map<string, AccessManifest>();
  for (const file of stdout.split("\0").filter((name) => name.endsWith(".json"))) {
    // Unlike git show, it runs no program that a repository's attributes name.
    const { stdout: text } = await git(commit, "cat-file", "blob", `${id}:./${file}`);
    found.set(file.slice(FOLDER.length + 1, -".json".length), parse(commit, file, text));
  }
  if (found.size === 0) throw new SetupError(`the commit ${printable(commit)} has no ${FOLDER}/*.json`);
  return found;
}

function parse(commit: string, file: string, text: string): AccessManifest {
  try {
    return parseAccessManifest(text);
  } catch (error) {
    throw new SetupError(`${printable(`${file} of the commit ${commit}`)} can't be read: ${oneLine(error)}`, {
      cause: error,
    });
  }
}

async function git(commit: string, ...args: string[]) {
  const answer = await execa("git", args, { cwd: ROOT, stdin: "ignore", reject: false });
  if (answer.failed) {
    const reason = answer.stderr || ("shortMessage" in answer ? answer.shortMessage : "");
    throw new SetupError(`the commit ${printable(commit)} can't be read in ${ROOT}: ${oneLine(reason)}`);
  }
  return answer;
}
