import { rowId, type Selection } from "../../verify/report/recorder";
import { readFileSync } from "node:fs";
import { Deployment, findings } from "../support/deployment";
import { MATRIX_ROWS } from "../../verify/privileges/rows";
import { cellsOf, resultsOf } from "../../verify/report/report";

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ postgresSettings: { log_statement: "all" } });
});

afterAll(() => deployment.stop());

test("everything holds on a fresh deployment, and nothing is left", async () => {
  const report = await deployment.verify();
  expect(findings(report)).toEqual([]);
  expect(report.left).toEqual([]);
  // MAINTAIN came with PostgreSQL 17.
  const maintain = Number.parseInt(report.servers.postgres[0]!) >= 17 ? 1 : 0;
  expect(cellsOf(report)).toHaveLength(3 * (39 + maintain));
  const ids = new Set(cellsOf(report).map(({ result }) => result.id));
  // Privileges on others, and on columns, are for personas that have some by schema or by name (named-privileges).
  const everywhere = MATRIX_ROWS.filter(
    ({ kind, name }) => kind !== "columns" && !name.endsWith(" on others"),
  );
  expect(everywhere.map(rowId).filter((id) => !ids.has(id))).toEqual(maintain ? [] : ["tables.MAINTAIN"]);
  for (const { result } of cellsOf(report)) {
    const { declared, catalogued, exercised } = result;
    expect(catalogued).toBe(declared);
    expect([declared, undefined]).toContain(exercised);
  }
  // What can't be tried: who has no CREATE on the schema has no table that could refer to another.
  expect(
    cellsOf(report)
      .filter(({ result }) => result.exercised === undefined)
      .map(({ persona, result }) => `${persona!} ${result.id}`),
  ).toEqual(["readwrite tables.REFERENCES", "readonly tables.REFERENCES"]);
  expect(await deployment.leasedRoles()).toEqual([]);
  expect(await deployment.probeObjects()).toBe(0);
  const leases = await deployment.root.request("LIST", "sys/leases/lookup/database/creds/");
  const prefixes = (leases.body.data?.["keys"] ?? []) as string[];
  for (const prefix of prefixes) {
    expect((await deployment.root.request("LIST", `sys/leases/lookup/database/creds/${prefix}`)).status).toBe(
      404,
    );
  }
  const tokens = await deployment.root.request("LIST", "sys/leases/lookup/auth/approle/login/");
  expect(tokens.status).toBe(404);
});

test("--only makes the named checks alone, and what they need; --skip leaves checks out", async () => {
  const ids = async (selection: Selection, manifest = deployment.manifest) =>
    resultsOf(await deployment.verify({ manifest, selection })).map(
      ({ persona, result }) => `${persona ?? "-"} ${result.id}`,
    );
  const personas = deployment.manifest.databases[0]!.personas.map(({ name }) => name);
  expect(await ids({ only: ["public"] })).toEqual(["- public"]);
  // Nobody logs in of whom nothing was asked.
  const manifest = structuredClone(deployment.manifest);
  for (const { login } of manifest.databases[0]!.personas) login.name = "nobody";
  expect(await ids({ only: ["public"] }, manifest)).toEqual(["- public"]);
  expect(await ids({ only: ["tables.SELECT", "revoked-login"] })).toEqual([
    ...personas.map((name) => `${name} tables.SELECT`),
    ...personas.map((name) => `${name} revoked-login`),
  ]);
  const isSkipped = (id: string) => / (tables\.SELECT|token-end)$/.test(id);
  const all = await ids({});
  expect(all.filter(isSkipped)).toHaveLength(personas.length + 1);
  expect(await ids({ skip: ["tables.SELECT", "token-end"] })).toEqual(all.filter((id) => !isSkipped(id)));
});

test("a check that was asked for and has nothing to look at is said", async () => {
  const report = await deployment.verify({ selection: { only: ["public", "pool-ended"] } });
  expect(resultsOf(report).map(({ result }) => result.id)).toEqual(["public"]);
  expect(report.remarks).toEqual(["asked for, and not applicable in this run: pool-ended"]);
});

