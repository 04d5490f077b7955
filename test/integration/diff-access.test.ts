import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Checkout } from "../../bench/checkout";
import type { AccessManifestInput } from "../../manifest/schema";
import { ROOT } from "../support/program";

/** A repository whose commits are the tests'. */
const checkout = new Checkout("local");
afterAll(() => {
  checkout.remove();
});

const FOLDER = "test/snapshot/access";

const run = (program: string, ...args: string[]) =>
  spawnSync(program, args, {
    cwd: checkout.folder,
    encoding: "utf8",
    env: { ...checkout.env(), GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_SYSTEM: "/dev/null" },
  });
const git = (...args: string[]) => {
  const who = ["-c", "user.name=a test", "-c", "user.email=test@example.org"];
  const { status, stdout, stderr } = run("git", ...who, ...args);
  expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  return stdout.trim();
};
const diff = (...args: string[]) => {
  const { status, stdout, stderr } = run(process.execPath, "--import", "tsx", "cli.ts", "diff", ...args);
  return { status, lines: stdout.split("\n").filter(Boolean), stderr: stderr.trim() };
};

const write = (file: string, text: string) => {
  mkdirSync(dirname(checkout.path(file)), { recursive: true });
  writeFileSync(checkout.path(file), text);
};
const commit = (change: (draft: AccessManifestInput) => void, environment = "local") => {
  const file = `${FOLDER}/${environment}.json`;
  const from = existsSync(checkout.path(file)) ? checkout.path(file) : join(ROOT, FOLDER, "local.json");
  const draft = JSON.parse(readFileSync(from, "utf8")) as AccessManifestInput;
  draft.environment = environment;
  change(draft);
  write(file, JSON.stringify(draft));
  git("add", FOLDER, "config", ".gitattributes");
  git("commit", "--quiet", "--message", "a test's");
  return git("rev-parse", "HEAD");
};

const ID = "privilege:nanvc.readonly tables of the schema example:gained INSERT";
const GAIN = `+ nanvc, readonly: gains INSERT on tables of the schema example (id ${ID})`;
const LOSS =
  "- nanvc, readonly: loses SELECT on tables of the schema example (id privilege:nanvc.readonly tables of the schema example:lost SELECT)";
const tables = (draft: AccessManifestInput) =>
  draft.databases[0]!.personas.find(({ name }) => name === "readonly")!.privileges;
let first: string;

beforeAll(() => {
  git("init", "--quiet");
  write(".gitattributes", "*.json diff=run\n");
  git("config", "diff.run.textconv", "touch ran; cat");
  first = commit(() => undefined);
});

test("nothing changes, less, more, and more that is accepted", () => {
  expect(diff("--access", first)).toEqual({ status: 0, lines: ["# local", "no change"], stderr: "" });
  const less = commit((draft) => (tables(draft).tables = []));
  expect(diff("--access", first)).toEqual({ status: 2, lines: ["# local", LOSS], stderr: "" });
  const more = commit((draft) => (tables(draft).tables = ["INSERT"]));
  expect(diff("--access", first)).toEqual({ status: 3, lines: ["# local", GAIN, LOSS], stderr: "" });
  expect(diff("--access", first, less)).toMatchObject({ status: 2, lines: ["# local", LOSS] });
  const accepted = commit((draft) => (draft.accepted = [{ id: ID, reason: "the importer, reviewed" }]));
  expect(diff("--access", less, accepted)).toEqual({
    status: 2,
    lines: ["# local", `${GAIN}, accepted: the importer, reviewed`],
    stderr: "",
  });
  expect(diff("--access", less, more)).toMatchObject({ status: 3 });
});

test("every environment of either commit, or one", () => {
  const one = git("rev-parse", "HEAD");
  commit((draft) => (draft.databases[0]!.personas = draft.databases[0]!.personas.slice(0, 1)), "shop");
  const { status, lines } = diff("--access", one);
  expect(status).toBe(3);
  expect(lines.map((line) => line.slice(0, 45))).toEqual([
    "# local",
    "no change",
    "# shop",
    "+ nanvc, schema-admin: the persona comes, wit",
    ...[
      "CREATEROLE for V",
      "example_owner as",
      "nanvc_verify_own",
      "nanvc_verify_sho",
      "the mount auth/a",
      "the mount databa",
      "vault as Vault's",
    ].map((what) => expect.stringContaining(`+ nanvc: gains ${what}`) as string),
  ]);
  expect(diff("--env", "local", "--access", one)).toMatchObject({ status: 0 });
  expect(diff("--env", "other", "--access", one)).toMatchObject({
    status: 1,
    stderr: `neither commit has ${FOLDER}/other.json`,
  });
  rmSync(checkout.path(FOLDER, "shop.json"));
  expect(diff("--env", "shop", "--access", "HEAD", one)).toMatchObject({ status: 2 });
});

test("neither commit's code is run, nor a program that its attributes name", () => {
  write("config/local.ts", 'throw new Error("run");\n');
  write("config/load.ts", 'throw new Error("run");\n');
  commit(() => undefined);
  expect(diff("--env", "local", "--access", first)).toMatchObject({ status: 2, stderr: "" });
  expect(existsSync(checkout.path("ran"))).toBe(false);
});

test("what can't be compared is a failure, in a line", () => {
  expect(diff("--access", "HEAD", "HEAD", "HEAD")).toMatchObject({
    status: 1,
    stderr: "--access takes one commit, which is compared with HEAD, or two",
  });
  expect(diff("--access", "nowhere")).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(
      /^the commit nowhere can't be read in \S+: fatal: Needed a single revision$/,
    ) as string,
  });
  expect(diff("--access=--exec=x").status).toBe(1);
  write(`${FOLDER}/local.json`, "{");
  git("commit", "--quiet", "--all", "--message", "a test's");
  expect(diff("--access", first)).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(
      /^test\/snapshot\/access\/local.json of the commit HEAD can't be read: /,
    ) as string,
  });
});
