import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Checkout } from "../../bench/checkout";
import { ConfigError, parseEnvironment } from "../../config/schema/schema";
import { LEASE_SCHEMA } from "../../manifest/names";
import { parse } from "../../verify/vault/policies";
import hostileNames from "../environments/hostile-names";
import { Deployment, findings } from "../support/deployment";
import { temporaryFolder } from "../support/folder";
import { placesOf, SNIPPETS, withFaults, type Fields } from "../support/generated-configs";
import { handMadeSandbox, providerBlock, query, variables } from "../support/hand-made";
import { Program } from "../support/program";
import { resultsOf } from "../../verify/report/report";

const config = hostileNames as unknown as Fields;
const { servers, databases, vault, name } = hostileNames;
const texts = [...placesOf(config)].filter(
  ([path, value]) => typeof value === "string" && path[0] !== "backend",
);

test("no text takes what PostgreSQL, Vault, Terraform, a shell or a terminal would do something with", () => {
  const taken = texts.flatMap(([path]) =>
    SNIPPETS.filter((snippet) => {
      try {
        parseEnvironment("config/bad.ts", withFaults(config, [{ path, value: `a${snippet}b` }]));
        return true;
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigError);
        return false;
      }
    }).map((snippet) => [...path, snippet]),
  );
  expect(taken).toEqual([]);
});

