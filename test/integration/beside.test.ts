import { readFileSync } from "node:fs";
import { INSTALLED_MAJOR } from "../../sandbox/postgres-binaries";
import { cellsOf, type Report } from "../../verify/report/report";
import { Wire } from "../e2e/wire";
import { Deployment, findings } from "../support/deployment";
import { unless } from "../support/skip";

/** What answers a statement beside the privilege is told apart from a refusal: the verdict is the catalogs', and a remark says why. */
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({
    postgresSettings: { log_statement: "all", log_line_prefix: "[%p] " },
  });
});

afterAll(() => deployment.stop());

/** What the server logged meanwhile. */
async function logged(work: () => Promise<Report>): Promise<[Report, string]> {
  const { logFile } = deployment.sandbox.postgres;
  const before = readFileSync(logFile).length;
  const report = await work();
  return [report, readFileSync(logFile).subarray(before).toString()];
}

const asOwner = (sql: string) =>
  deployment.superuser.query(
    `BEGIN; SET LOCAL ROLE example_owner; SET LOCAL search_path = example; ${sql}; COMMIT`,
  );

/** Tables for one test. */
async function withTables(sql: string, test: () => Promise<void>): Promise<void> {
  await asOwner(sql);
  try {
    await test();
  } finally {
    await deployment.superuser.query(
      "DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'example'::regnamespace AND relkind = 'r' AND relname <> 'users' LOOP EXECUTE format('DROP TABLE %s CASCADE', t); END LOOP; END $$",
    );
  }
}

const many = Array.from({ length: 30 }, (_, i) => `t${String(i)}`);

test("locks that are taken in the middle of it: who holds them is said once, and all of them wait 5 s", () =>
  withTables(many.map((name) => `CREATE TABLE ${name} (id integer PRIMARY KEY)`).join("; "), async () => {
    const { host, port } = deployment.sandbox.postgres;
    const wire = await Wire.open({ host, port }, { host });
    const holder = await deployment.connect(deployment.manifest.databases[0]!);
    // The catalogs were asked, and the persona's session is yet to come.
    const trap = wire.onAnswered(/pg_locks LEFT JOIN pg_stat_activity/, () =>
      holder.query(
        `BEGIN; LOCK TABLE ${many.map((name) => `example.${name}`).join(", ")} IN ACCESS EXCLUSIVE MODE`,
      ),
    );
    const [report, log] = await logged(() =>
      deployment.verify({ postgres: () => ({ host, port: wire.port }) }),
    );
    await holder.end();
    wire.close();
    expect(trap.isSprung).toBe(true);
    expect(findings(report)).toEqual([]);
    expect(report.left).toEqual([]);
    expect(report.remarks).toEqual([
      expect.stringMatching(
        /^nanvc: (?:"example"\.t\d+, ){2}"example"\.t\d+ and 27 more: by the catalogs alone, since there is an AccessExclusiveLock of nanvc \(process \d+\)$/,
      ),
    ]);
    expect(cellsOf(report).flatMap(({ result }) => result.remarks)).toEqual([]);
    const waits = timeoutsIn(log);
    expect(waits.length).toBeGreaterThan(0);
    expect(waits.length).toBeLessThanOrEqual(many.length);
    // The last one that waits takes what is left, and the others a millisecond each.
    expect(waits.reduce((sum, wait) => sum + wait, 0)).toBeLessThanOrEqual(5_000 + many.length);
  }));

/** The lock_timeout, in milliseconds, of each statement that ended by it. */
function timeoutsIn(log: string): number[] {
  const limits = new Map<string, number>();
  const found: number[] = [];
  for (const line of log.split("\n")) {
    const [, pid] = /^\[(\d+)\] /.exec(line) ?? [];
    if (pid === undefined) continue;
    const set = /'lock_timeout', '(\d+)ms'/.exec(line)?.[1];
    if (set !== undefined) limits.set(pid, Number(set));
    if (line.includes("due to lock timeout")) found.push(limits.get(pid)!);
  }
  return found;
}

