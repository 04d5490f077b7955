import type { Environment } from "../../config/schema/schema";
import { accessManifestSchema } from "../../manifest/schema";
import { environment, find, stacks, synth, type Synthesized } from "../support/synth";

/** How Vault matches a path: `+` one segment, `*` at the end anything. */
function covers(pattern: string, path: string): boolean {
  const escaped = pattern
    .replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
    .replace(/\\\+/g, "[^/]+")
    .replace(/\\\*$/, ".*");
  return new RegExp(`^${escaped}$`).test(path);
}

function rules(policy: string): Map<string, string> {
  return new Map(
    [...policy.matchAll(/path "([^"]+)" \{\n {2}capabilities = \[([^\]]*)\]/g)].map(([, path, list]) => [
      path!,
      list!,
    ]),
  );
}

function allowed(policy: string, path: string): string[] {
  return [...rules(policy)].filter(([pattern]) => covers(pattern, path)).map(([, list]) => list);
}

const built = stacks();
const vault = synth(built.vault);
const trust = built.vault.trust.texts();
const policyOf = (name: string, of: Synthesized = vault) =>
  find(of, "vault_policy", { name })[0]!["policy"] as string;

describe("several databases and servers", () => {
  const several = environment((draft) => {
    const first = draft.databases[0]!;
    const copy = (name: string, suffix: string, change: object): typeof first => ({
      ...(JSON.parse(
        JSON.stringify(first).replace(
          /"(\w+_role|db-[a-z-]+-role|example_owner|postgres-example)"/g,
          `"$1${suffix}"`,
        ),
      ) as typeof first),
      name,
      workload: undefined,
      ...change,
    });
    draft.servers.push({
      name: "reporting",
      superuser: "nanvc",
      database: "figures",
      container: { image: "postgres:17.6", hostPort: 35433 },
    });
    draft.databases.push(
      copy("orders", "_o", { manager: { name: "vault_o", passwordVersion: 1 } }),
      copy("figures", "_f", { server: "reporting" }),
    );
    draft.databases[0]!.staticRoles = [
      { name: "report", login: "report_login", persona: "readonly", rotationPeriod: "24h" },
    ];
  });
  const { platform, postgres, vault } = stacks(several);
  const [p, v] = [synth(postgres), synth(vault)];

  test("each server has a container, a provider, and variables of its own", () => {
    const containers = find(synth(platform), "docker_container").map(({ name }) => name);
    expect(containers.sort()).toEqual([
      "${var.platform_name}-postgres",
      "${var.platform_name}-reporting",
      "${var.platform_name}-vault",
    ]);
    const { provider, variable } = p.json as {
      provider: Record<string, unknown[]>;
      variable: Record<string, unknown>;
    };
    expect(provider["postgresql"]).toMatchObject([
      { host: "${var.postgres_host}", database: "nanvc" },
      { alias: "reporting", host: "${var.reporting_host}", database: "figures" },
    ]);
    expect(Object.keys(variable).sort()).toEqual([
      "postgres_host",
      "postgres_port",
      "postgres_superuser_password",
      "reporting_host",
      "reporting_port",
      "reporting_superuser_password",
      "reporting_vault_manager_password",
      "vault_manager_password",
      "vault_o_manager_password",
    ]);
  });

  test("resources of a server are made with its provider", () => {
    const of = (database: string) =>
      new Set(find(p, "postgresql_grant", { database }).map(({ provider }) => provider));
    expect(of("nanvc")).toEqual(new Set([undefined]));
    expect(of("orders")).toEqual(new Set([undefined]));
    expect(of("figures")).toEqual(new Set(["postgresql.reporting"]));
  });

  test("a database that its server does not have is made, and never dropped", () => {
    expect(find(p, "postgresql_database")).toEqual([
      expect.objectContaining({ name: "orders", lifecycle: { prevent_destroy: true } }),
    ]);
  });

  test("Vault reaches each database on its server; each has probe roles of its own", () => {
    expect(
      find(v, "vault_database_secret_backend_connection").map(({ postgresql }) => postgresql),
    ).toMatchObject([
      {
        connection_url: expect.stringContaining(
          "@${var.vault_postgres_host}:${var.vault_postgres_port}/nanvc?",
        ) as string,
      },
      {
        connection_url: expect.stringContaining(
          "@${var.vault_reporting_host}:${var.vault_reporting_port}/figures?",
        ) as string,
      },
      {
        connection_url: expect.stringContaining(
          "@${var.vault_postgres_host}:${var.vault_postgres_port}/orders?",
        ) as string,
      },
    ]);
    const names = find(v, "vault_database_secret_backend_role").map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(["verify-owner", "verify-owner-orders", "verify-owner-figures"]),
    );
    expect(new Set(names).size).toBe(names.length);
  });

  test("a static role's login has its persona's privileges, and its password is that persona's to read", () => {
    expect(find(p, "postgresql_role", { name: "report_login" })).toMatchObject([
      { login: true, roles: ["readonly_role"] },
    ]);
    expect(find(p, "postgresql_grant_role", { grant_role: "report_login" })).toMatchObject([
      { with_admin_option: true },
    ]);
    expect(find(v, "vault_database_secret_backend_static_role")).toMatchObject([
      { name: "report", username: "report_login", rotation_period: 86_400 },
    ]);
    expect(allowed(policyOf("db-readonly-role", v), "database/static-creds/report")).toEqual(['"read"']);
    expect(allowed(policyOf("db-readwrite-role", v), "database/static-creds/report")).toEqual([]);
  });

  test("the manifest says which database is on which server", () => {
    const { servers, databases } = accessManifestSchema.parse(stacks(several).accessManifest());
    expect(servers.map(({ name }) => name)).toEqual(["postgres", "reporting"]);
    expect(databases.map(({ server }) => server)).toEqual(["postgres", "postgres", "reporting"]);
    expect(databases.map(({ probes }) => probes?.owner)).toEqual([
      "verify-owner",
      "verify-owner-orders",
      "verify-owner-figures",
    ]);
  });
});