test("a check that others need is reported where it fails, though nobody asked for it", async () => {
  const manifest = structuredClone(deployment.manifest);
  const [admin, readwrite, readonly] = manifest.databases[0]!.personas;
  manifest.databases[0]!.personas = [
    admin!,
    readwrite!,
    { ...readonly!, databaseRole: { ...readonly!.databaseRole, name: "nobody" } },
  ];
  const report = await deployment.verify({ manifest, selection: { only: ["tables.SELECT"] } });
  expect(resultsOf(report).map(({ persona, result }) => [persona, result.id, result.held])).toEqual([
    ["schema-admin", "tables.SELECT", true],
    ["readwrite", "tables.SELECT", true],
    ["readonly", "lease", false],
  ]);
});

test("each cell's statements were really sent: they stand in the server's log", async () => {
  const report = await deployment.verify();
  const log = readFileSync(deployment.sandbox.postgres.logFile, "utf8");
  const statements = cellsOf(report)
    .filter(({ result }) => result.kind !== "vault")
    .flatMap(({ result }) => result.evidence.map(({ sent }) => sent.replaceAll("\n", "\n\t")))
    .filter((sent) => !sent.startsWith("login as"));
  expect(statements.length).toBeGreaterThan(100);
  expect(statements.filter((sent) => !log.includes(`statement: ${sent}`))).toEqual([]);
  // Refusals by the server's account, as many as the cells count.
  const refusals = cellsOf(report)
    .flatMap(({ result }) => result.evidence)
    .filter(({ got }) => got === "SQLSTATE 42501");
  expect(refusals.length).toBeGreaterThan(20);
  for (const { sent } of refusals) expect(log).toContain(`STATEMENT:  ${sent}`);
});

test("a second run finds the users table of the first and holds as well", async () => {
  await deployment.verify();
  const report = await deployment.verify();
  expect(findings(report)).toEqual([]);
  const { rows } = await deployment.superuser.query("SELECT username FROM example.users ORDER BY id");
  expect(rows).toEqual([{ username: "ada" }, { username: "grace" }, { username: "linus" }]);
});

test("the users table of 0.1.0, which had other columns, is made anew", async () => {
  await deployment.superuser.query(
    `DROP TABLE IF EXISTS example.users;
     SET ROLE example_owner;
     CREATE TABLE example.users (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
     COMMENT ON TABLE example.users IS 'the users example of Leasehold; emptied by each verification';
     INSERT INTO example.users (name) VALUES ('ada');
     RESET ROLE`,
  );
  expect(findings(await deployment.verify())).toEqual([]);
  const { rows } = await deployment.superuser.query(
    "SELECT id, email FROM example.users WHERE username = 'linus'",
  );
  expect(rows).toEqual([{ id: 3, email: "linus@example.test" }]);
});

test("a users table that is not the example's is left alone", async () => {
  await deployment.superuser.query("COMMENT ON TABLE example.users IS 'ours'");
  await deployment.superuser.query("UPDATE example.users SET username = 'precious' WHERE username = 'ada'");
  try {
    const report = await deployment.verify();
    expect(findings(report)).toEqual([
      expect.stringContaining(`"example"."users" exists and is not the example's`),
    ]);
    const { rows } = await deployment.superuser.query(
      "SELECT FROM example.users WHERE username = 'precious'",
    );
    expect(rows).toHaveLength(1);
  } finally {
    await deployment.superuser.query("DROP TABLE example.users");
  }
});

test("with --read-only nothing is made, and the catalogs tell", async () => {
  const before = readFileSync(deployment.sandbox.postgres.logFile, "utf8").length;
  const report = await deployment.verify({ readOnly: true });
  expect(findings(report)).toEqual([]);
  const log = readFileSync(deployment.sandbox.postgres.logFile, "utf8").slice(before);
  expect(log).not.toMatch(
    /statement: (CREATE (TABLE|SCHEMA|TEMP|SEQUENCE|FUNCTION|TRIGGER)|DROP (TABLE|SEQUENCE|FUNCTION)|TRUNCATE)/,
  );
});

