import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CertificateAuthority } from "../../sandbox/certificates";
import { Deployment, findings } from "../support/deployment";
import { temporaryFolder } from "../support/folder";
import { Program } from "../support/program";

/** The environment external: servers that take TLS alone, with certificates of an authority of their own. */
let deployment: Deployment;
let env: NodeJS.ProcessEnv;
let otherCa: string;
let otherCaFile: string;
const { folder, remove } = temporaryFolder();

beforeAll(async () => {
  deployment = await Deployment.start({ env: "external" });
  const { vault, postgres, caFile, initialised } = deployment.sandbox;
  otherCa = (await CertificateAuthority.create()).certificate;
  otherCaFile = join(folder, "other.crt");
  writeFileSync(otherCaFile, otherCa);
  env = {
    VAULT_ADDR: vault.address,
    VAULT_TOKEN: initialised.tokens.verifier,
    VAULT_CACERT: caFile,
    PGHOST: postgres.host,
    PGPORT: String(postgres.port),
    PGSSLROOTCERT: caFile,
  };
});

afterAll(async () => {
  await deployment.stop();
  remove();
});

const verify = (more: NodeJS.ProcessEnv) =>
  new Program(["verify", "--manifest", join(deployment.synthesized, "access.json")], { ...env, ...more });

test("it holds, and an application's pool with it", async () => {
  expect(deployment.sandbox.vault.address).toMatch(/^https:/);
  const { databases } = deployment.manifest;
  const pool = { kind: "pool", reader: "report" } as const;
  for (const manifest of [
    deployment.manifest,
    { ...deployment.manifest, databases: databases.map((database) => ({ ...database, workload: pool })) },
  ]) {
    const report = await deployment.verify({ manifest });
    expect(findings(report)).toEqual([]);
    expect(report.left).toEqual([]);
  }
});

test("leasehold verify checks both certificates", async () => {
  const program = verify({});
  expect({ code: await program.ended, output: program.output }).toMatchObject({ code: 0 });
  expect(program.output).toContain("left behind: nothing");
});

test.each<[string, () => NodeJS.ProcessEnv, RegExp]>([
  [
    "another authority's certificate for Vault",
    () => ({ VAULT_CACERT: otherCaFile }),
    /^Vault does not answer at https:\S+: its certificate is not trusted/,
  ],
  [
    "another authority's certificate for PostgreSQL",
    () => ({ PGSSLROOTCERT: otherCaFile }),
    /^PostgreSQL at \S+ can't be reached: .*certificate/,
  ],
  [
    "no certificate for Vault",
    () => ({ VAULT_CACERT: "" }),
    /^Vault does not answer at https:\S+: its certificate is not trusted/,
  ],
  ["no certificate for PostgreSQL", () => ({ PGSSLROOTCERT: "" }), /^PGSSLROOTCERT is not set: /],
  [
    "a certificate that is not there",
    () => ({ VAULT_CACERT: "/nowhere/ca.crt" }),
    /^VAULT_CACERT can't be read: ENOENT/,
  ],
  [
    "no TLS",
    () => ({ PGSSLMODE: "disable" }),
    /^PostgreSQL at \S+ refuses a session \(28000: .*no encryption\): /,
  ],
  [
    "TLS without a check",
    () => ({ PGSSLMODE: "require" }),
    /^PGSSLMODE: received "require", allowed: verify-full, disable$/,
  ],
])("leasehold verify with %s: one line, exit code 2", async (_, more, line) => {
  const program = verify(more());
  expect(await program.ended).toBe(2);
  expect(program.output.trim()).toMatch(line);
  expect(program.output.trim().split("\n")).toHaveLength(1);
  expect(await deployment.leasedRoles()).toEqual([]);
});

test("Vault does not connect to a PostgreSQL whose certificate another authority vouches for", async () => {
  const path = "database/config/app";
  const { connection_details: details, allowed_roles } = (await deployment.root.call("GET", path)).data as {
    connection_details: { connection_url: string };
    allowed_roles: string[];
  };
  const refused = await deployment.root.request("POST", path, {
    ...{ plugin_name: "postgresql-database-plugin", allowed_roles, ...details },
    password: String(deployment.sandbox.variables("vault")["vault_manager_password"]),
    // HashiCorp's Vault looks at the one, OpenBao at the other.
    tls_ca: otherCa,
    connection_url: details.connection_url.replace(/sslrootcert=.*/, `sslrootcert=${otherCaFile}`),
  });
  expect(refused).toMatchObject({
    status: 400,
    body: { errors: [expect.stringMatching(/certificate signed by unknown authority/)] },
  });
});
