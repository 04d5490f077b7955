import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { dumpPostgres } from "../golden/dump";
import { query } from "../support/hand-made";
import { messages } from "../support/program";
import { importCommands } from "./killed";
import { OwnServers } from "./own-servers";

/**
 * A database with an owner who logs in and two logins that live by PUBLIC's privileges (field.md C1): what a deploy would take
 * from them is said before it does. The tests are its steps, in order.
 */
let servers: OwnServers;

/** No persona acts as the owner: what is in the schema is another's. */
const configure = (owner: string, accepted: { id: string; reason: string }[] = []) => {
  servers.configure((draft) => {
    const [database] = draft.databases;
    Object.assign(database!, { schema: "billing", owner, workload: undefined });
    database!.personas = database!.personas.filter(({ actsAsOwner }) => !actsAsOwner);
    draft.accepted = accepted;
  });
};

beforeAll(async () => {
  servers = await OwnServers.start();
  for (const sql of [
    "CREATE ROLE shop_app LOGIN PASSWORD 'x'",
    "ALTER DATABASE app OWNER TO shop_app",
    "GRANT CREATE ON SCHEMA public TO shop_app",
    "CREATE SCHEMA billing AUTHORIZATION shop_app",
    "CREATE TABLE public.orders (id integer)",
    "CREATE TABLE billing.invoices (id integer)",
    "ALTER TABLE public.orders OWNER TO shop_app",
    "ALTER TABLE billing.invoices OWNER TO shop_app",
    "CREATE FUNCTION billing.total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM billing.invoices'",
    "ALTER FUNCTION billing.total() OWNER TO shop_app",
    "CREATE ROLE reporting LOGIN PASSWORD 'x'",
    "CREATE ROLE batch LOGIN PASSWORD 'x'",
    "GRANT USAGE ON SCHEMA billing TO reporting",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public, billing TO reporting",
    "GRANT INSERT ON public.orders TO batch",
  ])
    await servers.query(sql);
}, 60_000);

afterAll(() => servers.stop());

const succeeds = (...args: string[]) => servers.succeeds(...args);

/** What each of the three does all day. */
const work = async () => {
  const as = async (user: string, ...statements: string[]) => {
    for (const sql of statements)
      await query(servers.deployment.sandbox.postgres, sql, { user, password: "x" });
  };
  await as(
    "shop_app",
    "CREATE TABLE billing.day ()",
    "DROP TABLE billing.day",
    "INSERT INTO public.orders VALUES (1)",
  );
  await as("reporting", "CREATE TEMPORARY TABLE t AS SELECT billing.total(), id FROM public.orders");
  await as("batch", "CREATE TEMPORARY TABLE t ()", "INSERT INTO public.orders VALUES (2)");
};

/** With the state, the passwords, and the operator's token, as a pipeline has them. */
const fromAnotherMachine = async (...args: string[]) => {
  const { checkout } = servers;
  const token = readFileSync(join(checkout.home, "leasehold/external/operator-token"), "utf8");
  const home = checkout.path("another-home");
  mkdirSync(home, { mode: 0o700 });
  const env = { XDG_CONFIG_HOME: home, VAULT_TOKEN: token };
  const { code, output } = await servers.leaseholdWith({ env }, ...args);
  rmSync(home, { recursive: true });
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  return output;
};

/** Environments with a record of what they have taken, which is the superuser's alone. */
const record = async () => {
  const [table] = await servers.query("SELECT to_regclass('leasehold.taken') IS NOT NULL");
  if (!table) return [];
  expect(
    await servers.query(
      "SELECT grantee FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) WHERE oid = 'leasehold.taken'::regclass AND grantee <> relowner",
    ),
  ).toEqual([]);
  return [await servers.query("SELECT environment FROM leasehold.taken")];
};

const LOSSES = [
  'batch loses CONNECT, TEMPORARY on the database app; to keep it: GRANT CONNECT, TEMPORARY ON DATABASE app TO "batch" (id loss:database app:CONNECT, TEMPORARY of batch)',
  'reporting loses CONNECT, TEMPORARY on the database app; to keep it: GRANT CONNECT, TEMPORARY ON DATABASE app TO "reporting" (id loss:database app:CONNECT, TEMPORARY of reporting)',
  'reporting loses EXECUTE on 1 function of the schema billing of the database app; to keep it: GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA "billing" TO "reporting" (id loss:functions in billing:EXECUTE of reporting)',
];
const OWNER =
  "shop_app could no longer log in, as the config has it as the owner of a schema; to keep it: let the config name another role (id loss:role shop_app:LOGIN)";
const SCHEMA =
  'shop_app loses CREATE, USAGE on the schema billing of the database app; to keep it, after the deploy: GRANT CREATE, USAGE ON SCHEMA billing TO "shop_app" (id loss:schema billing:CREATE, USAGE of shop_app)';

