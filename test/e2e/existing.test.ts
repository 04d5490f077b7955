import { Privileges } from "../../constructs/postgres/privileges";
import existing from "../environments/existing";
import { beforeOf } from "../environments/load";
import { dumpPostgres } from "../golden/dump";
import { OwnServers } from "./own-servers";

/** What was there before is used, and after destroy it is as it was: roles, memberships, settings, owners and every ACL, PUBLIC's too. */
const OF_OWNER = ["CONNECT", "TEMPORARY", "CREATE"] as const;

let servers: OwnServers;
let before: object;

const state = () => dumpPostgres(servers.deployment.superuser);

beforeAll(async () => {
  servers = await OwnServers.start();
  await servers.deployment.superuser.query(beforeOf("existing")!);
  // The schemas' owner may own the database as well. Each ACL is written out, as it is after a grant and its revocation.
  await servers.deployment.superuser.query(`
    ALTER DATABASE app OWNER TO app_owner;
    GRANT CONNECT ON DATABASE app TO PUBLIC;
    GRANT EXECUTE ON FUNCTION billing.total() TO PUBLIC;
    GRANT USAGE ON SCHEMA billing TO app_owner;
    GRANT SELECT ON billing.invoices, public.customers TO app_owner`);
  before = await state();
  const [{ schemas, personas, staticRoles }] = existing.databases as [(typeof existing.databases)[number]];
  servers.configure((draft) => {
    const [database] = draft.databases;
    const { schema: _, owner: __, ...rest } = database!;
    const workload = { kind: "users", admin: "admin", writer: "service", reader: "report" } as const;
    const asOwner = { ...personas[0]!, privileges: { ...Privileges.OWNER, database: OF_OWNER } };
    const declared = { ...rest, exists: true, schemas, personas: [asOwner, ...personas.slice(1)] };
    draft.databases[0] = { ...declared, staticRoles, workload };
    draft.accepted = [{ id: "loss:role batch:PASSWORD", reason: "the nightly job reads it from Vault" }];
  });
}, 60_000);

afterAll(() => servers.stop());

const succeeds = (...args: string[]) => servers.succeeds(...args);

const LIVES_BY_PUBLIC = `SELECT has_database_privilege('nightly', 'app', 'CONNECT') AS database,
  has_function_privilege('nightly', 'billing.total()', 'EXECUTE') AS function`;

test("deploy, with an empty diff afterwards, verify", async () => {
  await succeeds("init");
  await succeeds("deploy", "--auto-approve");
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  expect(
    await servers.query("SELECT rolcanlogin, rolconfig FROM pg_roles WHERE rolname = 'app_owner'"),
  ).toEqual([true, ["statement_timeout=60s"]]);
  expect(await servers.query(LIVES_BY_PUBLIC)).toEqual([true, true]);
  await succeeds("verify", "--no-expiry");
});

test.each([
  ["destroy --delete-data", ["--delete-data"]],
  ["destroy, after another deploy", []],
])("%s leaves what was there as it was", async (_, args) => {
  await servers.query("DROP TABLE IF EXISTS public.users");
  // Destroy has ended the tokens.
  if (args.length === 0) for (const args of [["init"], ["deploy", "--auto-approve"]]) await succeeds(...args);
  const output = await succeeds("destroy", "--auto-approve", ...args);
  expect(output).not.toMatch(/^left: .*(app_owner|billing|schema)/m);
  expect(output).toMatch(/^left: the login batch with the password that Vault gave it last/m);
  expect(await state()).toEqual(before);
});
