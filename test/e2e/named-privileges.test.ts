import type { EnvironmentInput } from "../../config/schema/schema";
import { SchemaPrivileges } from "../../constructs/postgres/privileges";
import { beforeOf } from "../environments/load";
import named from "../environments/named-privileges";
import { OwnServers } from "./own-servers";

/**
 * Privileges on tables by their names, by the command line with real Terraform: what narrows them, and tables that go. The tests are
 * its steps, in order.
 */
let servers: OwnServers;

beforeAll(async () => {
  servers = await OwnServers.start();
  await servers.deployment.superuser.query(beforeOf("named-privileges")!);
}, 60_000);

afterAll(() => servers.stop());

type Personas = EnvironmentInput["databases"][number]["personas"];
const [{ schemas, personas }] = named.databases as [(typeof named.databases)[number]];
const [, service, report] = personas as [unknown, Personas[number], Personas[number]];

function configure(privileges: Personas[number]["privileges"]): void {
  servers.configure((draft) => {
    const { schema: _, owner: __, ...rest } = draft.databases[0]!;
    const workload = { kind: "leases", reader: "report" } as const;
    draft.databases[0] = { ...rest, schemas, personas: [{ ...service, privileges }, report], workload };
  });
}

const succeeds = (...args: string[]) => servers.succeeds(...args);

test("all tables become named ones, and a table's privileges some columns': the diff is empty at once, and all holds", async () => {
  configure({ database: ["CONNECT"], ...SchemaPrivileges.READ_WRITE });
  await succeeds("init");
  await succeeds("deploy", "--auto-approve");
  configure(service.privileges);
  await succeeds("deploy", "--auto-approve");
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  await succeeds("verify", "--no-expiry");
});

test("a table and a column that are gone are named before anything changes, and are no more in the way once the config is corrected", async () => {
  await servers.query("ALTER TABLE sales.customers DROP COLUMN email CASCADE");
  await servers.query('DROP TABLE sales."Order-items" CASCADE');
  const { code, output } = await servers.leasehold("deploy", "--auto-approve");
  expect(code).toBe(2);
  expect(output).toMatch(/the table sales\.Order-items, on which the persona service has .* is not there/);
  expect(output).toMatch(/the column email of sales\.customers, on which the persona service has/);
  const tables = { customers: { SELECT: ["id"] } };
  const privileges = { database: ["CONNECT"], schemas: { sales: { schema: ["USAGE"], tables } } } as const;
  servers.configure((draft) => {
    const { schema: _, owner: __, ...rest } = draft.databases[0]!;
    const workload = { kind: "leases", reader: "report" } as const;
    const narrowed = [service, report].map((persona) => ({ ...persona, privileges }));
    draft.databases[0] = { ...rest, schemas, personas: narrowed, workload };
  });
  await succeeds("deploy", "--auto-approve");
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  await succeeds("verify", "--no-expiry");
});
