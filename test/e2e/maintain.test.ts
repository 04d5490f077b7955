import { beforeOf } from "../environments/load";
import { maintain, MAKE_CREATOR } from "../support/maintain";
import { OwnServers } from "./own-servers";

/**
 * MAINTAIN, which Terraform's provider refuses and would read back as a difference, by the command line with real Terraform. The tests
 * are its steps, in order.
 */
let servers: OwnServers;

beforeAll(async () => {
  servers = await OwnServers.start();
  await servers.deployment.superuser.query(`${beforeOf("named-privileges")!}; ${MAKE_CREATOR}`);
}, 60_000);

afterAll(() => servers.stop());

const [{ schemas, personas }] = maintain.databases as [(typeof maintain.databases)[number]];
const [service, report] = personas;
const reads = {
  ...report!,
  privileges: { database: ["CONNECT"], schema: ["USAGE"], tables: ["SELECT"] },
} as const;

function configure(...declared: (typeof personas)[number][]): void {
  servers.configure((draft) => {
    const { schema: _, owner: __, ...rest } = draft.databases[0]!;
    const workload = { kind: "leases", reader: "report" } as const;
    draft.databases[0] = { ...rest, schemas, personas: declared, workload };
  });
}

const succeeds = (...args: string[]) => servers.succeeds(...args);

async function maintainers(): Promise<string[]> {
  const { rows } = await servers.deployment.superuser.query<{ name: string }>(
    "SELECT rolname AS name FROM pg_roles WHERE rolname LIKE '%maintain' AND rolname <> 'pg_maintain' ORDER BY 1",
  );
  return rows.map(({ name }) => name);
}

test("it is deployed, the diff is empty and all holds", async () => {
  configure(service!, report!);
  await succeeds("init");
  expect(await succeeds("deploy", "--auto-approve")).toContain(
    "brought what shop_report_maintain has in the database app to MAINTAIN as declared: 3 changes",
  );
  expect(await maintainers()).toEqual(["shop_report_maintain", "shop_service_maintain"]);
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  expect(await succeeds("deploy", "--auto-approve")).not.toContain("MAINTAIN");
  await succeeds("verify", "--no-expiry");
});

test("a deploy puts right what was granted and revoked by hand", async () => {
  await servers.query("REVOKE MAINTAIN ON billing.invoices FROM shop_report_maintain");
  await servers.query("GRANT MAINTAIN ON sales.refunds TO shop_service_maintain");
  await succeeds("deploy", "--auto-approve");
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  await succeeds("verify", "--no-expiry");
});

test("a persona that loses it, and one that goes, leave no role", async () => {
  configure(reads);
  await succeeds("init");
  await succeeds("deploy", "--auto-approve");
  expect(await maintainers()).toEqual([]);
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  await succeeds("verify", "--no-expiry");
});

test("destroy leaves no role", async () => {
  configure(service!, report!);
  await succeeds("init");
  await succeeds("deploy", "--auto-approve");
  expect(await maintainers()).toEqual(["shop_report_maintain", "shop_service_maintain"]);
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  await succeeds("destroy", "--auto-approve");
  expect(await maintainers()).toEqual([]);
});