describe("leases through functions, or by CREATEROLE", () => {
  const way = (leases: "functions" | "createrole") => {
    const { postgres, vault, accessManifest } = stacks(
      environment((draft) => {
        draft.leases = leases;
        draft.databases[0]!.staticRoles = [
          { name: "report", login: "report_login", persona: "readonly", rotationPeriod: "24h" },
        ];
      }),
    );
    return { postgres: synth(postgres), vault: synth(vault), manifest: accessManifest() };
  };
  const ways = { functions: way("functions"), createrole: way("createrole") };
  const only = (one: keyof typeof ways, other: keyof typeof ways) =>
    [...ways[one].postgres.resources.keys()].filter(
      (address) => !ways[other].postgres.resources.has(address),
    );

  test.each([
    ["functions", "createrole", 7],
    ["createrole", "functions", 9],
  ] as const)(
    "with %s Terraform forgets what %s alone declares, and takes nothing away",
    (one, other, count) => {
      const { removed } = ways[one].postgres.json as { removed: { from: string }[] };
      expect(removed.map(({ from }) => from).sort()).toEqual(only(other, one).sort());
      expect(removed).toHaveLength(count);
      for (const block of removed) expect(block).toMatchObject({ lifecycle: { destroy: false } });
    },
  );

  test("Vault's login has CREATEROLE and memberships, or neither", () => {
    const has = ({ postgres }: (typeof ways)["functions"]) => [
      find(postgres, "postgresql_role", { name: "vault" })[0]!["create_role"],
      find(postgres, "postgresql_grant_role").length,
    ];
    expect([has(ways.functions), has(ways.createrole)]).toEqual([
      [false, 0],
      [true, 7],
    ]);
  });

  test("the functions are the superuser's, and know the mark, the groups, their heirs and the static login", () => {
    const bodies = find(ways.functions.postgres, "postgresql_function").map(({ body }) => String(body));
    expect(bodies).toHaveLength(5);
    expect(find(ways.functions.postgres, "postgresql_schema", { name: "leasehold" })).toMatchObject([
      { owner: "nanvc", database: "nanvc" },
    ]);
    for (const [text, count] of [
      ["'leasehold local nanvc'", 5],
      ["('schema_admin_role', 'example_owner', 'example', 20)", 2],
      ["('readonly_role', 'readonly_role', 'example', 20)", 2],
      ["('nanvc_verify_owner', 'example_owner', 'example', 20)", 2],
      ["('report_login')", 1],
    ] as const)
      expect([text, bodies.filter((body) => body.includes(text)).length]).toEqual([text, count]);
  });

  test("Vault's statements call the functions, in as many transactions as without them", () => {
    const [role] = find(ways.functions.vault, "vault_database_secret_backend_role", {
      name: "readonly_role",
    });
    expect(role).toMatchObject({
      creation_statements: [
        "SELECT leasehold.open('{{name}}', 'readonly_role', '{{password}}', '{{expiration}}');",
      ],
      renew_statements: ["SELECT leasehold.renew('{{name}}', '{{expiration}}');"],
      revocation_statements: [expect.stringContaining("SELECT leasehold.drop('{{name}}', 'readonly_role');")],
    });
    const transactions = (of: Synthesized) =>
      String(
        find(of, "vault_database_secret_backend_role", { name: "readonly_role" })[0]![
          "revocation_statements"
        ],
      ).match(/COMMIT;\s*BEGIN;/g)!.length;
    expect(transactions(ways.functions.vault)).toBe(transactions(ways.createrole.vault));
    expect(find(ways.functions.vault, "vault_database_secret_backend_static_role")).toMatchObject([
      { rotation_statements: ["SELECT leasehold.set_password('{{name}}', '{{password}}');"] },
    ]);
  });

  test("the manifest says which; one of before has CREATEROLE", () => {
    const { functions, createrole } = ways;
    expect(functions.manifest.databases[0]).toMatchObject({ leases: "functions" });
    expect(functions.manifest.databases[0]!.leaseFunctions).toHaveLength(5);
    expect(createrole.manifest.databases[0]).toMatchObject({ leases: "createrole" });
    const [{ leases: _, leaseFunctions: __, ...before }] = functions.manifest.databases as [
      (typeof functions.manifest.databases)[number],
    ];
    expect(
      accessManifestSchema.parse({ ...functions.manifest, databases: [before] }).databases,
    ).toMatchObject([{ leases: "createrole", leaseFunctions: [] }]);
  });
});