const grantOf = (line: string) => /to keep it.*?: (.*) \(id /.exec(line)![1]!;

const changed = () =>
  servers.query(
    "SELECT rolname FROM pg_roles WHERE rolname LIKE 'app\\_%' OR rolname = 'shop_app' AND NOT rolcanlogin UNION SELECT 'CONNECT' WHERE NOT has_database_privilege('public', 'app', 'CONNECT')",
  );

test("an owner who logs in would be cut off, and so would who lives by PUBLIC: deploy says so and changes nothing", async () => {
  configure("shop_app");
  await succeeds("init");
  await work();
  const lost = `\n# what others lose\n${[OWNER, ...LOSSES].join("\n")}\n`;
  const asked = await servers.leasehold("deploy");
  expect(asked.output).toMatch(
    /\n# plan\npostgres: \d+ to add, 0 to change, 0 to destroy\nvault: \d+ to add, 0 to change, 0 to destroy\n\n# access\n\+ app, /,
  );
  expect(asked.output).toContain(lost);
  expect({ code: asked.code, lines: messages(asked.output) }).toEqual({
    code: 2,
    lines: ["Deploy external. There is no terminal to ask on: add --auto-approve"],
  });
  // Unasked, what the config does not accept is taken from nobody.
  const unasked = await servers.leasehold("deploy", "--auto-approve");
  expect(unasked.output).toContain(lost);
  expect({ code: unasked.code, lines: messages(unasked.output) }).toEqual({
    code: 2,
    lines: [
      expect.stringMatching(
        /^--auto-approve does not take from others what config\/external.ts does not accept: loss:role shop_app:LOGIN; loss:database app:/,
      ),
    ],
  });
  expect(await changed()).toEqual([]);
});

test("with an owner of its own the schema would change hands: diff says it too", async () => {
  configure("app_owner");
  const { code, output } = await servers.leasehold("diff");
  expect(code).toBe(2);
  expect(output).toContain(`\n# what others lose\n${[...LOSSES, SCHEMA].join("\n")}\n`);
  expect(output).toContain(
    "\n# access\n+ app, report: the persona comes, with CONNECT on the database app; USAGE",
  );
});

test("what the config accepts is said and not asked for; the grants keep the rest", async () => {
  const [, ...granted] = LOSSES;
  for (const line of granted) await servers.query(grantOf(line));
  const reason = "granted afterwards";
  configure(
    "app_owner",
    [LOSSES[0]!, SCHEMA].map((line) => ({ id: /\(id (.*)\)$/.exec(line)![1]!, reason })),
  );
  // What is there is not taken over unasked.
  const refused = await servers.leasehold("deploy", "--auto-approve");
  expect({ code: refused.code, line: messages(refused.output).at(-1) }).toEqual({
    code: 2,
    line: expect.stringMatching(/^the schema billing \(shop_app's\) .* is there already /) as string,
  });
  for (const command of importCommands(refused.output)) expect((await servers.shell(command)).code).toBe(0);
  const accepted = [LOSSES[0]!, SCHEMA].map((line) => `${line}, accepted: ${reason}\n`);
  expect(await succeeds("deploy", "--auto-approve")).toContain(`\n# what others lose\n${accepted.join("")}`);
  await expect(work()).rejects.toMatchObject({ code: "42501" });
  for (const line of [LOSSES[0]!, SCHEMA]) await servers.query(grantOf(line));
  await work();
});

test("the next deploy takes nothing, so that it need not ask; diff has no change", async () => {
  const output = await succeeds("deploy");
  expect(output).toContain("\n# plan\npostgres: no change\nvault: no change\n");
  expect(output).toContain("Nothing to do");
  expect(output).not.toContain("lose");
  const planned = await succeeds("diff");
  expect(planned).toMatch(/\n# access\ncompared with the deploy from this machine at \S+Z\nno change\n/);
  expect(planned).not.toContain("what others lose");
});

test("they work through verify and destroy", async () => {
  const granted = (id: string) => ({ id, reason: "a login from before" });
  configure(
    "app_owner",
    [
      "grant:function in billing:EXECUTE to reporting",
      "grant:schema in billing:CREATE to shop_app",
      "grant:schema in billing:USAGE to shop_app",
      "grant:schema in billing:USAGE to reporting",
      "grant:table in billing:SELECT to reporting",
    ].map(granted),
  );
  const { code, output } = await servers.leasehold("verify", "--no-expiry", "--env", "external");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  await work();
  expect(await record()).toEqual([["external"]]);
  const destroyed = await fromAnotherMachine("destroy", "--auto-approve");
  expect(destroyed).toContain("gave the schema billing of the database app back to shop_app");
  await work();
  expect(await record()).toEqual([]);
});

test("an owner who was taken over gets back all that he had, and stays, as his schema does", async () => {
  await servers.query("CREATE ROLE staff");
  await servers.query("GRANT staff TO shop_app WITH ADMIN OPTION");
  await servers.query("ALTER ROLE shop_app CREATEDB CONNECTION LIMIT 7");
  await servers.query("ALTER ROLE shop_app SET search_path = billing, public");
  const state = () => dumpPostgres(servers.deployment.superuser);
  const before = await state();
  configure("shop_app", [{ id: "loss:role shop_app:LOGIN", reason: "it is the stack's by now" }]);
  await succeeds("init");
  for (const command of importCommands((await servers.leasehold("deploy", "--auto-approve")).output))
    expect((await servers.shell(command)).code).toBe(0);
  expect(await state()).toEqual(before);
  await succeeds("deploy", "--auto-approve");
  expect(
    await servers.query(
      "SELECT rolcanlogin, has_database_privilege(oid, 'app', 'CONNECT') FROM pg_roles WHERE rolname = 'shop_app'",
    ),
  ).toEqual([false, false]);
  const output = await fromAnotherMachine("destroy", "--auto-approve");
  expect(output).toContain(
    "gave the role shop_app back what it had: LOGIN; CREATEDB; CONNECTION LIMIT 7; the search path billing, public; membership in staff; CONNECT, CREATE, TEMPORARY on the database app",
  );
  expect(output).not.toMatch(/^left: .*(shop_app|billing)/m);
  expect(await state()).toEqual(before);
  await work();
});
