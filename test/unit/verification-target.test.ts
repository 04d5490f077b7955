import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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