describe("servers that exist already", () => {
  const external = environment((draft) => {
    delete draft.servers[0]!.container;
    delete draft.vault.container;
    draft.servers[0]!.tls = true;
    draft.vault.tls = true;
    draft.backend = {
      type: "pg",
      arguments: { schema_name: "{environment}_{stack}", nested: { names: ["{stack}"], on: true } },
    };
  });
  const { postgres, vault } = stacks(external);
  const [p, v] = [synth(postgres), synth(vault)];

  test("addresses, certificates and a namespace are variables", () => {
    const { provider } = p.json as { provider: Record<string, unknown[]> };
    expect(provider["postgresql"]).toMatchObject([
      { sslmode: "verify-full", sslrootcert: "${var.postgres_sslrootcert}" },
    ]);
    const { variable } = p.json as { variable: Record<string, object> };
    expect(variable["postgres_host"]).not.toHaveProperty("default");
    expect((v.json as { provider: Record<string, unknown[]> }).provider["vault"]).toMatchObject([
      {
        address: "${var.vault_address}",
        namespace: "${var.vault_namespace}",
        ca_cert_file: "${var.vault_ca_cert_file}",
      },
    ]);
    expect(find(v, "vault_database_secret_backend_connection")[0]!["postgresql"]).toMatchObject({
      connection_url: expect.stringMatching(
        /sslmode=verify-full&sslrootcert=\$\{var\.vault_postgres_sslrootcert\}$/,
      ) as string,
      tls_ca: "${var.vault_postgres_tls_ca}",
    });
  });

  test("a backend of the config's goes to Terraform, with each stack's own state", () => {
    const backendOf = ({ json }: Synthesized) =>
      (json as { terraform: { backend: unknown } }).terraform.backend;
    expect([backendOf(p), backendOf(v)]).toEqual([
      { pg: { schema_name: "local_postgres", nested: { names: ["postgres"], on: true } } },
      { pg: { schema_name: "local_vault", nested: { names: ["vault"], on: true } } },
    ]);
  });
});

