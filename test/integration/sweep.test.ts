import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { Checkout } from "../../bench/checkout";
import { VaultClient } from "../../clients/vault-client";
import { sweepDeployment } from "../../ops/commands/sweep";
import { apply } from "../../sandbox/engine";
import { readSynthesized } from "../../sandbox/synthesized";
import { vaultBinary } from "../../sandbox/vault-binary";
import { vaultProvider } from "../../sandbox/vault-provider";
import { VaultServer } from "../../sandbox/vault-server";
import { setUpVault } from "../../sandbox/vault-setup";
import { attacked } from "./attacks/environment";
import { expectEnded, expectOthersCanLease, forCommands, lease, MAJORS, type Lease } from "./attacks/support";
import { Deployment, findings } from "../support/deployment";
import { eventually, messages, Program } from "../support/program";

const MARK = "leasehold local nanvc";

const WAYS = MAJORS.flatMap((major) =>
  (["createrole", "functions"] as const).map((leases) => [major, leases] as const),
);

describe.each(WAYS)("on PostgreSQL %i, leased by %s", (postgresMajor, leases) => {
  let deployment: Deployment;
  const checkout = new Checkout("local");

  beforeAll(async () => {
    const postgresSettings = { max_prepared_transactions: "5" };
    deployment = await Deployment.start({ config: { ...attacked, leases }, postgresMajor, postgresSettings });
    await deployment.superuser.query("SET search_path = pg_catalog, pg_temp");
    await deployment.superuser.query("CREATE DATABASE third");
    useToken(deployment.sandbox.initialised.tokens.operator);
  });

  afterEach(async () => {
    jest.restoreAllMocks();
    for (const role of await deployment.leasedRoles())
      await deployment.superuser.query(`DROP OWNED BY "${role}"; DROP ROLE "${role}"`);
  });

  afterAll(async () => {
    checkout.remove();
    await deployment.stop();
  });

  /** The operator's, where the commands find it. */
  function useToken(token: string): void {
    for (const home of [checkout.home, deployment.workspace.path("home")]) {
      mkdirSync(`${home}/leasehold/local`, { recursive: true, mode: 0o700 });
      writeFileSync(`${home}/leasehold/local/operator-token`, `${token}\n`, { mode: 0o600 });
    }
  }

  /** `leasehold sweep`, without a terminal. */
  async function command(args: readonly string[], more: NodeJS.ProcessEnv = {}) {
    const program = start(args, more);
    return { code: await program.ended, lines: messages(program.output) };
  }

  const start = (args: readonly string[], more: NodeJS.ProcessEnv = {}) =>
    new Program(
      ["sweep", ...args],
      checkout.env({ ...deployment.sandbox.terraformVariables(), ...more }),
      checkout.folder,
    );

  /** The command's work in this process, with another grace than the command's. */
  async function sweep(grace?: number) {
    const printed = jest.spyOn(console, "log").mockReturnValue();
    const { signal } = new AbortController();
    const code = await sweepDeployment(forCommands(deployment), { autoApprove: true }, signal, grace);
    const lines = messages(printed.mock.calls.flat().join("\n"));
    printed.mockRestore();
    return { code, lines };
  }

  /** As if it had been leased an hour earlier than it was. */
  async function madeEarlier({ user }: Lease): Promise<string> {
    const name = user.replace(/\d+$/, (time) => String(Number(time) - 3600));
    await deployment.superuser.query(`ALTER ROLE "${user}" RENAME TO "${name}"`);
    return name;
  }

  const make = (name: string, attributes: string, comment: string) =>
    deployment.superuser.query(
      `CREATE ROLE "${name}" LOGIN ${attributes} VALID UNTIL '2020-01-01'; COMMENT ON ROLE "${name}" IS ${comment}`,
    );

  const madeUp = (role: string, seconds = 3600) =>
    `v-token-${role}-abcdefghijABCDEFGHIJ-${String(Math.floor(Date.now() / 1000) - seconds)}`;

  /** A login that its revocation could not drop, since it is held in three databases. */
  async function held(): Promise<Lease> {
    const login = await lease(deployment, "schema_admin_role");
    await login.open("SET ROLE NONE; CREATE TABLE example.kept ()");
    await login.open("SET ROLE NONE; SELECT lo_create(4711)", { database: "postgres" });
    await login.open("SET ROLE NONE; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", {
      database: "third",
    });
    expect(await login.revoke()).toBe(204);
    expect(await expectEnded(deployment, login)).toBe(false);
    return login;
  }

  test("a lease that lives: nothing to do, and it lives on", async () => {
    const login = await lease(deployment, "readonly_role");
    expect(await sweep(0)).toEqual({
      code: 0,
      lines: ["Nothing to do: a lease stands for each leased login of local."],
    });
    expect(await command([])).toMatchObject({ code: 0 });
    expect(await login.refusal()).toBe("logged in");
    expect(await login.revoke()).toBe(204);
  });

  test("what a revocation left in three databases is listed, and dropped once that is approved", async () => {
    const login = await held();
    const json = checkout.path("sweep.json");
    const list = [
      "Logins that no lease stands for:",
      `  ${login.user} (nanvc): a revocation could not drop it: objects in another database depend on it (2BP01)`,
      "      in nanvc: owns table example.kept",
      "      in postgres: owns large object 4711",
      expect.stringMatching(
        /^ {6}in third: owns default privileges on new relations belonging to role v-/,
      ) as string,
    ];
    const asked = await command(["--json", json]);
    expect(asked).toEqual({
      code: 2,
      lines: [...list, "Drop 1 login of local. There is no terminal to ask on: add --auto-approve"],
    });
    expect(await deployment.leasedRoles()).toEqual([login.user]);
    expect(JSON.parse(readFileSync(json, "utf8"))).toMatchObject({
      version: 1,
      environment: "local",
      unread: [],
      logins: [{ database: "nanvc", name: login.user, state: "orphaned", outcome: "listed" }],
      leases: [],
    });

    expect(await command(["--auto-approve", "--json", json])).toEqual({ code: 0, lines: list });
    expect(await deployment.leasedRoles()).toEqual([]);
    expect(JSON.parse(readFileSync(json, "utf8"))).toMatchObject({ logins: [{ outcome: "dropped" }] });
    expect(readFileSync(json, "utf8")).not.toContain(deployment.sandbox.initialised.tokens.operator);
    const { rows } = await deployment.superuser.query(
      "SELECT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE relname = 'kept'",
    );
    expect(rows).toEqual([{ owner: "example_owner" }]);
    await deployment.superuser.query("DROP TABLE example.kept");
    expect(await command(["--auto-approve"])).toEqual({
      code: 0,
      lines: ["Nothing to do: a lease stands for each leased login of local."],
    });
  });

  test("what has no mark, or what no lease gives, is not touched", async () => {
    const [unmarked, others, other] = [madeUp("readonly"), madeUp("readwrite"), "v-mine"];
    await make(unmarked, "", "NULL");
    await make(others, "", "'leasehold local shop'");
    await make(other, "", `'${MARK}: revoked, not dropped (2BP01)'`);
    const powerful = [
      [madeUp("a"), "SUPERUSER"],
      [madeUp("b"), "CREATEROLE"],
      [madeUp("c"), "BYPASSRLS"],
    ] as const;
    for (const [name, attribute] of powerful)
      await make(name, attribute, `'${MARK}: revoked, not dropped (2BP01)'`);
    const before = (await deployment.leasedRoles()).sort();
    expect(await sweep(0)).toEqual({
      code: 1,
      lines: [
        "Marked as leased, and never touched: look who made these:",
        ...powerful.map(
          ([name, attribute]) => `  ${name} (nanvc): it has ${attribute}, which no lease gives`,
        ),
      ],
    });
    expect((await deployment.leasedRoles()).sort()).toEqual(before);
  });

  test("a lease that Vault can't revoke, whose time is over: the login goes, and then the lease", async () => {
    const path = "database/roles/readonly_role";
    const { data } = await deployment.root.call("GET", path);
    await deployment.root.call("POST", path, {
      revocation_statements: ["SELECT 1/0"],
      default_ttl: 1,
      max_ttl: 1,
    });
    const login = await lease(deployment, "readonly_role");
    const lookup = () => deployment.root.request("PUT", "sys/leases/lookup", { lease_id: login.id });
    await eventually(
      async () => ((await lookup()).body.data?.["ttl"] as number) < 0,
      10_000,
      () => "the lease does not end",
    );
    expect(await sweep()).toMatchObject({ code: 0 });
    expect(await deployment.leasedRoles()).toEqual([login.user]);
    await deployment.root.call("POST", path, data as object);
    expect(await sweep(0)).toEqual({
      code: 0,
      lines: [
        "Logins that no lease stands for:",
        `  ${login.user} (nanvc): its lease has ended, and Vault can't revoke it`,
        "      nothing holds it",
        "Leases that have ended and that Vault could not revoke:",
        `  ${login.id}, 0 min ago`,
      ],
    });
    expect(await deployment.leasedRoles()).toEqual([]);
    expect((await lookup()).status).toBe(400);
  });

  test("a prepared transaction that holds the login's row", async () => {
    const login = await lease(deployment, "readonly_role");
    await login.open(
      "SET ROLE NONE; BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'x'; PREPARE TRANSACTION 'held'",
    );
    expect(await login.revoke()).not.toBe(204);
    expect(await sweep()).toEqual({
      code: 0,
      lines: [
        "Logins that no lease stands for:",
        `  ${login.user} (nanvc): a revocation could not end it: a transaction that it prepared holds its row`,
        "      the prepared transaction held in nanvc",
      ],
    });
    expect(await deployment.leasedRoles()).toEqual([]);
    expect(await login.revoke()).toBe(204);
  });

  test("what can't be dropped is named, and says so in its comment", async () => {
    const login = await lease(deployment, "readonly_role");
    await login.open("SET ROLE NONE; SELECT lo_create(4712)", { database: "third" });
    await login.close();
    await deployment.superuser.query("ALTER DATABASE third ALLOW_CONNECTIONS false");
    const name = await madeEarlier(login);
    expect(await sweep()).toEqual({
      code: 1,
      lines: [
        "Logins that no lease stands for:",
        `  ${name} (nanvc): Vault has no lease of that time`,
        "      1 objects in third, which allows no connections",
        expect.stringMatching(`^not dropped: ${name} of nanvc: PostgreSQL at .* \\(2BP01\\): `) as string,
      ],
    });
    const { rows } = await deployment.superuser.query(
      "SELECT shobj_description(oid, 'pg_authid') AS comment, rolcanlogin FROM pg_roles WHERE rolname = $1",
      [name],
    );
    expect(rows).toEqual([
      { comment: `${MARK}: revoked, not dropped (2BP01); heir readonly_role`, rolcanlogin: false },
    ]);
    await deployment.superuser.query("ALTER DATABASE third ALLOW_CONNECTIONS true");
    expect(await sweep()).toMatchObject({ code: 0 });
    expect(await deployment.leasedRoles()).toEqual([]);
    await deployment.superuser.query("DROP DATABASE third");
    expect(await deployment.root.request("PUT", "sys/leases/revoke", { lease_id: login.id })).toMatchObject({
      status: 204,
    });
  });

  test("interrupted, it ends with the login at hand; the next one does the rest", async () => {
    const logins = await Promise.all(Array.from({ length: 20 }, () => lease(deployment, "readonly_role")));
    for (const login of logins) await madeEarlier(login);
    const program = start(["--auto-approve"]);
    const left = async () => (await deployment.leasedRoles()).length;
    await eventually(
      async () => (await left()) < 20,
      60_000,
      () => program.output,
    );
    program.child.kill("SIGINT");
    expect(await program.ended).toBe(130);
    expect(messages(program.errors)).toEqual(["interrupted: what was started is stopped"]);
    const { rows } = await deployment.superuser.query<{ closed: number; left: number }>(
      "SELECT count(*)::int AS left, (count(*) FILTER (WHERE NOT rolcanlogin))::int AS closed FROM pg_roles WHERE rolname LIKE 'v-%'",
    );
    expect(rows[0]!.left).toBeGreaterThan(0);
    expect(rows[0]!.closed).toBe(0);
    expect(await sweep()).toMatchObject({ code: 0 });
    expect(await left()).toBe(0);
  });

  test("without Vault only what is over goes, and the rest is named", async () => {
    const [over, current] = [
      await lease(deployment, "readonly_role"),
      await lease(deployment, "readonly_role"),
    ];
    const names = [await madeEarlier(over), await madeEarlier(current)];
    await deployment.superuser.query(`ALTER ROLE "${names[0]!}" VALID UNTIL '2020-01-01 00:00:00+00'`);
    await deployment.sandbox.sealVault();
    const { code, lines } = await sweep();
    await deployment.sandbox.unsealVault();
    expect({ code, lines }).toEqual({
      code: 1,
      lines: [
        expect.stringMatching(/^Which leases there are is not known: Vault at .* is sealed: /) as string,
        "Logins that no lease stands for:",
        expect.stringMatching(`^  ${names[0]!} \\(nanvc\\): its VALID UNTIL 20.* has passed$`) as string,
        "      nothing holds it",
        "Logins that a lease may stand for, which stay until their VALID UNTIL has passed:",
        `  ${names[1]!} (nanvc): Vault was not asked whether it has its lease`,
      ],
    });
    expect(await deployment.leasedRoles()).toEqual([names[1]]);
  });

  test("a Vault that has lost its storage: its logins go, those of the new one stay, and verify is green", async () => {
    const lost = [await lease(deployment, "readonly_role"), await lease(deployment, "schema_admin_role")];
    const names = [await madeEarlier(lost[0]!), await madeEarlier(lost[1]!)];
    const { sandbox, synthesized, workspace } = deployment;
    await sandbox.vault.stop();
    const server = await VaultServer.start(workspace, await vaultBinary());
    const { policies, vault, stacks } = readSynthesized(synthesized);
    const client = new VaultClient(server.address);
    const secrets = await setUpVault(client, policies, sandbox.policyTexts(), vault);
    const root = client.withToken(secrets.rootToken);
    useToken(secrets.tokens.operator);
    const variables = { ...sandbox.variables("vault"), vault_address: server.address };
    Object.assign(deployment, { root });
    jest.spyOn(sandbox, "terraformVariables").mockReturnValue({
      ...sandbox.terraformVariables(),
      TF_VAR_vault_address: server.address,
    });
    try {
      // Not deployed yet: an empty Vault may be another one.
      expect((await sweep()).lines[0]).toMatch(
        /has no connection database\/postgres-example: it has not been deployed/,
      );
      expect(await deployment.leasedRoles()).toHaveLength(2);

      await apply(stacks.vault, variables, { vault: vaultProvider(secrets.tokens.operator) });
      const living = await lease(deployment, "readonly_role");
      expect(await sweep()).toEqual({
        code: 0,
        lines: [
          "Logins that no lease stands for:",
          ...names
            .sort()
            .flatMap((name) => [
              `  ${name} (nanvc): Vault has no lease of that time`,
              "      nothing holds it",
            ]),
        ],
      });
      expect(await deployment.leasedRoles()).toEqual([living.user]);
      expect(await living.refusal()).toBe("logged in");
      expect(findings(await deployment.verify({ vault: client.withToken(secrets.tokens.verifier) }))).toEqual(
        [],
      );
      expect(await living.revoke()).toBe(204);
      await expectOthersCanLease(deployment);
    } finally {
      await server.stop();
    }
  });
});
