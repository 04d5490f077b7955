import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import local from "../../config/local";
import { parseEnvironment } from "../../config/schema/schema";
import { Deployment } from "../../ops/deployment/deployment";
import { keep } from "../../ops/terraform/state-file";
import { synthesizeApp } from "../../stacks/app";
import { temporaryFolder } from "../support/folder";
import { stateFile } from "../support/state";

/** Terraform writes a state over the one before: a kill leaves a part of it, or nothing. */
const BEFORE = JSON.stringify({ version: 4, serial: 1, resources: [] });
const AFTER = JSON.stringify({
  ...{ version: 4, serial: 2 },
  resources: [
    { mode: "managed", type: "postgresql_role", name: "a", instances: [{ attributes: { name: "a" } }] },
  ],
});
const HALF = AFTER.slice(0, AFTER.length / 2);

let deployment: Deployment;
let file: string;
let remove: () => void;

beforeEach(() => {
  const temporary = temporaryFolder();
  ({ remove } = temporary);
  process.env["XDG_CONFIG_HOME"] = join(temporary.folder, "home");
  const folder = join(temporary.folder, "cdktf.out");
  synthesizeApp(parseEnvironment("the test's config", local), folder);
  deployment = Deployment.read(folder)!;
  file = stateFile(deployment, "postgres");
});

afterEach(() => {
  delete process.env["XDG_CONFIG_HOME"];
  remove();
});

const state = () => deployment.state(deployment.stack("postgres")!);
const write = (text: string, backup?: string) => {
  writeFileSync(file, text);
  if (backup !== undefined) writeFileSync(`${file}.backup`, backup);
};

describe.each([
  ["empty", ""],
  ["half of it", HALF],
])("%s", (_, text) => {
  test("gives way to the one before, with a line", async () => {
    write(text, AFTER);
    await expect(state()).rejects.toThrow(
      /^the state of the stack postgres is cut off, as a killed command leaves it: npx leasehold deploy goes back to the one before$/,
    );
    expect(await deployment.mendStates()).toEqual([
      "the state of the stack postgres was cut off, as a killed command leaves it: went back to the one before",
    ]);
    expect((await state()).map(({ address }) => address)).toEqual(["postgresql_role.a"]);
    expect(readFileSync(file, "utf8")).toBe(AFTER);
    expect(await deployment.mendStates()).toEqual([]);
  });

  test("stays where another Terraform is writing it", async () => {
    write(text, BEFORE);
    const mending = deployment.mendStates();
    writeFileSync(file, AFTER);
    expect(await mending).toEqual([]);
    expect(readFileSync(file, "utf8")).toBe(AFTER);
  });

  test("is not kept as the one before", () => {
    write(text, BEFORE);
    keep(file);
    expect(readFileSync(`${file}.backup`, "utf8")).toBe(BEFORE);
  });
});

test("empty, and none before: there is no state, as for Terraform", async () => {
  write("");
  expect(await deployment.mendStates()).toEqual([]);
  expect(await state()).toEqual([]);
});

test.each([undefined, "", HALF])(
  "half of it, and none that is whole before (%j): a line says what helps",
  async (backup) => {
    write(HALF, backup);
    expect(await deployment.mendStates()).toEqual([]);
    await expect(state()).rejects.toThrow(
      `the state of the stack postgres is cut off, as a killed command leaves it: put a copy of your own in the place of ${file}, or remove it and have the next deploy say what to import`,
    );
  },
);

test("one that is whole stays, and is kept", async () => {
  write(AFTER, BEFORE);
  expect(await deployment.mendStates()).toEqual([]);
  expect(readFileSync(file, "utf8")).toBe(AFTER);
  keep(file);
  expect(readFileSync(`${file}.backup`, "utf8")).toBe(AFTER);
});

test("none is there: nothing is made", async () => {
  expect(await deployment.mendStates()).toEqual([]);
  keep(file);
  expect(existsSync(file) || existsSync(`${file}.backup`)).toBe(false);
});
