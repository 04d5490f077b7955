import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, DatabaseError } from "pg";
import { Deployment as Deployed } from "../../ops/deployment/deployment";
import { prepareVault, vaultTarget } from "../../ops/vault/prepare";
import { markLeases } from "../../ops/postgres/leased-logins";
import { equipManagers } from "../../ops/postgres/manager-login";
import { takePowers } from "../../ops/postgres/manager-powers";
import { apply, type Handler, type ProviderFactory } from "../../sandbox/engine";
import { readConfiguration } from "../../sandbox/terraform-json";
import { postgresqlProvider } from "../../sandbox/postgresql-provider";
import { vaultProvider } from "../../sandbox/vault-provider";
import type { ManifestDatabase, ManifestPersona } from "../../manifest/schema";
import { configOf, release } from "../upgrade/release";
import { named, plant, SPRUNG } from "../support/traps";
import { Deployment, findings } from "../support/deployment";
import { temporaryFolder } from "../support/folder";

/**
 * What 0.1.0 deployed is brought to today's state while its leases are alive, as far as that takes no Terraform:
 * test/e2e/upgrade.test.ts is the whole of it. The tests are its steps, in order.
 */
const environment = { ...process.env };

interface Leased {
  readonly persona: ManifestPersona;
  readonly id: string;
  readonly login: string;
  readonly client: Client;
  /** The SQLSTATE with which the server ended the session. */
  readonly ended: Promise<string>;
}