describe("the worst names that are taken", () => {
  let deployment: Deployment;
  /** On each server, from before anything was applied. */
  const CANARY = "canary; DROP ROLE postgres; --";

  beforeAll(async () => {
    deployment = await Deployment.start({ env: "hostile-names", apply: false });
    for (const server of deployment.sandbox.servers.values()) {
      await query(server, `CREATE ROLE "${CANARY}"`);
      await query(server, `CREATE TABLE public."${CANARY}" AS SELECT 1 AS one`);
    }
    await deployment.sandbox.apply();
  });

  afterAll(() => deployment.stop());

  test("hold, the whole verifier through", async () => {
    const report = await deployment.verify();
    expect(findings(report)).toEqual([]);
    expect(report.left).toEqual([]);
    expect(resultsOf(report).length).toBeGreaterThan(200);
  });

  test("PostgreSQL has them byte for byte, and no others", async () => {
    for (const { name: server, superuser, database } of servers) {
      const at = deployment.sandbox.servers.get(server)!;
      const own = databases.filter((each) => (each.server ?? servers[0]!.name) === server);
      const roles = own.flatMap(({ owner, manager, personas, staticRoles = [], ...each }) => [
        ...[owner, manager.name, `${each.name}_verify_owner`, `${each.name}_verify_short`],
        ...personas.map(({ groupRole }) => groupRole),
        ...staticRoles.map(({ login }) => login),
      ]);
      expect(await query(at, "SELECT rolname::text FROM pg_roles WHERE rolname !~ '^pg_'")).toEqual(
        expect.arrayContaining([superuser, CANARY, ...roles]),
      );
      expect(await query(at, "SELECT count(*)::int FROM pg_roles WHERE rolname !~ '^pg_'")).toEqual([
        roles.length + 2,
      ]);
      expect(await query(at, `SELECT one FROM public."${CANARY}"`)).toEqual([1]);
      const names = new Set([
        "postgres",
        "template0",
        "template1",
        database,
        ...own.map((each) => each.name),
      ]);
      expect(new Set(await query(at, "SELECT datname::text FROM pg_database"))).toEqual(names);
      for (const { name: inside, schema } of own) {
        const schemas =
          "SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)'";
        expect((await query(at, schemas, { database: inside })).sort()).toEqual(
          [schema, LEASE_SCHEMA, "public"].sort(),
        );
      }
      // Each of the roles looks into the one schema, whatever that is called, and Vault's own login into none of them.
      const paths =
        "SELECT DISTINCT setting FROM pg_db_role_setting, unnest(setconfig) setting WHERE setting ~ '^search_path='";
      expect((await query(at, paths)).sort()).toEqual(
        ["search_path=pg_catalog", ...own.map(({ schema }) => `search_path="${schema!}"`)].sort(),
      );
    }
  });

  test("Vault has policies of exactly these names, for exactly the paths that are theirs", async () => {
    const { root, manifest } = deployment;
    const listed = await root.call("LIST", "sys/policies/acl");
    const personas = databases.flatMap((database) => database.personas);
    expect(new Set(listed.data!["keys"] as string[])).toEqual(
      new Set([
        ...["default", "root", ...Object.values(manifest.policies!)],
        ...personas.map(({ appRole }) => appRole),
      ]),
    );
    for (const { personas: of, vault: at, staticRoles = [] } of databases) {
      for (const { appRole, groupRole, name: persona } of of) {
        const { policy } = (await root.call("GET", `sys/policies/acl/${appRole}`)).data as { policy: string };
        const paths = parse(appRole, policy).rules.map(({ path, capabilities }) => [path, ...capabilities]);
        expect(paths).toEqual([
          ["auth/token/lookup-self", "read"],
          ["auth/token/renew-self", "update"],
          ["auth/token/revoke-self", "update"],
          ["sys/leases/renew", "update"],
          ["sys/leases/revoke", "update"],
          [`${at.mount as string}/creds/${groupRole}`, "read"],
          ...staticRoles
            .filter((role) => role.persona === persona)
            .map((role) => [`${at.mount as string}/static-creds/${role.name}`, "read"]),
        ]);
        const body = (await root.call("GET", `${at.mount as string}/roles/${groupRole}`)).data!;
        const sql = (body["creation_statements"] as string[]).join();
        expect(sql).toContain(`SELECT leasehold.open('{{name}}', '${groupRole}', '{{password}}'`);
      }
    }
    const roles = await root.call("LIST", `auth/${vault.authMount as string}/role`);
    expect(new Set(roles.data!["keys"] as string[])).toEqual(new Set(personas.map(({ appRole }) => appRole)));
  });

  const json = (stack: string) =>
    JSON.parse(readFileSync(join(deployment.synthesized, "stacks", stack, "cdk.tf.json"), "utf8")) as Record<
      string,
      Record<string, Record<string, Fields>>
    >;

  test("a health check's shell hands them on as they are", () => {
    const { folder, remove } = temporaryFolder();
    writeFileSync(join(folder, "pg_isready"), `#!/bin/sh\nprintf '%s\\n' "$@"\n`);
    chmodSync(join(folder, "pg_isready"), 0o755);
    const commands = Object.values(json("platform")["resource"]!["docker_container"]!)
      .map(({ healthcheck }) => (healthcheck as { test: string[] }).test[1]!)
      .filter((command) => command.includes("pg_isready"));
    expect(
      commands.map((command) =>
        execFileSync("/bin/sh", ["-c", command], { env: { PATH: folder }, encoding: "utf8" }),
      ),
    ).toEqual(
      servers.map(({ superuser, database }) => `-q\n-h\n127.0.0.1\n-U\n${superuser}\n-d\n${database}\n`),
    );
    remove();
  });

  test("a backend's argument, which Terraform takes literally, is as the config has it", () => {
    for (const stack of ["platform", "postgres", "vault"])
      expect(json(stack)["terraform"]!["backend"]).toEqual({
        local: {
          path: `../../../\${path.module} %{if} $\${x} {{name}} '"$$; # é😀 ${name}.${stack}`,
          workspace_dir: `../../../\\${stack}\`id\`$(id)`,
        },
      });
  });
});

