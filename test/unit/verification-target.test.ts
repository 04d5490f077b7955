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

  test("after a diff of a branch a note says that what is judged by is not what was deployed, and how it would be", () => {
    Object.assign(process.env, { VAULT_ADDR: "http://127.0.0.1:1", VAULT_TOKEN: "x" });
    const home = Home.open("local");
    home.setDeployedAccess(text);
    const groups = (file?: string) => {
      const { manifest, note } = verificationTarget(file);
      return [manifest.databases[0]!.personas.at(-1)!.groupRole, note];
    };
    const [group, note] = groups();
    expect(group).toBe("renamed_role");
    expect(note).toMatch(
      /^judged by cdktf\.out\/access\.json, which is not what leasehold deploy last deployed from this machine \(\S+Z\): .*--env local takes this checkout's config, and --manifest \S+\/deployed-access\.json what was deployed$/,
    );
    expect(groups(home.deployedAccessFile)).toEqual(["readonly_role", undefined]);
    home.removeDeployedAccess();
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
