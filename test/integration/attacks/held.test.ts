import { request } from "node:http";
import { readFileSync } from "node:fs";
import type { Client } from "pg";
import { Deployment } from "../../support/deployment";
import { attacked } from "./environment";
import { SQL, type LeasedBy } from "./held-sql";
import { VAULT, type Holder, type VaultTry } from "./held-vault";
import { attempt, lease, WAYS } from "./support";

/** What is tried and is refused: each row of held-vault.ts and held-sql.ts by each of those that it names. */
const TRIES = {
  vault: (who: Holder) => VAULT.filter((row) => row.who.includes(who)),
  sql: (who: LeasedBy) => SQL.filter((row) => row.who.includes(who)),
};
// The operator last: what it may do by mistake would be done to the others' tests.
const HOLDERS = [
  "planner",
  "deliverer",
  "readonly",
  "readwrite",
  "schema-admin",
  "verifier",
  "operator",
] as const;
const PERSONAS = {
  readonly: "db-readonly-role",
  readwrite: "db-readwrite-role",
  "schema-admin": "db-admin-schema-role",
};
const GROUPS = {
  readonly: "readonly_role",
  readwrite: "readwrite_role",
  "schema-admin": "schema_admin_role",
};

test("there are enough of them, each once", () => {
  const keys = [...VAULT, ...SQL].flatMap(({ who, ...row }) =>
    who.map((each) => JSON.stringify([each, row])),
  );
  expect(keys.filter((key, i) => keys.indexOf(key) !== i)).toEqual([]);
  expect(keys.length).toBeGreaterThanOrEqual(200);
  for (const who of Object.keys(GROUPS) as LeasedBy[])
    expect(TRIES.sql(who).length).toBeGreaterThanOrEqual(70);
});

describe("in Vault", () => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await Deployment.start({ config: attacked });
  });

  afterAll(() => deployment.stop());

  test("what was wrapped for somebody is neither opened nor looked at by others, and opens once", async () => {
    const wrap = async (ttl = "60s") =>
      (await deployment.as("deliverer").call("POST", "auth/approle/role/db-readonly-role/secret-id", {}, ttl))
        .wrap_info!;
    const { token } = await wrap();
    for (const who of ["operator", "planner", "verifier"] as const)
      for (const path of ["sys/wrapping/unwrap", "sys/wrapping/rewrap"])
        expect([who, path, (await deployment.as(who).request("POST", path, { token })).status]).toEqual([
          who,
          path,
          403,
        ]);
    // A wrapping token opens its answer and does nothing else, which spends it.
    for (const [method, path] of [
      ["GET", "database/creds/readonly_role"],
      ["POST", "auth/token/create"],
      ["POST", "auth/token/renew-self"],
      ["GET", "auth/approle/role/db-readonly-role/role-id"],
    ] as const) {
      const spent = deployment.root.withToken((await wrap()).token);
      const body = method === "POST" ? {} : undefined;
      expect([path, (await spent.request(method, path, body)).status]).toEqual([path, 403]);
      expect((await spent.request("POST", "sys/wrapping/unwrap", {})).status).toBe(400);
    }
    const wrapping = deployment.root.withToken(token);
    expect((await wrapping.request("POST", "sys/wrapping/unwrap", {})).status).toBe(200);
    expect((await wrapping.request("POST", "sys/wrapping/unwrap", {})).status).toBe(400);
    expect((await wrap("5m")).ttl).toBe(300);
  });

  test.each(HOLDERS)("the token of %s is refused each", async (who) => {
    const token = await tokenOf(who);
    const passed: string[] = [];
    for (const row of TRIES.vault(who)) {
      const [status, text] = await send(token, row);
      if ((row.expected ?? [403]).includes(status)) continue;
      // A secret that was given away by mistake is not for the report.
      const said = status < 300 ? "" : ` ${text.slice(0, 200)}`;
      passed.push(`${row.method} ${row.path} ${JSON.stringify(row.body)}: ${String(status)}${said}`);
    }
    expect(passed).toEqual([]);
  });

  async function tokenOf(who: Holder): Promise<string> {
    const { initialised } = deployment.sandbox;
    if (!(who in PERSONAS)) return initialised.tokens[who as keyof typeof initialised.tokens];
    const path = `auth/approle/role/${PERSONAS[who as keyof typeof PERSONAS]}`;
    const [role, secret] = [
      await deployment.root.call("GET", `${path}/role-id`),
      await deployment.root.call("POST", `${path}/secret-id`, {}),
    ];
    const login = { role_id: role.data!["role_id"], secret_id: secret.data!["secret_id"] };
    return (await deployment.root.call("POST", "auth/approle/login", login)).auth!.client_token;
  }

  /** As it is spelled: fetch, and URL, tidy a path. */
  function send(
    token: string,
    { method, path, body, headers }: VaultTry,
  ): Promise<[status: number, text: string]> {
    const { hostname, port } = new URL(deployment.root.address);
    const content = body === undefined ? "" : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const sent = request({
        ...{ hostname, port, method, path: `/v1/${path}` },
        headers: {
          "X-Vault-Request": "true",
          "X-Vault-Token": token,
          "Content-Length": String(Buffer.byteLength(content)),
          ...headers,
        },
        timeout: 20_000,
      });
      sent.on("error", reject);
      sent.on("timeout", () => sent.destroy(new Error(`no answer to ${method} ${path}`)));
      sent.on("response", (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => (text += part));
        response.on("end", () => {
          resolve([response.statusCode!, text]);
        });
      });
      sent.end(content);
    });
  }

  test.each([
    ["no secret id", { role_id: true }],
    ["a wrong secret id", { role_id: true, secret_id: "wrong" }],
    ["another's role id", { role_id: "wrong", secret_id: true }],
  ] as const)("a login with %s is refused", async (_, given) => {
    const path = "auth/approle/role/db-readonly-role";
    const known: Record<string, unknown> = {
      role_id: (await deployment.root.call("GET", `${path}/role-id`)).data!["role_id"],
      secret_id: (await deployment.root.call("POST", `${path}/secret-id`, {})).data!["secret_id"],
    };
    const body = Object.fromEntries(
      Object.entries(given).map(([key, value]) => [key, value === true ? known[key] : value]),
    );
    expect((await deployment.root.withToken().request("POST", "auth/approle/login", body)).status).toBe(400);
  });

  test("it listens on this machine alone", () => {
    expect(new URL(deployment.root.address).hostname).toBe("127.0.0.1");
    const ports = listening(Number(new URL(deployment.root.address).port));
    expect(ports).toEqual(["127.0.0.1"]);
  });
});

