import external from "../../config/external";
import type { EnvironmentInput } from "../../config/schema/schema";
import { OwnServers } from "./own-servers";

/**
 * A database with one schema gets more, `public` among them, by the command line with real Terraform: nothing of what others have
 * is lost on the way, and destroy gives it back. The tests are its steps, in order.
 */
let servers: OwnServers;
let before: unknown[];

beforeAll(async () => {
  servers = await OwnServers.start();
  await servers.query("CREATE ROLE nightly LOGIN");
  await servers.query("GRANT CREATE ON SCHEMA public TO nightly");
  await servers.query("CREATE TABLE public.kept (n integer)");
  before = await publicSchema();
}, 60_000);

afterAll(() => servers.stop());

/** Its owner, its ACL, what is in it, and the default privileges of the creator. */
const publicSchema = () =>
  servers.query(
    `SELECT nspowner::regrole::text, ARRAY(SELECT acl::text FROM unnest(nspacl) acl ORDER BY 1),
       ARRAY(SELECT relname::text FROM pg_class WHERE relnamespace = n.oid ORDER BY 1),
       ARRAY(SELECT defaclacl::text FROM pg_default_acl WHERE defaclrole::regrole::text = 'nightly' ORDER BY 1)
     FROM pg_namespace n WHERE nspname = 'public'`,
  );

const [, service, report] = external.databases[0]!.personas;

function configure(schemas?: NonNullable<EnvironmentInput["databases"][number]["schemas"]>): void {
  servers.configure((draft) => {
    const [database] = draft.databases;
    Object.assign(database!, { personas: [service, report], workload: { kind: "leases", reader: "report" } });
    if (schemas) Object.assign(database!, { schema: undefined, owner: undefined, schemas });
    // What nightly loses.
    draft.accepted = ["database app:CONNECT, TEMPORARY", "schema public:USAGE"].map((what) => ({
      ...{ id: `loss:${what} of nightly`, reason: "it is granted them when it is moved" },
    }));
  });
}

const succeeds = (...args: string[]) => servers.succeeds(...args);

test("deployed with one schema, as before", async () => {
  configure();
  await succeeds("init");
  await succeeds("deploy", "--auto-approve");
  expect(await publicSchema()).toEqual(before);
});

test("further schemas are added, the first one's resources stay, and everything holds", async () => {
  configure([
    { name: "app", owner: "app_owner" },
    { name: "public", owner: "app_owner", creators: ["nightly"] },
    { name: "audit", owner: "audit_owner" },
  ]);
  const diff = await servers.leasehold("diff");
  expect(diff.code).toBe(2);
  expect(diff.output).not.toMatch(/must be replaced|will be destroyed/);
  await succeeds("deploy", "--auto-approve");
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  // What others made there before is the personas' as well.
  const [, acl] = await publicSchema();
  expect(acl).not.toContain("=U/pg_database_owner");
  await succeeds("verify", "--no-expiry");
});

test("an owner and a schema that deploy made, and the config then has as ones that exist, stay", async () => {
  const audit = { name: "audit_owner", exists: true } as const;
  configure([
    { name: "app", owner: "app_owner" },
    { name: "public", owner: "app_owner", creators: ["nightly"] },
    { name: "audit", owner: audit, exists: true },
  ]);
  const lines = [
    "the role audit_owner stays, and leaves Terraform's state: the config has it as one that exists",
    "the schema audit of the database app stays, and leaves Terraform's state: the config has it as one that exists",
  ];
  const diff = await servers.leasehold("diff");
  const output = await succeeds("deploy", "--auto-approve");
  for (const line of lines) for (const said of [diff.output, output]) expect(said).toContain(line);
  expect(diff.output).not.toMatch(/\.Database-app_\S*(Owner|Schema)\S* will be destroyed/);
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
});

test("destroy gives public back as it was, with what is in it", async () => {
  const output = await succeeds("destroy", "--auto-approve");
  expect(output).not.toMatch(/^left: .*public/m);
  expect(await publicSchema()).toEqual(before);
  expect(
    await servers.query("SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1"),
  ).toEqual(["audit_owner", "nightly", "postgres"]);
  expect(
    await servers.query("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'audit'"),
  ).toEqual(["audit_owner"]);
});
