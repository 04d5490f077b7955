import { readdirSync } from "node:fs";
import { loadEnvironment } from "../../config/load";
import { Deployment } from "../../ops/deployment/deployment";
import { synthesizeApp } from "../../stacks/app";
import { temporaryFolder } from "../support/folder";

/** What the commands give Terraform for the variables of the stacks. */
const environment = { ...process.env };
let home: ReturnType<typeof temporaryFolder>;

beforeEach(() => {
  home = temporaryFolder();
  process.env["XDG_CONFIG_HOME"] = home.folder;
});

afterEach(() => {
  process.env = { ...environment };
  home.remove();
});

async function synthesized(name: string): Promise<Deployment> {
  const { folder, remove } = temporaryFolder();
  synthesizeApp(await loadEnvironment(name), folder);
  const deployment = Deployment.read(folder)!;
  remove();
  return deployment;
}

test("passwords and the files with them are made for containers, and stay", async () => {
  const deployment = await synthesized("local");
  const [platform, postgres, vault] = deployment.stacks.map((stack) => deployment.variables(stack));
  const { folder } = deployment.home;
  expect(platform).toEqual({ postgres_password_file: `${folder}/postgres-password` });
  expect(postgres).toEqual({
    postgres_superuser_password: expect.stringMatching(/^[\w-]{32}$/) as string,
    vault_manager_password: expect.stringMatching(/^[\w-]{32}$/) as string,
  });
  expect(vault).toEqual({ vault_manager_password: postgres!["vault_manager_password"] });
  const again = await synthesized("local");
  expect(again.variables(again.stack("postgres")!)).toEqual(postgres);
});

test("a plan makes nothing: a placeholder stands for what a deploy would make", async () => {
  const deployment = await synthesized("local");
  for (const stack of deployment.stacks)
    expect(new Set(Object.values(deployment.variables(stack, { forPlan: true })))).toEqual(
      new Set(["not-needed"]),
    );
  expect(readdirSync(home.folder)).toEqual([]);
});

test("the superuser's password of a server that exists already is not made, and named where it is missing", async () => {
  process.env["TF_VAR_postgres_host"] = "db.example.com";
  process.env["TF_VAR_postgres_sslrootcert"] = "/ca.crt";
  const deployment = await synthesized("external");
  const stack = deployment.stack("postgres")!;
  expect(() => deployment.variables(stack)).toThrow(
    /^TF_VAR_postgres_superuser_password is not set: the bootstrap superuser's password on the PostgreSQL server postgres$/,
  );
  process.env["TF_VAR_postgres_superuser_password"] = "given";
  expect(deployment.variables(stack)).toMatchObject({ postgres_superuser_password: "given" });
});

test("Vault's address may come from VAULT_ADDR, and is checked under the name that it came by", async () => {
  const deployment = await synthesized("external");
  const stack = deployment.stack("vault")!;
  for (const name of ["VAULT_ADDR", "TF_VAR_vault_address"]) {
    process.env[name] = "https://user:geheim@vault.example.com";
    expect(() => deployment.variables(stack, { forPlan: true })).toThrow(
      `${name} must be an address and nothing else`,
    );
  }
});
