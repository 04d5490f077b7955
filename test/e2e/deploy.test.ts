import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { escapeIdentifier } from "pg";
import { rotateRoot } from "../../ops/vault/rotate";
import { INSTALLED_MAJOR, POSTGRES_MAJORS, postgresMajor } from "../../sandbox/postgres-binaries";
import { readConfiguration } from "../../sandbox/terraform-json";
import { testEnvironmentNames } from "../environments/load";
import { dump, readGolden, writeGolden } from "../golden/golden";
import { Deployment, findings } from "../support/deployment";
import { query } from "../support/hand-made";
import { PROJECT_ENVIRONMENTS } from "../support/project-environments";
import { record } from "../support/seen";
import { cdktf, plan } from "./terraform";

const STACKS = ["postgres", "vault"] as const;

/** With `--all` every environment, those of the tests too; LEASEHOLD_E2E_ENVIRONMENTS names some. */
const ENVIRONMENTS = process.env["LEASEHOLD_E2E_ENVIRONMENTS"]?.split(",") ?? [
  ...(process.env["LEASEHOLD_E2E_ALL"] ? [...PROJECT_ENVIRONMENTS, ...testEnvironmentNames()] : ["local"]),
];

/** With `--all` every version of PostgreSQL; LEASEHOLD_POSTGRES names one. */
const VERSIONS = process.env["LEASEHOLD_E2E_ALL"]
  ? POSTGRES_MAJORS
  : [postgresMajor(process.env["LEASEHOLD_POSTGRES"] || String(INSTALLED_MAJOR))];

/** A real `cdktf deploy` with the real providers, on a PostgreSQL and a Vault of this run. The tests are its steps, in order. */
describe.each(ENVIRONMENTS.flatMap((env) => VERSIONS.map((major) => [env, major] as const)))(
  "the environment %s on PostgreSQL %i",
  (env, major) => {
    let deployment: Deployment;

    beforeAll(async () => {
      deployment = await Deployment.start({ env, apply: false, postgresMajor: major });
      before = await roles();
    }, 60_000);

    afterAll(() => deployment.stop());

    /** Of each server. */
    const roles = () =>
      Promise.all(
        [...deployment.sandbox.servers.values()].map((server) =>
          query(server, "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1"),
        ),
      );
    let before: unknown[][];

    const resources = (stack: string) =>
      readConfiguration(join(deployment.synthesized, "stacks", stack, "cdk.tf.json")).resources;

    const stateFile = (stack: string) => {
      const folder = join(deployment.synthesized, "stacks", stack);
      const { terraform } = JSON.parse(readFileSync(join(folder, "cdk.tf.json"), "utf8")) as {
        terraform: { backend: { local: { path: string } } };
      };
      return join(folder, terraform.backend.local.path);
    };

    const inState = (stack: string) =>
      (JSON.parse(readFileSync(stateFile(stack), "utf8")) as { resources: unknown[] }).resources.length;

    test.each(STACKS)("cdktf deploy %s, as the operator", async (stack) => {
      const count = resources(stack).length;
      const { code, output } = await cdktf(deployment, "deploy", stack);
      // By the state: of a long plan cdktf does not always print what comes after it.
      expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
      expect(inState(stack)).toBe(count);
    });

    test("the state equals the golden dump", async () => {
      const state = await dump(deployment);
      if (process.env["UPDATE_GOLDEN"]) writeGolden(deployment, state);
      expect(state).toEqual(readGolden(deployment));
    });

    test("cdktf deploy again, the root rotated where the config says so: nothing to do", async () => {
      await rotateRoot(deployment.as("operator"), deployment.manifest);
      for (const stack of STACKS) {
        const { code, output } = await cdktf(deployment, "deploy", stack);
        expect(output).not.toMatch(/Plan: |Resources: (?!0 added, 0 changed, 0 destroyed)/);
        expect(code).toBe(0);
      }
    });

    test("the verifier holds", async () => {
      const report = await deployment.verify();
      record(report, deployment.sandbox.vault.label, "cdktf deploy");
      expect(findings(report)).toEqual([]);
      expect(report.left).toEqual([]);
    });

    test("the plan is empty with leases alive, for the planner", async () => {
      for (const { vault, personas, server } of deployment.manifest.databases) {
        for (const { databaseRole } of personas)
          await deployment.root.call("GET", `${vault.mount}/creds/${databaseRole.name}`);
        const leased = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'";
        expect((await query(deployment.sandbox.servers.get(server)!, leased)).length).toBeGreaterThanOrEqual(
          personas.length,
        );
      }
      for (const stack of STACKS) {
        const { code, output } = await plan(deployment, stack);
        expect(output).toContain("No changes.");
        expect(code).toBe(0);
      }
    });

    test("no password or token stands in what was synthesized, in state, or in a plan", () => {
      const { tokens, rootToken } = deployment.sandbox.initialised;
      const variables = {
        ...deployment.sandbox.variables("postgres"),
        ...deployment.sandbox.variables("vault"),
      };
      const passwords = Object.entries(variables).filter(([name]) => name.endsWith("_password"));
      const { servers, databases } = deployment.manifest;
      expect(passwords).toHaveLength(servers.length + databases.length);
      const secrets = [...passwords.map(([, value]) => String(value)), ...Object.values(tokens), rootToken];
      const states = STACKS.map(stateFile);
      const folder = deployment.workspace.folder;
      const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
        .map((name) => join(folder, name))
        .filter(
          (file) =>
            (file.includes("cdktf.out") || states.some((state) => file.startsWith(state))) &&
            !file.includes(".terraform/") &&
            statSync(file).isFile(),
        );
      expect(files).toEqual(expect.arrayContaining(states));
      const hits = files.filter((file) =>
        secrets.some((secret) => readFileSync(file, "utf8").includes(secret)),
      );
      expect(hits).toEqual([]);
    });

    test("destroy, leases revoked first, leaves no role; a database that the stack made is refused", async () => {
      const operator = deployment.as("operator");
      for (const database of deployment.manifest.databases) {
        await operator.call("PUT", `sys/leases/revoke-prefix/${database.vault.mount}/creds`, { sync: true });
        const client = await deployment.connect(database);
        await client.query(`DROP TABLE IF EXISTS ${escapeIdentifier(database.schemas[0]!.name)}.users`);
        await client.end();
      }
      const vault = await cdktf(deployment, "destroy", "vault");
      expect(vault).toMatchObject({ code: 0 });

      const postgres = await cdktf(deployment, "destroy", "postgres");
      if (resources("postgres").some(({ type }) => type === "postgresql_database")) {
        expect(postgres.code).not.toBe(0);
        for (const database of deployment.manifest.databases)
          await deployment.connect(database).then((client) => client.end());
        return;
      }
      expect(postgres).toMatchObject({ code: 0 });
      expect(await roles()).toEqual(before);
    });
  },
);
