import { asSuperuser, StatementError } from "../../ops/postgres/superuser";
import type { SuperuserLogin } from "../../ops/deployment/deployment";
import { PostgresServer } from "../../sandbox/postgres-server";
import { SetupError } from "../../clients/setup-error";
import { Workspace } from "../../sandbox/workspace";

let workspace: Workspace;
let server: PostgresServer;
let login: SuperuserLogin;

beforeAll(async () => {
  workspace = await Workspace.create();
  const names = { superuser: "boss", password: "boss-password", database: "ledger" };
  server = await PostgresServer.start(workspace, names);
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
