import { beforeOf } from "../environments/load";
import { maintain, MAKE_CREATOR } from "../support/maintain";
import { query } from "../support/hand-made";
import { OwnServers } from "./own-servers";

/**
 * MAINTAIN, which Terraform's provider refuses and would read back as a difference, by the command line with real Terraform. The tests
 * are its steps, in order.
 */
let servers: OwnServers;

beforeAll(async () => {
  servers = await OwnServers.start();
  await servers.deployment.superuser.query(`${beforeOf("named-privileges")!}; ${MAKE_CREATOR}`);
  await servers.query("CREATE DATABASE archive");
  const archive = { database: "archive" };
  const { postgres } = servers.deployment.sandbox;
  await query(postgres, "CREATE SCHEMA archive AUTHORIZATION shop_owner", archive);
  await query(postgres, "CREATE TABLE archive.old (id integer PRIMARY KEY)", archive);
  await query(postgres, "ALTER TABLE archive.old OWNER TO shop_owner", archive);
}, 60_000);

afterAll(() => servers.stop());

const [{ schemas, personas }] = maintain.databases as [(typeof maintain.databases)[number]];
const [service, report] = personas;
const reads = {
  ...report!,
  privileges: { database: ["CONNECT"], schema: ["USAGE"], tables: ["SELECT"] },
} as const;

/** In a database other than the one that Terraform's provider is in, where it drops nothing of a role that it drops. */
const ARCHIVE = {
  ...{ name: "archive", exists: true },
  schemas: [{ name: "archive", owner: { name: "shop_owner", exists: true as const }, exists: true }],
  manager: { name: "archive_vault", passwordVersion: 1 },
  vault: { mount: "database", connection: "archive" },
};
const archivist = { ...reads, groupRole: "archive_report", appRole: "app-archive-report" };
const maintains = {
  ...archivist,
  privileges: { database: ["CONNECT"], schema: ["USAGE"], tables: ["SELECT", "MAINTAIN"] },
} as const;

async function configure(
  declared: (typeof personas)[number][],
  archivists: (typeof personas)[number][],
): Promise<void> {
  servers.configure((draft) => {
    const { schema: _, owner: __, ...rest } = draft.databases[0]!;
    const workload = { kind: "leases", reader: "report" } as const;
    const all = { ...rest, workload };
    draft.databases = [
      { ...all, schemas, personas: declared },
      ...(archivists.length > 0 ? [{ ...all, ...ARCHIVE, personas: archivists }] : []),
    ];
  });
  await succeeds("init");
}

const ALL = ["archive_report_maintain", "shop_report_maintain", "shop_service_maintain"];

const succeeds = (...args: string[]) => servers.succeeds(...args);

async function maintainers(): Promise<string[]> {
  const { rows } = await servers.deployment.superuser.query<{ name: string }>(
    "SELECT rolname AS name FROM pg_roles WHERE rolname LIKE '%maintain' AND rolname <> 'pg_maintain' ORDER BY 1",
  );
  return rows.map(({ name }) => name);
}

test("it is deployed, the diff is empty and all holds", async () => {
  await configure([service!, report!], [maintains]);
  expect(await succeeds("deploy", "--auto-approve")).toContain(
    "brought what shop_report_maintain has in the database app to MAINTAIN as declared: 3 changes",
  );
  expect(await maintainers()).toEqual(ALL);
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
  await configure([reads], [archivist]);
  await succeeds("deploy", "--auto-approve");
  expect(await maintainers()).toEqual([]);
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  await succeeds("verify", "--no-expiry");
});

test("a database that is no longer declared leaves none", async () => {
  await configure([reads], [maintains]);
  await succeeds("deploy", "--auto-approve");
  expect(await maintainers()).toEqual(["archive_report_maintain"]);
  await configure([reads], []);
  await succeeds("deploy", "--auto-approve");
  expect(await maintainers()).toEqual([]);
});

test("destroy leaves no role", async () => {
  await configure([service!, report!], [maintains]);
  await succeeds("deploy", "--auto-approve");
  expect(await maintainers()).toEqual(ALL);
  expect(await servers.leasehold("diff")).toMatchObject({ code: 0 });
  await succeeds("destroy", "--auto-approve");
  expect(await maintainers()).toEqual([]);
});
