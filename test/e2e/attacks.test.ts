import type { Ended } from "./terraform";
import { Client } from "pg";
import { OwnServers } from "./own-servers";
import { sprungIn, trapsIn } from "./traps";

/**
 * An admin's traps for the superuser and for Vault's login, with the real Terraform and providers: a schema with the
 * superuser's name, which is first in its search path, and the persona's own schema. The tests are steps, in order.
 */
const SCHEMAS = ["postgres", "app"];
const LOGINS = ["postgres", "vault"];
let servers: OwnServers;

beforeAll(async () => {
  servers = await OwnServers.start();
  servers.configure(() => undefined);
  for (const command of ["init", "deploy"]) await holds(servers.leasehold(command));
}, 120_000);

afterAll(() => servers.stop());

async function holds(command: Promise<Ended>, expected = 0): Promise<string> {
  const { code, output } = await command;
  expect({ code, output: code === expected ? "" : output }).toEqual({ code: expected, output: "" });
  return output;
}

/** The traps that were run last since it was asked before, one a schema. */
async function sprung(): Promise<unknown[]> {
  const names = [];
  for (const schema of SCHEMAS) {
    names.push(...(await servers.query(sprungIn(schema))));
    await servers.query(`SELECT setval('"${schema}".sprung', 0, false)`);
  }
  return names;
}

test("an admin sets traps", async () => {
  const { data } = await servers.root().call("GET", "database/creds/app_admin");
  const { username: user, password } = data as { username: string; password: string };
  const { host, port, database, ssl } = servers.servers.sandbox.postgres;
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
  await client.query('CREATE SCHEMA "postgres"');
  for (const schema of SCHEMAS) await client.query(trapsIn(schema, LOGINS));
  await client.end();
  expect(await sprung()).toEqual([]);
});

test.each<[command: string, exitCode: number]>([
  ["diff", 0],
  ["deploy", 0],
  ["init", 0],
  ["rotate", 0],
])("leasehold %s runs none", async (command, exitCode) => {
  await holds(servers.leasehold(command), exitCode);
  expect(await sprung()).toEqual([]);
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
  await holds(servers.leasehold("deploy"));
  expect(await sprung()).toEqual([]);
});

test("plain cdktf with the exports of leasehold env runs none", async () => {
  const exports = 'set -e; eval "$(npx leasehold env)"';
  await holds(servers.shell(`${exports}; npx cdktf diff postgres`));
  expect(await sprung()).toEqual([]);
  servers.configure(() => undefined);
  await holds(servers.shell(`${exports}; npx cdktf deploy '*' --auto-approve --skip-provider-lock`));
  expect(await sprung()).toEqual([]);
});

test("nor does a revocation, or leasehold destroy with leases alive", async () => {
  for (const role of ["app_admin", "app_service", "app_report"])
    await servers.root().call("GET", `database/creds/${role}`);
  const { lease_id: id } = await servers.root().call("GET", "database/creds/app_report");
  await servers.root().call("POST", "sys/leases/revoke", { lease_id: id, sync: true });
  expect(await sprung()).toEqual([]);
  await holds(servers.leasehold("destroy", "--auto-approve"));
  expect(await sprung()).toEqual([]);
});
