import { once } from "node:events";
import { connect } from "node:net";
import { Client, DatabaseError } from "pg";
import { Deployment } from "../support/deployment";

/** The statements of sql/, run by Vault as its own login, which is no superuser. */
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start();
});

afterAll(() => deployment.stop());

interface Leased {
  id: string;
  user: string;
  client: Client;
  /** The SQLSTATE with which the server ended the session. */
  ended: Promise<string>;
}

async function lease(role: string): Promise<Leased> {
  const { lease_id: id, data } = await deployment.root.call("GET", `database/creds/${role}`);
  const { username: user, password } = data as { username: string; password: string };
  const { host, port, database } = deployment.sandbox.postgres;
  const client = new Client({ host, port, database, user, password, ssl: false });
  const ended = new Promise<string>((resolve) => {
    client.on("error", (error) => {
      resolve(error instanceof DatabaseError ? (error.code ?? "") : error.message);
    });
  });
  await client.connect();
  return { id: id!, user, client, ended };
}

const revoke = (id: string) =>
  deployment.root.request("POST", "sys/leases/revoke", { lease_id: id, sync: true });

async function ownerOf(table: string): Promise<string | undefined> {
  const { rows } = await deployment.superuser.query<{ owner: string }>(
    "SELECT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE oid = to_regclass($1)",
    [table],
  );
  return rows[0]?.owner;
}

test("an admin's objects are the owner's from the start, and its session is ended", async () => {
  const { id, client, ended } = await lease("schema_admin_role");
  await client.query("CREATE TABLE example.made (id integer)");
  expect(await ownerOf("example.made")).toBe("example_owner");
  expect((await revoke(id)).status).toBe(204);
  expect(await ended).toBe("57P01");
  expect(await ownerOf("example.made")).toBe("example_owner");
  expect(await deployment.leasedRoles()).toEqual([]);
});

test("what an admin made as itself, in a transaction that is open, too", async () => {
  const { id, client, ended } = await lease("schema_admin_role");
  await client.query("RESET ROLE; SET ROLE NONE");
  await client.query("CREATE TABLE example.own (id integer)");
  expect(await ownerOf("example.own")).not.toBe("example_owner");
  await client.query("BEGIN");
  await client.query("INSERT INTO example.own VALUES (1)");
  await client.query("CREATE TABLE example.unfinished (id integer)");
  expect((await revoke(id)).status).toBe(204);
  expect(await ended).toBe("57P01");
  expect([await ownerOf("example.own"), await ownerOf("example.unfinished")]).toEqual([
    "example_owner",
    undefined,
  ]);
  expect(await deployment.leasedRoles()).toEqual([]);
});

test("revocation holds when the role is gone already", async () => {
  const { id, user, client } = await lease("readonly_role");
  await client.end();
  await deployment.superuser.query(`DROP ROLE "${user}"`);
  expect((await revoke(id)).status).toBe(204);
});

