import { readFileSync, writeFileSync } from "node:fs";
import { Client } from "pg";
import { tooOld } from "../../clients/session-refusal";
import { asSuperuser, StatementError } from "../../ops/postgres/superuser";
import type { SuperuserLogin } from "../../ops/deployment/deployment";
import { PostgresServer } from "../../sandbox/postgres-server";
import { SetupError } from "../../clients/setup-error";
import { eventually } from "../support/program";
import { Workspace } from "../../sandbox/workspace";

let workspace: Workspace;
let server: PostgresServer;
let login: SuperuserLogin;

beforeAll(async () => {
  workspace = await Workspace.create();
  const names = { superuser: "boss", password: "boss-password", database: "ledger" };
  // Few connections, of which none is kept for a superuser.
  const settings = { max_connections: "10", superuser_reserved_connections: "0", max_wal_senders: "0" };
  server = await PostgresServer.start(workspace, { ...names, settings });
  const variableFor = (purpose: string) => `TF_VAR_${purpose}`;
  const { host, port, database, password } = server;
  login = { host, port, database, password, server: "postgres", user: "boss", variableFor };
});

afterAll(async () => {
  await server.stop();
  workspace.remove();
});

test("a statement that PostgreSQL refuses is told in one line, with its database and SQLSTATE", async () => {
  const refused = asSuperuser(login, (client) =>
    client.query(`GRANT CONNECT ON DATABASE "no\nsuch" TO PUBLIC`),
  );
  await expect(refused).rejects.toBeInstanceOf(SetupError);
  await expect(refused).rejects.toMatchObject({
    code: "3D000",
    message: expect.stringMatching(
      /^PostgreSQL at 127\.0\.0\.1:\d+ refused a statement in the database ledger \(3D000\): .*no\\nsuch.*$/,
    ) as string,
  } satisfies Partial<StatementError>);
});

test("a bug in what is done as the superuser stays one", async () => {
  const broken = asSuperuser(login, () => Promise.reject(new TypeError("a bug")));
  await expect(broken).rejects.toBeInstanceOf(TypeError);
});

test.each([
  [
    "another password",
    { password: "wrong" },
    /rejects the login of boss \(28P01\): set TF_VAR_superuser-password to/,
  ],
  ["nobody at the port", { port: 1 }, /does not answer at .*: start it, or set TF_VAR_host and TF_VAR_port$/],
])("%s: the variables of the server itself are named", async (_, wrong, message) => {
  await expect(asSuperuser({ ...login, ...wrong }, () => Promise.resolve())).rejects.toThrow(message);
});

test("a database that is not there is named", async () => {
  await expect(asSuperuser({ ...login, database: "nosuch" }, () => Promise.resolve())).rejects.toThrow(
    /^PostgreSQL at \S+ has no database nosuch: create it, or correct the config$/,
  );
});

test("a server that is full is told from one that is not there", async () => {
  const clients: Client[] = [];
  const { host, port, database, user, password } = login;
  const fill = async () => {
    for (;;) {
      const client = new Client({ host, port, database, user, password });
      client.on("error", () => undefined);
      clients.push(client);
      await client.connect();
    }
  };
  await expect(fill()).rejects.toMatchObject({ code: "53300" });
  const refused = asSuperuser(login, () => Promise.resolve());
  await expect(refused).rejects.toThrow(
    /^PostgreSQL at \S+ refuses a session \(53300: .*\): it has no free connection: end sessions that idle, or raise max_connections$/,
  );
  for (const client of clients) await client.end().catch(() => undefined);
});

test("a server that takes encrypted connections alone says so", async () => {
  const hba = workspace.path("postgres-hba.conf");
  const lines = readFileSync(hba, "utf8");
  const client = new Client({ ...login });
  await client.connect();
  writeFileSync(hba, lines.replace("host ", "hostssl "));
  await client.query("SELECT pg_reload_conf()");
  let message = "";
  await eventually(
    () =>
      asSuperuser(login, () => Promise.resolve()).then(
        () => false,
        (error: unknown) => (message = (error as Error).message) !== "",
      ),
    10_000,
    () => "it still lets everybody in",
  );
  expect(message).toMatch(/^PostgreSQL at \S+ refuses a session \(28000: no pg_hba.conf entry for host/);
  expect(message).toMatch(
    /it takes nobody from here without encryption: set tls: true of the server in the config, and TF_VAR_ca-file$/,
  );
  await client.end();
});

test("a version that is too old is named", () => {
  expect(tooOld("PostgreSQL at x:1", 140_020)).toBe(
    "PostgreSQL at x:1 has version 14, and Leasehold needs 15 or later: upgrade it",
  );
  expect(tooOld("PostgreSQL at x:1", 150_000)).toBeUndefined();
});