describe.each(WAYS)("in PostgreSQL %i, leased by %s", (postgresMajor, leases) => {
  let deployment: Deployment;

  beforeAll(async () => {
    deployment = await Deployment.start({ config: { ...attacked, leases }, postgresMajor });
    await deployment.superuser.query(`
      CREATE TABLE public.secrets (id serial, a int);
      CREATE SCHEMA other;
      CREATE TABLE other.secrets ();
      CREATE FUNCTION public.private() RETURNS int LANGUAGE sql AS 'SELECT 1';
      REVOKE EXECUTE ON FUNCTION public.private() FROM PUBLIC;
      CREATE FUNCTION public.guard() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
      CREATE EVENT TRIGGER guarded ON ddl_command_start EXECUTE FUNCTION public.guard();
      SET ROLE example_owner;
      CREATE TABLE example.users (id int GENERATED BY DEFAULT AS IDENTITY);
      RESET ROLE`);
  });

  afterAll(() => deployment.stop());

  test.each(Object.keys(GROUPS) as LeasedBy[])("a login of %s is refused each", async (who) => {
    const login = await lease(deployment, GROUPS[who]);
    const other = await lease(deployment, GROUPS[who]);
    const stranger = await lease(deployment, "maker_role");
    const [{ client: theirs }, { client }] = [await stranger.connect(), await login.connect()];
    const values: Record<string, string> = {
      SELF: `"${login.user}"`,
      OTHER: `"${other.user}"`,
      PID: await one(theirs, "SELECT pg_catalog.pg_backend_pid()"),
      LOB: await one(deployment.superuser, "SELECT pg_catalog.lo_create(0)"),
    };
    const passed: string[] = [];
    for (const { sql, expected = "42501" } of TRIES.sql(who)) {
      const sent = sql.replace(/\b(SELF|OTHER|PID|LOB)\b/g, (name) => values[name]!);
      // As what its session starts as, and as the login itself.
      for (const as of ["RESET ROLE", "SET ROLE NONE"]) {
        await client.query(as);
        const got = await attempt(client, sent);
        if (got !== expected) passed.push(`${as}; ${sql}: ${got}`);
        await client.query("ROLLBACK");
        await client.query("DISCARD ALL");
      }
    }
    expect(passed).toEqual([]);
    expect(await attempt(theirs, "SELECT 1")).toBe("allowed");
    for (const each of [login, other, stranger]) {
      expect(await each.revoke()).toBe(204);
      await each.close();
    }
  });

  test("every login is by SCRAM, and from this machine", async () => {
    const { rows } = await deployment.superuser.query<{
      type: string;
      address: string | null;
      method: string;
    }>("SELECT type, address, auth_method AS method FROM pg_catalog.pg_hba_file_rules");
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.filter(({ method }) => !/^(scram-sha-256|reject)$/.test(method))).toEqual([]);
    const settings = await one(
      deployment.superuser,
      "SELECT pg_catalog.current_setting('listen_addresses') || ' ' || pg_catalog.current_setting('password_encryption') || ' ' || pg_catalog.current_setting('unix_socket_directories')",
    );
    expect(settings).toBe("127.0.0.1 scram-sha-256 ");
    expect(listening(deployment.sandbox.postgres.port)).toEqual(["127.0.0.1"]);
    const hashed = "SELECT count(*) FROM pg_catalog.pg_authid WHERE rolpassword NOT LIKE 'SCRAM-SHA-256$%'";
    expect(await one(deployment.superuser, hashed)).toBe("0");
  });
});

async function one(client: Client, sql: string): Promise<string> {
  const { rows } = await client.query<unknown[]>({ text: sql, rowMode: "array" });
  return String(rows[0]![0]);
}

/** Addresses on which a port is listened on, as Linux lists them. */
function listening(port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return ["tcp", "tcp6"].flatMap((family) =>
    readFileSync(`/proc/net/${family}`, "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local = "", , state]) => local.endsWith(`:${hex}`) && state === "0A")
      .map(([, local = ""]) => {
        const [address = ""] = local.split(":");
        return address === "0100007F" ? "127.0.0.1" : address;
      }),
  );
}