test("revocation of one lease leaves another's session alone", async () => {
  const [one, other] = [await lease("readwrite_role"), await lease("readwrite_role")];
  expect((await revoke(one.id)).status).toBe(204);
  expect((await other.client.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  await other.client.end();
  expect((await revoke(other.id)).status).toBe(204);
});

test("renewal moves VALID UNTIL", async () => {
  const { id, user, client } = await lease("readonly_role");
  const until = async () =>
    (
      await deployment.superuser.query<{ until: Date }>(
        "SELECT rolvaliduntil AS until FROM pg_roles WHERE rolname = $1",
        [user],
      )
    ).rows[0]!.until;
  const before = await until();
  expect(
    (await deployment.root.call("POST", "sys/leases/renew", { lease_id: id, increment: 7200 }))
      .lease_duration,
  ).toBe(7200);
  expect((await until()).getTime() - before.getTime()).toBeGreaterThan(3_500_000);
  await client.end();
  await revoke(id);
});

test("a leased login has its schema on the search path, and no attribute and no password in clear", async () => {
  const { id, user, client } = await lease("readonly_role");
  expect((await client.query<{ search_path: string }>("SHOW search_path")).rows[0]!.search_path).toBe(
    "example",
  );
  const { rows } = await deployment.superuser.query(
    "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolpassword LIKE 'SCRAM-SHA-256$%' AS hashed FROM pg_authid WHERE rolname = $1",
    [user],
  );
  expect(rows).toEqual([
    {
      rolsuper: false,
      rolcreaterole: false,
      rolcreatedb: false,
      rolreplication: false,
      rolbypassrls: false,
      hashed: true,
    },
  ]);
  await client.end();
  await revoke(id);
});

test("leases taken and revoked by many at once leave nothing", async () => {
  const leases = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      lease(["readonly_role", "readwrite_role", "schema_admin_role"][i % 3]!),
    ),
  );
  const answers = await Promise.all(leases.map(({ id }) => revoke(id)));
  expect(answers.map(({ status }) => status)).toEqual(leases.map(() => 204));
  expect(await deployment.leasedRoles()).toEqual([]);
});

test.each(["schema_admin_role", "readwrite_role"])(
  "a client of %s that reconnects in a loop gets no session that outlives the revocation",
  async (role) => {
    await deployment.superuser.query(
      "SET ROLE example_owner; CREATE TABLE IF NOT EXISTS example.written (by text); RESET ROLE",
    );
    for (let round = 0; round < 20; round += 1) {
      const { lease_id: id, data } = await deployment.root.call("GET", `database/creds/${role}`);
      const { username: user, password } = data as { username: string; password: string };
      const { host, port, database } = deployment.sandbox.postgres;
      // What a session has SET ROLE to at its login it would keep when its own role is gone.
      const options = round % 2 === 0 ? undefined : `-c role=${role}`;
      const sessions: Client[] = [];
      let refusal: string | undefined;
      const reconnect = async () => {
        const end = performance.now() + 20_000;
        while (performance.now() < end) {
          const client = new Client({ host, port, database, user, password, options, ssl: false });
          client.on("error", () => undefined);
          try {
            await client.connect();
            sessions.push(client);
          } catch (error) {
            await client.end().catch(() => undefined);
            refusal = (error as { code?: string }).code;
            // Ended by the revocation before it was ready, or one more than its limit: a later one is refused.
            if (refusal !== "57P01" && refusal !== "53300") return;
          }
        }
      };
      const loops = Array.from({ length: 6 }, reconnect);
      while (sessions.length < 6) await new Promise(setImmediate);
      expect((await revoke(id!)).status).toBe(204);
      await Promise.all(loops);
      expect(refusal).toMatch(/^(28P01|28000)$/);
      const survivors = await Promise.allSettled(
        sessions.map((client) => client.query("INSERT INTO example.written VALUES ('a session')")),
      );
      await Promise.all(sessions.map((client) => client.end().catch(() => undefined)));
      expect(survivors.filter(({ status }) => status === "fulfilled")).toEqual([]);
    }
    expect(await deployment.leasedRoles()).toEqual([]);
  },
);

test("a login that can't finish does not hold up a revocation for long", async () => {
  const { id, client } = await lease("readonly_role");
  const { host, port } = deployment.sandbox.postgres;
  // Asks for a session and never answers the server's question for the password.
  const stalled = connect({ host, port });
  stalled.on("error", () => undefined);
  const startup = Buffer.from("\0\0\0\0\0\x03\0\0user\0nanvc\0database\0nanvc\0\0");
  startup.writeInt32BE(startup.length);
  stalled.write(startup);
  await once(stalled, "data");
  let hasEnded = false;
  stalled.on("close", () => (hasEnded = true));
  expect((await revoke(id)).status).toBe(204);
  // It would be there for a minute, PostgreSQL's authentication_timeout.
  expect(hasEnded).toBe(false);
  stalled.destroy();
  await client.end().catch(() => undefined);
});
