import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { environmentNames, loadEnvironment } from "../../config/load";
import { synthesizeApp } from "../../stacks/app";

const FOLDER = join(__dirname, "access");
const UPDATE = "UPDATE_ACCESS=1 npx jest test/snapshot/access.test.ts";
const isUpdate = Boolean(process.env["UPDATE_ACCESS"]);

/** Who may do what, as it is committed: a change of it is reviewed. */
const committed = readdirSync(FOLDER).map((file) => file.replace(/\.json$/, ""));

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), "leasehold-access-"))));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

test.each(isUpdate ? environmentNames() : committed)(
  `access.json of %s is the committed one (where it is meant to change: ${UPDATE})`,
  async (name) => {
    const outdir = join(folder, name);
    synthesizeApp(await loadEnvironment(name), outdir);
    const text = readFileSync(join(outdir, "access.json"), "utf8");
    const file = join(FOLDER, `${name}.json`);
    if (isUpdate) writeFileSync(file, text);
    expect(text).toBe(readFileSync(file, "utf8"));
  },
);
