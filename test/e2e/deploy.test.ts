import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { dump, readGolden, writeGolden } from "../golden/golden";
import { Deployment, findings } from "../integration/deployment";
import { cdktf, plan } from "./terraform";

/** A real `cdktf deploy` with the real providers, on a PostgreSQL and a Vault of this run. The tests are its steps, in order. */
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ apply: false });
}, 60_000);

afterAll(() => deployment.stop());

test.each([
  ["postgres", 45],
  ["vault", 17],
])("cdktf deploy %s: %d resources, as the operator", async (stack, count) => {
  const { code, output } = await cdktf(deployment, "deploy", stack);
  expect(output).toContain(`Apply complete! Resources: ${String(count)} added, 0 changed, 0 destroyed.`);
  expect(code).toBe(0);
});

test("the state equals the golden dump", async () => {
  const state = await dump(deployment);
  if (process.env["UPDATE_GOLDEN"]) writeGolden(deployment, state);
  expect(state).toEqual(readGolden(deployment));
});

test.each(["postgres", "vault"])("cdktf deploy %s again: nothing to do", async (stack) => {
  const { code, output } = await cdktf(deployment, "deploy", stack);
  expect(output).toContain("No changes.");
  expect(code).toBe(0);
});

test("the verifier holds", async () => {
  const report = await deployment.verify();
  expect(findings(report)).toEqual([]);
  expect(report.left).toEqual([]);
});

test("the plan is empty with leases alive, for the planner", async () => {
  const [{ vault, personas }] = deployment.manifest.databases as [(typeof deployment.manifest.databases)[0]];
  for (const { databaseRole } of personas)
    await deployment.root.call("GET", `${vault.mount}/creds/${databaseRole.name}`);
  expect(await deployment.leasedRoles()).toHaveLength(personas.length);
  for (const stack of ["postgres", "vault"]) {
    const { code, output } = await plan(deployment, stack);
    expect(output).toContain("No changes.");
    expect(code).toBe(0);
  }
});

test("no password or token stands in what was synthesized, in state, or in a plan", () => {
  const { tokens, rootToken } = deployment.sandbox.initialised;
  const variables = { ...deployment.sandbox.variables("postgres"), ...deployment.sandbox.variables("vault") };
  const passwords = Object.entries(variables).filter(([name]) => name.endsWith("_password"));
  expect(passwords).toHaveLength(2);
  const secrets = [...passwords.map(([, value]) => String(value)), ...Object.values(tokens), rootToken];
  const folder = deployment.workspace.folder;
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter(
      (file) => /cdktf\.out|tfstate/.test(file) && !file.includes(".terraform/") && statSync(file).isFile(),
    );
  expect(files.filter((file) => file.endsWith(".tfstate"))).toHaveLength(2);
  const hits = files.filter((file) => secrets.some((secret) => readFileSync(file, "utf8").includes(secret)));
  expect(hits).toEqual([]);
});

test("destroy, leases revoked first, leaves no role", async () => {
  await deployment.as("operator").call("PUT", "sys/leases/revoke-prefix/database/creds", { sync: true });
  await deployment.superuser.query("DROP TABLE example.users");
  for (const stack of ["vault", "postgres"]) {
    const { code, output } = await cdktf(deployment, "destroy", stack);
    expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  }
  const { rows } = await deployment.superuser.query<{ rolname: string }>(
    "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'",
  );
  expect(rows).toEqual([{ rolname: deployment.sandbox.postgres.superuser }]);
});