describe("the trust model", () => {
  const { operator } = trust;

  test.each([
    "database/creds/readonly_role",
    "database/creds/verify-owner",
    "database/static-creds/report",
    "auth/approle/role/db-readonly-role/secret-id",
    "auth/approle/role/db-readonly-role/custom-secret-id",
    "auth/approle/login",
    "sys/policies/acl/other",
    "sys/mounts/secret",
    "sys/auth/userpass",
    "secret/data/x",
    "auth/token/create",
    "sys/leases/revoke-force/database",
  ])("the operator may not: %s", (path) => {
    expect(allowed(operator, path)).toEqual([]);
  });

  test.each([
    "sys/mounts/database",
    "database/config/postgres-example",
    "database/roles/readonly_role",
    "database/static-roles/report",
    "database/rotate-root/postgres-example",
    "auth/approle/role/db-readonly-role",
    "sys/policies/acl/db-readonly-role",
    "sys/policies/acl/leasehold-local-verifier",
    "sys/leases/revoke-prefix/database/creds",
  ])("the operator may: %s", (path) => {
    expect(allowed(operator, path)).not.toEqual([]);
  });

  test.each(["operator", "planner", "deliverer", "verifier"])(
    "the operator reads the %s's policy and can't write it, and no stack has it",
    (who) => {
      const name = `leasehold-local-${who}`;
      expect(allowed(operator, `sys/policies/acl/${name}`)).toEqual(['"read"']);
      expect(find(vault, "vault_policy", { name })).toEqual([]);
    },
  );

  test("the policies that the stack had go out of its state and stay in Vault", () => {
    const { removed } = vault.json as { removed: unknown };
    expect(removed).toEqual(
      ["Planner_D1424F44", "Deliverer_ECE61983", "Verifier_F60271A7"].map((id) => ({
        from: `vault_policy.${id}`,
        lifecycle: { destroy: false },
      })),
    );
  });

  test("the operator writes connections, AppRoles and personas' policies as they are declared, by name", () => {
    const written = [...rules(operator)]
      .filter(([, list]) => /create|update/.test(list))
      .map(([path]) => path);
    expect(written.filter((path) => /\/config\/|approle\/role|policies/.test(path))).toEqual([
      "database/config/postgres-example",
      ...["db-admin-schema-role", "db-readwrite-role", "db-readonly-role"].flatMap((name) => [
        `sys/policies/acl/${name}`,
        `auth/approle/role/${name}`,
      ]),
    ]);
    // The very text of the resource, as HCL quotes it.
    expect(operator).toContain(`"policy" = [${JSON.stringify(policyOf("db-readonly-role"))}]`);
    expect(operator).toContain(
      '"connection_url" = ["postgresql://{{username}}:{{password}}@${var.vault_postgres_host}:${var.vault_postgres_port}/nanvc?sslmode=disable"]',
    );
  });

  test("each AppRole's role id is an output of the stack", () => {
    const { output } = vault.json as { output: Record<string, { value: string }> };
    expect(Object.keys(output)).toEqual([
      "role_id_db-admin-schema-role",
      "role_id_db-readonly-role",
      "role_id_db-readwrite-role",
    ]);
    expect(output["role_id_db-readonly-role"]!.value).toMatch(
      /^\$\{vault_approle_auth_backend_role\.AppRoles_db-readonly-role_\w+\.role_id\}$/,
    );
  });

  test("the planner reads what the operator manages, and writes nothing", () => {
    const planner = rules(trust.planner);
    expect(
      new Set([...planner].filter(([path]) => path !== "auth/token/renew-self").map(([, list]) => list)),
    ).toEqual(new Set(['"read"']));
    expect([...planner.keys()].some((path) => path.includes("creds"))).toBe(false);
  });

  test("the deliverer has wrapped secret ids of the AppRoles, and neither role ids nor credentials", () => {
    expect([...rules(trust.deliverer).keys()]).toEqual([
      "auth/approle/role/+/secret-id",
      "auth/token/lookup-self",
      "auth/token/renew-self",
    ]);
    expect(trust.deliverer).toContain('min_wrapping_ttl = "5s"\n  max_wrapping_ttl = "5m"\n');
  });

  test("the verifier leases probe roles alone, and revokes by prefix theirs alone", () => {
    const paths = [...rules(trust.verifier).keys()];
    expect(paths.filter((path) => path.includes("/creds/") && !path.startsWith("sys/"))).toEqual([
      "database/creds/verify-owner",
      "database/creds/verify-short",
    ]);
    expect(paths.filter((path) => path.startsWith("sys/leases/revoke-prefix"))).toEqual([
      "sys/leases/revoke-prefix/database/creds/verify-owner",
      "sys/leases/revoke-prefix/database/creds/verify-short",
    ]);
    expect(paths.filter((path) => path.includes("*") || path.includes("+"))).toEqual([
      "auth/approle/role/+/secret-id",
      "auth/approle/role/+/role-id",
    ]);
    expect(paths.filter((path) => /config|roles/.test(path))).toEqual([]);
    // To name the line behind what a persona may do.
    const own = ["db-admin-schema-role", "db-readwrite-role", "db-readonly-role"].map(
      (name) => `sys/policies/acl/${name}`,
    );
    expect(paths.filter((path) => path.includes("policies"))).toEqual(own);
  });

  test.each(["db-admin-schema-role", "db-readwrite-role", "db-readonly-role"])(
    "%s may lease for itself and renew, and no more",
    (name) => {
      const paths = [...rules(policyOf(name)).keys()];
      expect(paths).toEqual([
        "auth/token/lookup-self",
        "auth/token/renew-self",
        "auth/token/revoke-self",
        "sys/leases/renew",
        "sys/leases/revoke",
        expect.stringMatching(/^database\/creds\/[a-z_]+$/),
      ]);
    },
  );
});

