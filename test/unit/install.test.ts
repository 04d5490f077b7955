import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { ROOT } from "../support/program";

/** What npm start and npm test do first, with an npm that writes down what it is told. */
let folder: string;
let remove: () => void;

beforeEach(() => {
  ({ folder, remove } = temporaryFolder());
  for (const part of ["package.json", "package-lock.json", "scripts"])
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
});

afterEach(() => {
  remove();
});

/** The packages as a former npm ci left them. */
function installed(...packages: string[]): void {
  for (const name of packages) mkdirSync(join(folder, "node_modules", name), { recursive: true });
  writeFileSync(join(folder, "node_modules/.package-lock.json"), "");
  utimesSync(join(folder, "package-lock.json"), 0, 0);
}

/** @returns what npm was told, and what the script said and ended with */
function install(args: string[], npm = "exit 0") {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, "npm"), `#!/bin/sh\necho "$@" >>told\n${npm}\n`, { mode: 0o755 });
  const { status, stdout, stderr } = spawnSync("sh", ["scripts/install.sh", ...args], {
    cwd: folder,
    env: { PATH: `${bin}:${process.env["PATH"]!}` },
    encoding: "utf8",
  });
  const file = join(folder, "told");
  const told = existsSync(file) ? readFileSync(file, "utf8") : "";
  rmSync(file, { force: true });
  return { told, status, said: stdout + stderr };
}

const START = ["--omit=dev"];
const NOTHING = { told: "", status: 0, said: "" };

test("in a fresh clone npm start leaves out what tests need, npm test does not", () => {
  expect(install(START).told).toBe("ci --ignore-scripts --omit=dev\n");
  expect(install([]).told).toBe("ci --ignore-scripts\n");
});

test("what is there is not installed again", () => {
  installed("tsx");
  expect(install(START)).toEqual(NOTHING);
  expect(install([]).told).toBe("ci --ignore-scripts\n");
  installed("tsx", "jest");
  expect(install([])).toEqual(NOTHING);
  expect(install(START)).toEqual(NOTHING);
});

test("what is older than the lock file is, and npm start keeps what tests need", () => {
  installed("tsx", "jest");
  utimesSync(join(folder, "node_modules/.package-lock.json"), 0, 0);
  utimesSync(join(folder, "package-lock.json"), 1, 1);
  expect(install(START).told).toBe("ci --ignore-scripts\n");
});

test("where npm can't, one line says so", () => {
  expect(install([], "exit 1")).toEqual({
    told: "ci --ignore-scripts\n",
    status: 2,
    said: "npm could not install what package-lock.json names: see its message above, and that the npm registry can be reached\n",
  });
});

test("npm's own line on it is short", () => {
  installed("tsx");
  const said = execFileSync("npm", ["run", "prestart"], { cwd: folder, encoding: "utf8" });
  expect(said.trim().split("\n")).toEqual([
    expect.stringMatching(/^> leasehold@\S+ prestart$/),
    "> sh scripts/install.sh --omit=dev",
  ]);
});
