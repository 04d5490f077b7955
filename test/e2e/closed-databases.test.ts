import { messages } from "../support/program";
import { OwnServers } from "./own-servers";

/** Databases that the config does not name, closed by a deploy on servers that exist already. The tests are its steps, in order. */
let servers: OwnServers;

beforeAll(async () => {
  servers = await OwnServers.start();
  configure("close");
  await servers.query("CREATE ROLE reporting LOGIN");
}, 60_000);

afterAll(() => servers.stop());

function configure(otherDatabases: "keep" | "close", accepted: readonly string[] = []): void {
  servers.configure((draft) => {
    draft.servers[0]!.otherDatabases = otherDatabases;
    draft.accepted = accepted.map((id) => ({ id, reason: "it has another server by then" }));
  });
}

const open = () =>
  servers.query(
    "SELECT datname FROM pg_database WHERE datallowconn AND has_database_privilege('public', oid, 'CONNECT') ORDER BY 1",
  );

const succeeds = (...args: string[]) => servers.succeeds(...args);

test("without a terminal a deploy says who would be locked out, and changes nothing", async () => {
  await succeeds("init");
  const { code, output } = await servers.leasehold("deploy");
  const lost = [
    'reporting loses CONNECT, TEMPORARY on the database app; to keep it: GRANT CONNECT, TEMPORARY ON DATABASE app TO "reporting" (id loss:database app:CONNECT, TEMPORARY of reporting)',
    ...["postgres", "template1"].map(
      (name) =>
        `reporting could no longer connect to the database ${name}; to keep it: GRANT CONNECT ON DATABASE "${name}" TO "reporting" (id loss:database ${name}:CONNECT of reporting)`,
    ),
  ];
  expect(output).toContain(`\n# what others lose\n${lost.join("\n")}\n`);
  expect({ code, lines: messages(output) }).toEqual({
    code: 2,
    lines: ["Deploy external. There is no terminal to ask on: add --auto-approve"],
  });
  expect(await open()).toEqual(["app", "postgres", "template1"]);
  expect(await servers.query("SELECT rolname FROM pg_roles WHERE rolname = 'app_owner'")).toEqual([]);
});

test("accepted, it closes them unasked, and verify holds", async () => {
  configure("close", [
    "loss:database app:CONNECT, TEMPORARY of reporting",
    ...["postgres", "template1"].map((name) => `loss:database ${name}:CONNECT of reporting`),
  ]);
  expect(await succeeds("deploy", "--auto-approve")).toContain("reporting could no longer connect to");
  expect(await open()).toEqual([]);
  expect(await succeeds("deploy", "--auto-approve")).toContain("Nothing to do");
  await succeeds("verify", "--no-expiry");
});

test("kept again, a deploy gives back what was taken", async () => {
  configure("keep");
  await succeeds("deploy", "--auto-approve");
  expect(await open()).toEqual(["postgres", "template1"]);
  configure("close");
  await servers.query("GRANT CONNECT ON DATABASE postgres, template1 TO reporting");
  await succeeds("deploy", "--auto-approve");
  expect(await open()).toEqual([]);
});

test("destroy gives it back", async () => {
  await succeeds("destroy", "--auto-approve");
  expect(await open()).toEqual(["app", "postgres", "template1"]);
});