test("the verifier may rotate a static role where its workload tries that, and nowhere else", () => {
  const statics = (kind: "approle" | "leases") =>
    stacks(
      environment((draft) => {
        const [database] = draft.databases;
        database!.staticRoles = [
          { name: "report", login: "report_login", persona: "readonly", rotationPeriod: "24h" },
          { name: "batch", login: "batch_login", persona: "readwrite", rotationPeriod: "24h" },
        ];
        database!.workload = { kind, reader: "readonly" };
      }),
    ).vault.trust.texts().verifier;
  const rotated = (policy: string) =>
    [...rules(policy).keys()].filter((path) => path.includes("/rotate-role/"));
  expect(rotated(statics("approle"))).toEqual(["database/rotate-role/report"]);
  expect(rotated(statics("leases"))).toEqual([]);
});

test("without verification there is no probe role and no verifier", () => {
  const { postgres, vault: without } = stacks(environment((draft) => (draft.verification = false)));
  expect(synth(postgres).text).not.toContain("verify");
  expect(synth(without).text).not.toContain("verif");
  expect([...rules(without.trust.texts().verifier).keys()]).toEqual([
    "auth/token/lookup-self",
    "auth/token/renew-self",
  ]);
});

test("a persona more is in all the places, and changes no address of the others", () => {
  const before = stacks();
  const after = stacks(
    environment((draft) => {
      const { personas } = draft.databases[0]!;
      personas.push({ ...personas[2]!, name: "report", groupRole: "report_role", appRole: "db-report-role" });
    }),
  );
  for (const stack of ["postgres", "vault"] as const) {
    const [old, now] = [synth(before[stack]), synth(after[stack])];
    const added = [...now.resources.keys()].filter((address) => !old.resources.has(address));
    expect([...old.resources.keys()].filter((address) => !now.resources.has(address))).toEqual([]);
    expect(added.every((address) => address.includes("report"))).toBe(true);
    expect(added).toHaveLength(stack === "postgres" ? 11 : 3);
  }
  expect(after.vault.trust.texts().deliverer).toBe(before.vault.trust.texts().deliverer);
});