test("a policy that fails, a rule, no replica identity: held, with the reason", () =>
  withTables(
    `CREATE TABLE guarded (id integer PRIMARY KEY, tenant uuid);
     ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
     CREATE POLICY tenant ON guarded USING (tenant = current_setting('app.tenant_id')::uuid);
     CREATE TABLE kept (id integer PRIMARY KEY);
     CREATE RULE kept AS ON DELETE TO kept DO INSTEAD NOTHING;
     CREATE TABLE keyless (note text);
     RESET ROLE; CREATE PUBLICATION everything FOR ALL TABLES`,
    async () => {
      const [report, log] = await logged(() => deployment.verify());
      expect(findings(report)).toEqual([]);
      const cells = cellsOf(report);
      // Once, and not a persona.
      expect(cells.flatMap(({ result }) => result.remarks)).toEqual([
        'UPDATE on "example".keyless is decided by the catalogs, since the server answers SQLSTATE 55000, cannot update table "keyless" because it does not have a replica identity and publishes updates',
      ]);
      const evidence = cells.flatMap(({ result }) => (result.id === "tables.DELETE" ? result.evidence : []));
      expect(evidence).toEqual(
        expect.arrayContaining([
          { sent: "by the catalogs, since there is row security", got: '"example".guarded' },
          { sent: "by the catalogs, since there is a rule", got: '"example".kept' },
        ]),
      );
      expect(log).not.toContain("app.tenant_id");
      await deployment.superuser.query("DROP PUBLICATION everything");
    },
  ));

test.each(["ALTER DATABASE nanvc", "ALTER ROLE vault"])(
  "%s SET default_transaction_read_only = on: one line",
  async (alter) => {
    const setting = async (sql: string) => {
      await deployment.superuser.query(`${alter} ${sql}`);
      await deployment.superuser.query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'vault'",
      );
    };
    await setting("SET default_transaction_read_only = on");
    try {
      await expect(deployment.verify()).rejects.toThrow(
        /^GET database\/creds\/verify-owner: HTTP \d+: .*read-only transaction \(SQLSTATE 25006\); of PostgreSQL: its transactions are read-only: have Vault's connection reach the primary, and turn default_transaction_read_only off for the server, the database and Vault's login$/,
      );
    } finally {
      await setting("RESET default_transaction_read_only");
    }
    expect(findings(await deployment.verify())).toEqual([]);
  },
);

const major = process.env["LEASEHOLD_POSTGRES"] || String(INSTALLED_MAJOR);
const withLoginTriggers = unless(Number(major) < 17 && "PostgreSQL has login event triggers from 17 on");

withLoginTriggers.describe(`a login event trigger${withLoginTriggers.because}`, () => {
  /** @param raises for whom, as SQL */
  async function trigger(raises: string): Promise<void> {
    await deployment.superuser.query(
      `CREATE OR REPLACE FUNCTION public.at_login() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
         IF ${raises} THEN RAISE EXCEPTION 'not % today', session_user; END IF;
       END $$;
       DROP EVENT TRIGGER IF EXISTS at_login;
       CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION public.at_login();
       ALTER EVENT TRIGGER at_login ENABLE ALWAYS`,
    );
  }

  afterAll(() => deployment.superuser.query("DROP EVENT TRIGGER at_login; DROP FUNCTION public.at_login"));

  test("that lets everybody in is told", async () => {
    await trigger("false");
    const report = await deployment.verify({ selection: { only: ["schema-owner"] } });
    expect(findings(report)).toEqual([]);
    expect(report.remarks).toEqual([
      "nanvc: each login runs the event trigger at_login, a leased one and verify's own too",
    ]);
  });

  test("that does not let leased logins in: one line", async () => {
    await trigger("session_user LIKE 'v-%'");
    await expect(deployment.verify()).rejects.toThrow(
      /^PostgreSQL at \S+ refuses a session \(P0001: not v-\S+ today\): a login event trigger of the database refuses it: have it let leased logins and Vault's in$/,
    );
  });

  test("that does not let Vault's login in: one line", async () => {
    await trigger("session_user = 'vault'");
    await deployment.superuser.query(
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'vault'",
    );
    await expect(deployment.verify()).rejects.toThrow(
      /^GET database\/creds\/verify-owner: HTTP \d+: .*not vault today \(SQLSTATE P0001\); of PostgreSQL: a login event trigger /,
    );
  });
});