describe("what was changed by hand is found and named", () => {
  /** Changes, verifies, and changes back. */
  async function found(change: string, undo: string): Promise<string[]> {
    await deployment.superuser.query(change);
    try {
      return findings(await deployment.verify());
    } finally {
      await deployment.superuser.query(undo);
    }
  }

  test("a privilege granted on one of the users' tables", async () => {
    await deployment.verify();
    const result = await found(
      "GRANT DELETE ON example.users TO readonly_role",
      "REVOKE DELETE ON example.users FROM readonly_role",
    );
    expect(result).toEqual([
      expect.stringMatching(
        /^readonly tables\.DELETE: DELETE on "?example"?\.users is not declared and is allowed/,
      ),
    ]);
  });

  test("a privilege granted for later objects", async () => {
    const alter = "ALTER DEFAULT PRIVILEGES FOR ROLE example_owner IN SCHEMA example";
    const result = await found(
      `${alter} GRANT TRUNCATE ON TABLES TO readwrite_role`,
      `${alter} REVOKE TRUNCATE ON TABLES FROM readwrite_role`,
    );
    expect(result).toEqual([
      expect.stringMatching(
        /^readwrite tables\.TRUNCATE: TRUNCATE on .* is not declared and is allowed: granted to readwrite_role by default privileges: TRUNCATE on later tables of example_owner in schema example /,
      ),
    ]);
  });

  test("a privilege revoked", async () => {
    const alter = "ALTER DEFAULT PRIVILEGES FOR ROLE example_owner IN SCHEMA example";
    const result = await found(
      `${alter} REVOKE EXECUTE ON FUNCTIONS FROM readonly_role`,
      `${alter} GRANT EXECUTE ON FUNCTIONS TO readonly_role`,
    );
    expect(result).toEqual([
      expect.stringMatching(
        /^readonly functions\.EXECUTE: EXECUTE on .* is declared and is refused: no default privileges of example_owner grant readonly_role EXECUTE on functions \(SELECT .* → SQLSTATE 42501/,
      ),
    ]);
  });

  test("a privilege given to PUBLIC", async () => {
    const result = await found(
      "GRANT TEMPORARY ON DATABASE nanvc TO PUBLIC",
      "REVOKE TEMPORARY ON DATABASE nanvc FROM PUBLIC",
    );
    expect(result).toEqual([
      ...["schema-admin", "readwrite", "readonly"].map(
        (persona) =>
          expect.stringMatching(
            `^${persona} database.TEMPORARY: TEMPORARY on nanvc is not declared and is allowed: granted to PUBLIC by nanvc: TEMPORARY on database nanvc `,
          ) as string,
      ),
      " PUBLIC has nothing: not declared: granted to PUBLIC by nanvc: TEMPORARY on database nanvc (id public:database nanvc:TEMPORARY)",
    ]);
  });

  test("a membership", async () => {
    const result = await found(
      "GRANT pg_read_all_stats TO readonly_role",
      "REVOKE pg_read_all_stats FROM readonly_role",
    );
    expect(result).toEqual([
      expect.stringMatching(
        /^readonly set role\.another: SET ROLE pg_read_all_stats is not declared and is held by the catalogs: through membership of readonly_role in pg_read_all_stats, granted by nanvc/,
      ),
      "readonly memberships as declared: not declared: membership of readonly_role in pg_read_all_stats, granted by nanvc",
    ]);
  });

  test("a policy that reads another persona's credentials", async () => {
    const path = "sys/policies/acl/db-readonly-role";
    const { policy } = (await deployment.root.call("GET", path)).data as { policy: string };
    await deployment.root.call("PUT", path, {
      policy: `${policy}\npath "database/creds/readwrite_role" { capabilities = ["read"] }`,
    });
    try {
      expect(findings(await deployment.verify())).toEqual([
        'readonly vault.other credentials: GET database/creds/readwrite_role is not declared and is allowed: by policy db-readonly-role: path "database/creds/readwrite_role" [read] (HTTP 200)',
        'readonly policies as declared: not declared: policy db-readonly-role: path "database/creds/readwrite_role" [read]',
      ]);
      expect(await deployment.leasedRoles()).toEqual([]);
    } finally {
      await deployment.root.call("PUT", path, { policy });
    }
  });

  test("an extra policy on an AppRole, and another TTL", async () => {
    const path = "auth/approle/role/db-readonly-role";
    await deployment.root.call("POST", path, {
      token_policies: ["db-readonly-role", "db-readwrite-role"],
      token_ttl: 600,
    });
    try {
      expect(findings(await deployment.verify())).toEqual([
        expect.stringMatching(
          /^readonly vault\.other credentials: .*: by policy db-readwrite-role: path "database\/creds\/readwrite_role" \[read\]/,
        ),
        "readonly login: policies and TTLs: policies declared: db-readonly-role; found: db-readonly-role, db-readwrite-role; token TTL declared: 1200 s; found: 600 s",
        "readonly policies as declared: policy db-readwrite-role is not declared",
      ]);
    } finally {
      await deployment.root.call("POST", path, { token_policies: ["db-readonly-role"], token_ttl: 1200 });
    }
  });

  test("revocation statements that fail: the example's own, with Vault's error, and the role named that stays", async () => {
    const path = "database/roles/readonly_role";
    const original = (await deployment.root.call("GET", path)).data as Record<string, unknown>;
    await deployment.root.call("POST", path, {
      ...original,
      revocation_statements: [
        'REVOKE ALL PRIVILEGES ON ALL TABLES IN SCHEMA example FROM "{{name}}"; DROP OWNED BY "{{name}}"; DROP ROLE IF EXISTS "{{name}}";',
      ],
    });
    try {
      const report = await deployment.verify();
      const lines = findings(report);
      expect(lines).toContainEqual(
        expect.stringMatching(
          /^readonly revoked: open session ended: POST sys\/leases\/revoke: HTTP 400: .*permission denied to drop objects.*42501/,
        ),
      );
      expect(lines).toContainEqual(
        expect.stringMatching(/^readonly revoked: login, role, lease gone: the login must be refused/),
      );
      expect(lines).toContainEqual(
        expect.stringMatching(/^ nothing left.*v-approle-readonly-\S+ is still there/),
      );
      expect(report.left).toContainEqual(
        expect.stringMatching(
          /^lease database\/creds\/readonly_role\/\S+, login v-approle-readonly-\S+ \(.*permission denied to drop objects.*\): .*: vault lease revoke database/,
        ),
      );
    } finally {
      await deployment.root.call("POST", path, original);
      // The leases that stayed: Vault tries them with the statements that hold.
      await deployment.root.call("PUT", "sys/leases/revoke-prefix/database/creds", { sync: true });
    }
    expect(await deployment.leasedRoles()).toEqual([]);
  });
});

describe("it takes away what it made", () => {
  test("when it is interrupted at any step", async () => {
    const steps: string[] = [];
    await deployment.verify({ onStep: (step) => steps.push(step) });
    for (const at of steps.slice(0, -1)) {
      const interrupt = new AbortController();
      const report = await deployment.verify({
        signal: interrupt.signal,
        onStep: (step) => {
          if (step === at) interrupt.abort();
        },
      });
      expect(report.interrupted || at === steps.at(-2)).toBe(true);
      expect(report.left).toEqual([]);
      expect(await deployment.leasedRoles()).toEqual([]);
      expect(await deployment.probeObjects()).toBe(0);
    }
  });

  test("and what a killed run left, the next one drops", async () => {
    await deployment.superuser.query(
      "CREATE TABLE example.leasehold_probe_1000000000_abcd_before_table (id integer)",
    );
    await deployment.superuser.query(
      "ALTER TABLE example.leasehold_probe_1000000000_abcd_before_table OWNER TO example_owner",
    );
    await deployment.verify();
    expect(await deployment.probeObjects()).toBe(0);
  });
});

test("it is refused in one line where it can't begin", async () => {
  await expect(deployment.verify({ vault: deployment.root.withToken("nonsense") })).rejects.toThrow(
    /refuses the token: .*; set VAULT_TOKEN/,
  );
  // A full stop matches no line break.
  await expect(deployment.verify({ vault: deployment.as("deliverer") })).rejects.toThrow(/^.*HTTP 403.*$/);
  await expect(deployment.verify({ postgres: () => ({ host: "127.0.0.1", port: 1 }) })).rejects.toThrow(
    /^PostgreSQL at 127.0.0.1:1 can't be reached: .*; set PGHOST and PGPORT$/,
  );
  expect(await deployment.leasedRoles()).toEqual([]);
});

test("no password stands in the server's log, where every statement does", () => {
  const log = readFileSync(deployment.sandbox.postgres.logFile, "utf8");
  expect(log).toContain("PASSWORD 'SCRAM-SHA-256$");
  expect(log).not.toMatch(/PASSWORD '(?!SCRAM-SHA-256\$)/);
  const variables = deployment.sandbox.variables("postgres");
  for (const name of ["postgres_superuser_password", "vault_manager_password"]) {
    expect(log).not.toContain(String(variables[name]));
  }
});
