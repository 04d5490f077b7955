import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Home } from "../../ops/deployment/home";
import { verificationTarget } from "../../ops/verification/target";
import type { AccessManifestInput } from "../../manifest/schema";
import { temporaryFolder } from "../support/folder";
import { ROOT } from "../support/program";

const { folder, remove } = temporaryFolder();
const before = { ...process.env };
afterEach(() => {
  process.env = { ...before };
});
afterAll(remove);

test("addresses are numbered by the servers, not by the databases, and asked for where there is a database", () => {
  const local = JSON.parse(
    readFileSync(join(ROOT, "test/snapshot/access/local.json"), "utf8"),
  ) as AccessManifestInput;
  const [database] = local.databases;
  const servers = ["postgres", "pg", "unused"].map((name) => ({ name, superuser: "postgres" }));
  const databases = [
    { ...database!, server: "pg" },
    { ...database!, name: "second", server: "postgres" },
  ];
  const file = join(folder, "access.json");
  writeFileSync(file, JSON.stringify({ ...local, servers, databases }));
  Object.assign(process.env, {
    VAULT_ADDR: "http://127.0.0.1:1",
    VAULT_TOKEN: "x",
    PGPORT: "1001",
    PGPORT_PG: "1002",
  });
  const { postgres } = verificationTarget(file);
  expect([postgres("postgres").port, postgres("pg").port]).toEqual([1001, 1002]);
});

describe("in a checkout", () => {
  const text = readFileSync(join(ROOT, "test/snapshot/access/local.json"), "utf8");

  /** Where cdktf.out has another branch's access.json, and nothing of the machine is set. */
  beforeEach(() => {
    const own = mkdtempSync(join(folder, "checkout-"));
    process.env = { PATH: before["PATH"], XDG_CONFIG_HOME: own };
    mkdirSync(join(own, "cdktf.out"));
    writeFileSync(join(own, "cdktf.out/access.json"), text.replaceAll("readonly_role", "renamed_role"));
    process.chdir(own);
  });

  afterEach(() => {
    process.chdir(ROOT);
  });

  test("after a diff of a branch it is judged by what was deployed, unless the manifest is named", () => {
    Object.assign(process.env, { VAULT_ADDR: "http://127.0.0.1:1", VAULT_TOKEN: "x" });
    Home.open("local").setDeployedAccess(text);
    const groups = (file?: string) => {
      const { manifest, note } = verificationTarget(file);
      return [manifest.databases[0]!.personas.at(-1)!.groupRole, note];
    };
    expect(groups()).toEqual([
      "readonly_role",
      expect.stringMatching(
        /^judged by what was deployed from this machine at \S+Z, which cdktf\.out\/access\.json does not say: --manifest cdktf\.out\/access\.json judges by that$/,
      ),
    ]);
    expect(groups("cdktf.out/access.json")).toEqual(["renamed_role", undefined]);
    Home.open("local").removeDeployedAccess();
    expect(groups()).toEqual(["renamed_role", undefined]);
  });

  test("in a fresh clone all that is missing is named, and where it would be", () => {
    expect(() => verificationTarget()).toThrow(
      /^VAULT_ADDR is not set: export \S.*; VAULT_TOKEN is not set: export .*; this machine has no token of the verifier's for the environment local \(\S+\/leasehold\/local\), which .*: verify where it was deployed from, or export these and, where PostgreSQL is elsewhere, PGHOST and PGPORT$/,
    );
    rmSync("cdktf.out", { recursive: true });
    expect(() => verificationTarget()).toThrow(
      "cdktf.out/access.json can't be read: name the environment with --env, run npx cdktf synth, or name the manifest with --manifest",
    );
  });
});