test("two databases on one server do not collide", () => {
  const two = stacks(
    environment((draft) => {
      const [first] = draft.databases;
      const personas = first!.personas.map((persona) => ({
        ...persona,
        groupRole: `b_${persona.groupRole}`,
        appRole: `${persona.appRole}-b`,
      }));
      draft.databases.push({
        ...first!,
        name: "second",
        owner: "b_owner",
        manager: { name: "b_vault", passwordVersion: 1 },
        vault: { mount: "database-b", connection: "b" },
        personas,
      });
    }),
  );
  expect(find(synth(two.postgres), "postgresql_schema")).toHaveLength(2);
  expect(find(synth(two.vault), "vault_database_secret_backend_connection")).toHaveLength(2);
});

test("no lease is warned of that is meant to end with its token", () => {
  const warnings = (of: Environment) =>
    stacks(of)
      .vault.node.findAll()
      .flatMap(({ node }) => node.metadata.filter(({ type }) => type === "@cdktf/warn"))
      .map(({ data }) => data as string);
  const declared = environment();
  expect(warnings(declared)).toEqual([]);
  const [persona] = declared.databases[0]!.personas;
  persona!.leaseEndsWithToken = false;
  expect(warnings(declared)).toEqual([
    "a lease of schema_admin_role (1d at most) ends with the token that took it, after 30m at most",
  ]);
});

test("synth is the same each time, and holds no absolute path and no time", () => {
  for (const stack of ["platform", "postgres", "vault"] as const) {
    const { text } = synth(stacks()[stack]);
    expect(synth(stacks()[stack]).text).toBe(text);
    expect(text).not.toContain(process.cwd());
    expect(text).not.toMatch(/\d{4}-\d\d-\d\dT/);
  }
});

describe("the access manifest", () => {
  const manifest = stacks().accessManifest();

  test("is what the verifier reads", () => {
    expect(accessManifestSchema.safeParse(JSON.parse(JSON.stringify(manifest))).error).toBeUndefined();
  });

  test("has what is accepted", () => {
    const accepted = [{ id: "definer:example.f(integer):readonly_role", reason: "reports need it" }];
    const changed = environment((draft) => {
      draft.accepted = accepted;
    });
    expect(stacks(changed).accessManifest()).toMatchObject({ accepted });
  });

  test("has the names that other programs rely on", () => {
    expect(manifest).toMatchObject({
      version: 1,
      environment: "local",
      databases: [
        {
          name: "nanvc",
          schema: "example",
          owner: "example_owner",
          vault: { mount: "database", connection: "postgres-example" },
        },
      ],
    });
    expect(manifest.databases[0]!.personas.find(({ name }) => name === "readonly")).toMatchObject({
      name: "readonly",
      groupRole: "readonly_role",
      appRole: {
        authMount: "approle",
        name: "db-readonly-role",
        policies: ["db-readonly-role"],
        tokenTtl: 1200,
        tokenMaxTtl: 1800,
      },
      databaseRole: { name: "readonly_role", defaultTtl: 3600, maxTtl: 86400 },
      privileges: {
        database: ["CONNECT"],
        schema: ["USAGE"],
        tables: ["SELECT"],
        sequences: ["SELECT"],
        functions: ["EXECUTE"],
      },
    });
  });
});
