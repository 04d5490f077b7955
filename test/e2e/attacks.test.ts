import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { ROOT } from "../support/program";
import { named, operators, plant, SPRUNG } from "../support/traps";
import { OwnServers } from "./own-servers";
import type { Ended } from "./terraform";

/**
 * An admin's overloads for the superuser and for Vault's login, with the real Terraform and providers: in a schema with the
 * superuser's name, which is first on its search path, and in the personas' own. The tests are steps, in order.
 */
const SCHEMAS = ["postgres", "app"];
/** What cyrilgdn/postgresql 1.26.0 calls without a schema. */
const CALLED_BY_THE_PROVIDER =
  "aclexplode(), array_agg(), array_remove(), pg_advisory_xact_lock(), pg_backend_pid(), pg_get_userbyid(), pg_terminate_backend(), version()";
let servers: OwnServers;
let read = 0;

beforeAll(async () => {
  servers = await OwnServers.start();
  servers.configure(() => undefined);
  for (const args of [["init"], ["deploy", "--auto-approve"]]) await holds(servers.leasehold(...args));
}, 120_000);

afterAll(() => servers.stop());

async function holds(command: Promise<Ended>, expected = 0): Promise<string> {
  const { code, output } = await command;
  expect({ code, output: code === expected ? "" : output }).toEqual({ code: expected, output: "" });
  return output;
}

const log = () => readFileSync(servers.deployment.sandbox.postgres.logFile, "utf8");

/** Those that were run since it was asked before. */
function sprung(): string[] {
  const found = log()
    .slice(read)
    .match(new RegExp(`LOG: +${SPRUNG}.*`, "g"));
  read = log().length;
  return [...new Set(found)];
}

test("an admin sets traps", async () => {
  const { data } = await servers.root().call("GET", "database/creds/app_admin");
  const { username: user, password } = data as { username: string; password: string };
  const { host, port, database, ssl } = servers.deployment.sandbox.postgres;
  const client = new Client({
    host,
    port,
    database,
    user,
    password,
    ssl,
    options: "-c search_path=pg_catalog",
  });
  await client.connect();
  await client.query('CREATE SCHEMA "postgres"; GRANT USAGE ON SCHEMA "postgres" TO PUBLIC');
  const sources = ["ops", "sql"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => /\.(ts|sql)$/.test(file))
      .map((file) => readFileSync(join(ROOT, folder, file), "utf8")),
  );
  const functions = await named(client, [...sources, CALLED_BY_THE_PROVIDER]);
  for (const schema of SCHEMAS)
    expect(await plant(client, schema, functions, operators([]))).toBeGreaterThan(1_000);
  await client.end();
  read = log().length;
});

test.each<[command: string, exitCode: number]>([
  ["diff", 0],
  ["deploy", 0],
  ["init", 0],
  ["rotate", 0],
])("leasehold %s runs none", async (command, exitCode) => {
  await holds(servers.leasehold(command), exitCode);
  expect(sprung()).toEqual([]);
});

test("nor does a deploy that changes what is granted", async () => {
  servers.configure(({ databases: [database] }) => {
    const [admin, service, report] = database!.personas;
    database!.personas = [
      admin!,
      { ...service!, privileges: { ...service!.privileges, tables: ["SELECT", "INSERT"] } },
      report!,
      { ...report!, name: "auditor", groupRole: "app_auditor", appRole: "app-auditor" },
    ];
  });
  await holds(servers.leasehold("diff"), 2);
  await holds(servers.leasehold("init"));
  await holds(servers.leasehold("deploy", "--auto-approve"));
  expect(sprung()).toEqual([]);
});

test("plain cdktf with the exports of leasehold env runs none", async () => {
  const exports = 'set -e; eval "$(npx leasehold env)"';
  await holds(servers.shell(`${exports}; npx cdktf diff postgres`));
  expect(sprung()).toEqual([]);
  servers.configure(() => undefined);
  await holds(servers.shell(`${exports}; npx cdktf deploy '*' --auto-approve --skip-provider-lock`));
  expect(sprung()).toEqual([]);
});

test("nor does a revocation, or leasehold destroy with leases alive", async () => {
  for (const role of ["app_admin", "app_service", "app_report"])
    await servers.root().call("GET", `database/creds/${role}`);
  const { lease_id: id } = await servers.root().call("GET", "database/creds/app_report");
  await servers.root().call("POST", "sys/leases/revoke", { lease_id: id, sync: true });
  expect(sprung()).toEqual([]);
  await holds(servers.leasehold("destroy", "--auto-approve"));
  expect(sprung()).toEqual([]);
});