describe.each(readdirSync(release("")))("the environment %s", (env) => {
  let deployment: Deployment;
  let database: ManifestDatabase;
  let home: ReturnType<typeof temporaryFolder>;
  let deployed: Deployed;
  let leases: Leased[];

  beforeAll(async () => {
    const config = await configOf(env);
    deployment = await Deployment.start({ env, synthesized: release(env), ...(config && { config }) });
    [database] = deployment.manifest.databases as [ManifestDatabase];
    leases = await Promise.all(database.personas.map(lease));
    home = temporaryFolder();
    Object.assign(process.env, deployment.sandbox.terraformVariables(), { XDG_CONFIG_HOME: home.folder });
  });

  afterAll(async () => {
    process.env = { ...environment };
    await deployment.stop();
    home.remove();
  });

  async function lease(persona: ManifestPersona): Promise<Leased> {
    const path = `${database.vault.mount}/creds/${persona.databaseRole.name}`;
    const { lease_id: id, data } = await deployment.root.call("GET", path);
    const { username: login, password } = data as { username: string; password: string };
    const { host, port, ssl = false } = deployment.sandbox.postgres;
    const client = new Client({ host, port, ssl, database: database.name, user: login, password });
    const ended = new Promise<string>((resolve) => {
      client.on("error", (error) => {
        resolve(error instanceof DatabaseError ? (error.code ?? "") : error.message);
      });
    });
    await client.connect();
    return { persona, id: id!, login, client, ended };
  }

  async function validUntil(login: string): Promise<Date> {
    const { rows } = await deployment.superuser.query<{ until: Date }>(
      "SELECT rolvaliduntil AS until FROM pg_catalog.pg_roles WHERE rolname = $1",
      [login],
    );
    return rows[0]!.until;
  }

  test("init writes today's policies", async () => {
    const { tokens, rootToken } = deployment.sandbox.initialised;
    process.env["VAULT_TOKEN"] = rootToken;
    deployed = Deployed.read(deployment.synthesized)!;
    for (const who of ["operator", "planner", "deliverer", "verifier"] as const)
      deployed.home.setToken(who, tokens[who]);
    await prepareVault(vaultTarget(deployed), {});
  });

  test("the stack postgres adds the functions, where leases are made through them", async () => {
    await applyOver("postgres", { postgresql: over(postgresqlProvider, ROLES) });
    const { rows } = await deployment.superuser.query(
      "SELECT FROM pg_proc WHERE pronamespace = to_regnamespace('leasehold')",
    );
    expect(rows).toHaveLength(database.leaseFunctions.length);
  });

  test("the operator writes today's roles, policies and AppRoles over those of 0.1.0", async () => {
    const { operator } = deployment.sandbox.initialised.tokens;
    await applyOver("vault", { vault: over(vaultProvider(operator), MOUNTS) });
  });

  async function applyOver(
    name: "postgres" | "vault",
    factories: Readonly<Record<string, ProviderFactory>>,
  ): Promise<void> {
    const stack = readConfiguration(join(deployment.synthesized, "stacks", name, "cdk.tf.json"));
    await apply(stack, deployment.sandbox.variables(name), factories);
  }

  test("deploy marks the leases, and takes the schema from the search path of Vault's login", async () => {
    await equipManagers(deployed, deployed.manifest.databases);
    expect((await markLeases(deployed, database)).sort()).toEqual(leases.map(({ login }) => login).sort());
    const { rows } = await deployment.superuser.query(
      "SELECT DISTINCT shobj_description(oid, 'pg_authid') AS mark, rolconnlimit FROM pg_roles WHERE rolname LIKE 'v-%'",
    );
    expect(rows).toEqual([{ mark: `leasehold ${env} ${database.name}`, rolconnlimit: 20 }]);
    const settings = await deployment.superuser.query<{ rolconfig: string[] }>(
      "SELECT rolconfig FROM pg_roles WHERE rolname = $1",
      [database.manager],
    );
    expect(settings.rows).toEqual([{ rolconfig: ["search_path=pg_catalog"] }]);
  });

  test("then deploy takes from Vault's login what leases through functions do without", async () => {
    const did = database.leases === "functions" ? await takePowers(deployed, database) : [];
    expect(did).toEqual(
      env === "local" ? [] : [expect.stringMatching(/^took from vault .*: CREATEROLE and \d+ memberships$/)],
    );
  });

  test("the leases are alive, and are renewed", async () => {
    for (const { id, login, client, persona } of leases) {
      expect((await client.query("SELECT session_user AS login")).rows).toEqual([{ login }]);
      const before = await validUntil(login);
      const increment = 2 * persona.databaseRole.defaultTtl;
      await deployment.root.call("PUT", "sys/leases/renew", { lease_id: id, increment });
      expect((await validUntil(login)).getTime()).toBeGreaterThan(before.getTime());
    }
  });

  test("the verifier holds", async () => {
    const report = await deployment.verify();
    expect(findings(report)).toEqual([]);
    expect(report.left).toEqual([]);
  });

  test("they are revoked whatever they hold open; what was planted for Vault's login does not run", async () => {
    const { superuser, sandbox } = deployment;
    // Where no persona may, whoever changes the schema as its owner.
    const planter = leases.find(({ persona }) => persona.actsAsOwner)?.client ?? superuser;
    await planter.query(`SET ROLE "${database.owner}"; SET search_path = pg_catalog`);
    const called = await named(planter, ["array_agg(), pg_sleep(), pg_terminate_backend()"]);
    await plant(planter, database.schemas[0]!.name, called, ["=", "<>", ">", "+"]);
    const log = () => readFileSync(sandbox.postgres.logFile, "utf8");
    const planted = log().length;
    for (const { client } of leases) {
      await client.query("SET ROLE NONE; BEGIN");
      await client.query("ALTER ROLE CURRENT_USER PASSWORD 'kept'");
    }
    for (const { id } of leases)
      await deployment.root.call("PUT", "sys/leases/revoke", { lease_id: id, sync: true });
    expect(await Promise.all(leases.map(({ ended }) => ended))).toEqual(leases.map(() => "57P01"));
    expect(await deployment.leasedRoles()).toEqual([]);
    expect(log().slice(planted)).not.toContain(SPRUNG);
  });
});

/** What is there already, and can't be made over what is there. */
const ROLES = ["postgresql_role", "postgresql_grant_role"];
const MOUNTS = ["vault_mount", "vault_auth_backend"];

/** Makes everything but the resources of these types, over what is there. */
function over(factory: ProviderFactory, types: readonly string[]): ProviderFactory {
  return (settings) => {
    const provider = factory(settings);
    const handlers = Object.fromEntries(
      Object.entries(provider.handlers).map(([type, handler]): [string, Handler] => [
        type,
        types.includes(type)
          ? {
              ...handler,
              plan: (attributes) => ({ ...handler.plan(attributes), apply: () => Promise.resolve() }),
            }
          : handler,
      ]),
    );
    return { ...provider, handlers };
  };
}