test("what leasehold env prints comes out of a shell's eval as it went in", async () => {
  const checkout = new Checkout("worst");
  const { folder } = checkout;
  const bare = ({ container: _, ...rest }: Fields) => rest;
  const external = { ...config, name: "worst", servers: servers.map(bare), vault: bare(vault) };
  writeFileSync(join(folder, "config/worst.ts"), `export default ${JSON.stringify(external)};`);
  const worst = `'; touch pwned; ' "$(touch pwned)" \`touch pwned\` \\ $HOME\n* é😀 %s '`;
  // What an address may have in it.
  const address = `http://vault/';pwned;'"$(pwned)\`pwned\`$HOME*%s'`;
  const given: Record<string, string> = { VAULT_ADDR: address };
  for (const { name: server } of servers)
    for (const variable of [`${server}_host`, `${server}_superuser_password`, `vault_${server}_host`])
      given[`TF_VAR_${variable}`] = worst;
  const env = { LEASEHOLD_ENV: "worst", XDG_CONFIG_HOME: join(folder, "home"), ...given };
  const program = new Program(["env"], env, folder);
  expect({ code: await program.ended, errors: program.errors }).toEqual({ code: 0, errors: "" });

  const print = Object.keys(given).map((variable) => `printf '%s\\0' "$${variable}"`);
  const seen = execFileSync("/bin/sh", ["-euc", `eval "$1"; ${print.join("; ")}`, "sh", program.output], {
    cwd: folder,
    env: {},
    encoding: "utf8",
  });
  expect(seen.split("\0").slice(0, -1)).toEqual(Object.values(given));
  expect(existsSync(join(folder, "pwned"))).toBe(false);
  checkout.remove();
});

test("what a hand-written configuration calls so, and no config could, is carried as it is", async () => {
  const worst = `"'\\ $$ $body$;DROP ROLE boss;--,é😀/?#%\${var.x}%{if}{{name}}`;
  expect(Buffer.byteLength(worst)).toBeLessThanOrEqual(63);
  const escaped = worst.replace(/[$%]\{/g, (mark) => mark[0]! + mark);
  const made = `made ${escaped}`.slice(0, 30);
  const role = "${postgresql_role.worst.name}";
  const on = { database: escaped, role, privileges: ["USAGE"] };
  const { sandbox, stop } = await handMadeSandbox({
    postgres: {
      provider: { postgresql: providerBlock("postgres", escaped) },
      variable: variables("postgres_host", "postgres_port", "postgres_superuser_password"),
      resource: {
        postgresql_role: { worst: { name: escaped, search_path: [escaped], valid_until: "2100-01-01" } },
        postgresql_database: { made: { name: made, owner: role } },
        postgresql_schema: { worst: { name: escaped, owner: role } },
        postgresql_grant: {
          worst: { ...on, role: "boss", schema: "${postgresql_schema.worst.name}", object_type: "schema" },
        },
        postgresql_default_privileges: {
          worst: { ...on, schema: "${postgresql_schema.worst.name}", owner: "boss", object_type: "type" },
        },
      },
    },
    vault: {
      provider: { vault: { address: "${var.vault_address}" } },
      variable: variables("vault_address"),
      resource: { vault_policy: { worst: { name: escaped, policy: `# ${escaped}` } } },
    },
  });
  await sandbox.apply();
  const at = sandbox.postgres;
  expect(
    await query(
      at,
      `SELECT rolname::text FROM pg_roles WHERE rolname !~ '^pg_'
       UNION ALL SELECT datname::text FROM pg_database WHERE datname !~ '^(template.|postgres)$'
       UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$|public$)'
       UNION ALL SELECT pg_get_userbyid(defaclrole)::text FROM pg_default_acl ORDER BY 1`,
    ),
  ).toEqual([worst, worst, worst, "boss", "boss", made.replace("$${", "${")].sort());
  const schema = `"${worst.replaceAll('"', '""')}"`;
  expect(await query(at, "SELECT setconfig FROM pg_db_role_setting")).toEqual([[`search_path=${schema}`]]);
  const vaultClient = sandbox.vaultClient(sandbox.initialised.rootToken);
  const { keys } = (await vaultClient.call("LIST", "sys/policies/acl")).data as { keys: string[] };
  expect(keys).toContain(worst.toLowerCase());
  await stop();
});
