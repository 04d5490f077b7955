import { spawn } from "node:child_process";
import { Client } from "pg";
import external from "../../config/external";
import { messages } from "../support/program";
import { OwnServers } from "./own-servers";
import { poll } from "./poll";
import { CTRL_C, onTerminal } from "./terminal";

/** What deploy asks on a terminal, what it says will end, and what an interrupt leaves. The tests are its steps, in order. */
let servers: OwnServers;

const [admin, service, report] = external.databases[0]!.personas;
const CLI = ["--import", "tsx", "cli.ts"];

beforeAll(async () => {
  servers = await OwnServers.start();
  servers.configurePersonas(admin!, service!, report!);
  await servers.succeeds("init");
}, 120_000);

afterAll(() => servers.stop());

/** Without what moves a terminal's cursor. */
const plain = (text: string) => text.replaceAll("\r\n", "\n").replace(/\u001b\[[?\d;]*[A-Za-z]/g, "");

/** `deploy` where somebody answers. */
const asked = async (answer: string, ...args: string[]) => {
  const { checkout, env } = servers;
  const command = [process.execPath, ...CLI, "deploy", ...args];
  const { code, output } = await onTerminal(answer, command, { cwd: checkout.folder, env });
  return { code, output: plain(output) };
};

const OURS = "SELECT rolname FROM pg_roles WHERE rolname ~ '^(app_|vault$)' ORDER BY 1";

test("a no, and Ctrl-C at the question: nothing is changed", async () => {
  const no = await asked("no\n");
  expect(no.output).toMatch(
    /\n# plan\npostgres: \d+ to add, 0 to change, 0 to destroy\n[^]*Deploy external\. Type yes to go on: /,
  );
  expect({ code: no.code, last: messages(no.output).at(-1) }).toEqual({
    code: 2,
    last: "nothing was deployed",
  });
  const interrupted = await asked(CTRL_C);
  expect({ code: interrupted.code, last: messages(interrupted.output).at(-1) }).toEqual({
    code: 130,
    last: "interrupted: what was started is stopped",
  });
  expect(await servers.query(OURS)).toEqual([]);
});

test("a yes: deployed as it was shown", async () => {
  const { code, output } = await asked("yes\n");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(output).toContain("Deployed external. Next: npx leasehold verify");
  expect(await servers.query(OURS)).toContain("app_report");
});

test("leases and sessions that would end are said, by role", async () => {
  const { data } = await servers.root().call("GET", "database/creds/app_report");
  const { username: user, password } = data as { username: string; password: string };
  const { host, port, ssl = false } = servers.deployment.sandbox.postgres;
  const session = new Client({ host, port, ssl, database: "app", user, password });
  session.on("error", () => undefined);
  await session.connect();
  servers.configurePersonas(admin!, { ...service!, groupRole: "app_writers" });
  await servers.succeeds("init");
  const { code, output } = await servers.leasehold("deploy");
  expect(code).toBe(2);
  const [, ends] = /\n# what ends\n([^]*?)\n\n/.exec(output)!;
  expect(ends!.split("\n")).toEqual([
    "the leases of database/creds/app_report end (1 now): the role is no longer declared",
    "the leases of database/creds/app_service end (0 now): the role gets another name",
    "1 session of the role app_report, which goes or gets another name, ends",
  ]);
  expect(await session.query("SELECT 1").then(() => "works")).toBe("works");
  await session.end();
});

test("a yes to a persona that goes and a group role that is renamed: what was shown is what is applied", async () => {
  const { code, output } = await asked("yes\n");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(await servers.query(OURS)).toEqual(expect.arrayContaining(["app_admin", "app_writers"]));
  expect(await servers.query(OURS)).not.toContain("app_report");
});

test("Ctrl-C in the middle of a destroy: the next one finishes", async () => {
  await servers.query("CREATE TABLE app.kept AS SELECT 42 AS answer");
  await servers.query("GRANT SELECT ON app.kept TO app_writers");
  // Holds the table's access control list, from which the group role is about to be taken.
  const other = servers.deployment.superuser;
  await other.query("BEGIN");
  await other.query("GRANT SELECT ON app.kept TO PUBLIC");
  const child = spawn(process.execPath, [...CLI, "destroy", "--auto-approve"], {
    ...{ cwd: servers.checkout.folder, env: servers.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  await poll(async () => {
    const waiting = await servers.query("SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
    if (waiting.length === 0) throw new Error(`nothing waits yet:\n${output}`);
  });
  child.kill("SIGINT");
  await other.query("ROLLBACK");
  const code = await ended;
  expect({ code, last: messages(output).at(-1) }).toEqual({
    code: 130,
    last: "interrupted: what was started is stopped",
  });
  expect(output).toContain("Destroyed the stack vault");
  expect(output).not.toContain("Destroyed the stack postgres");
  expect(await servers.succeeds("destroy", "--auto-approve")).toContain("Destroyed the stack postgres");
  // It owns what stays.
  expect(await servers.query(OURS)).toEqual(["app_owner"]);
  expect(await servers.query("SELECT answer FROM app.kept")).toEqual([42]);
});
