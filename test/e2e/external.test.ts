import { readFileSync, writeFileSync } from "node:fs";
import { Checkout } from "../../bench/checkout";
import { CertificateAuthority } from "../../sandbox/certificates";
import type { Report } from "../../verify/report";
import { Deployment } from "../integration/deployment";
import { query } from "../integration/hand-made";
import { record } from "../seen";
import { run, type Ended } from "./terraform";

/**
 * The environment external by the command line, with the real Terraform and providers: servers that exist already and take
 * TLS alone, with certificates of an authority of their own, in a namespace of Vault's. The tests are its steps, in order.
 */
let servers: Deployment;
let checkout: Checkout;
let env: NodeJS.ProcessEnv;
let otherCaFile: string;

beforeAll(async () => {
  servers = await Deployment.start({ env: "external", apply: false });
  const { sandbox, root } = servers;
  checkout = new Checkout("external");
  otherCaFile = checkout.path("other.crt");
  writeFileSync(otherCaFile, (await CertificateAuthority.create()).certificate);
  const variables = {
    ...sandbox.variables("postgres"),
    ...sandbox.variables("vault"),
  };
  env = checkout.env({
    NO_COLOR: "1",
    ...Object.fromEntries(
      Object.entries(variables).map(([name, value]) => [`TF_VAR_${name}`, String(value)]),
    ),
  });
  // HashiCorp's has them in its Enterprise edition alone.
  if (sandbox.vault.product !== "OpenBao") return;
  await root.call("PUT", "sys/namespaces/team");
  env["VAULT_NAMESPACE"] = "team";
}, 60_000);

afterAll(async () => {
  await servers.stop();
  checkout.remove();
});

function leasehold(args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return run(process.execPath, ["--import", "tsx", "cli.ts", ...args], {
    cwd: checkout.folder,
    env: { ...env, ...more },
  });
}

/** Lines that are no progress. */
const lines = (output: string) => output.split("\n").filter((line) => line !== "" && !/^[❯✔✖›]/.test(line));

const roles = () =>
  query(servers.sandbox.postgres, "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1");

test("init, with a token of the Vault's owner", async () => {
  const { rootToken } = servers.sandbox.initialised;
  const { code, output } = await leasehold(["init"], { VAULT_TOKEN: rootToken });
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
});

test.each<[string, RegExp]>([
  ["TF_VAR_vault_ca_cert_file", /^Vault does not answer at https:\S+: its certificate is not trusted/],
  [
    "TF_VAR_postgres_sslrootcert",
    /^the certificate of PostgreSQL at \S+ is not trusted \(.*\): set TF_VAR_postgres_sslrootcert to the file/,
  ],
])("another authority's certificate in %s: one line, exit code 2, nothing changed", async (name, line) => {
  const { code, output } = await leasehold(["deploy"], { [name]: otherCaFile });
  expect({ code, lines: lines(output) }).toEqual({ code: 2, lines: [expect.stringMatching(line)] });
  expect(await roles()).toEqual(["postgres"]);
});

test("deploy, again, diff and verify", async () => {
  const { code, output } = await leasehold(["deploy"]);
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(await leasehold(["deploy"])).toEqual({
    code: 0,
    output: expect.stringContaining("Nothing to do") as string,
  });
  expect(await leasehold(["diff"])).toMatchObject({ code: 0 });
  const json = checkout.path("report.json");
  const verified = await leasehold(["verify", "--no-expiry", "--json", json]);
  expect({ code: verified.code, output: verified.output }).toEqual({
    code: 0,
    output: expect.stringContaining("left behind: nothing") as string,
  });
  const { product, version } = servers.sandbox.vault;
  record(
    JSON.parse(readFileSync(json, "utf8")) as Report,
    `${product} ${version}`,
    "leasehold deploy, TLS, namespace",
  );
});

test("all of it is in the namespace", async () => {
  if (!env["VAULT_NAMESPACE"]) return;
  expect((await servers.root.call("GET", "sys/mounts")).data).not.toHaveProperty("database/");
});

test("destroy leaves no role", async () => {
  const { code, output } = await leasehold(["destroy", "--auto-approve", "--delete-data"]);
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(await roles()).toEqual(["postgres"]);
});
