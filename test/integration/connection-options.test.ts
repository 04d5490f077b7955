import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { dirname } from "node:path";
import { CertificateAuthority } from "../../sandbox/certificates";
import { apply } from "../../sandbox/engine";
import { postgresqlProvider } from "../../sandbox/postgresql-provider";
import { policyText } from "../../sandbox/policy-text";
import { readSynthesized } from "../../sandbox/synthesized";
import { vaultProvider } from "../../sandbox/vault-provider";
import twoServers from "../environments/two-servers";
import type { EnvironmentInput } from "../../config/schema/schema";
import { Deployment, findings } from "../support/deployment";
import { query } from "../support/hand-made";

/** Two servers that exist. The second takes Vault's login with a certificate alone, and is the third of three hosts that Vault knows. */
const [orders, history] = twoServers.databases;
const CONFIG: EnvironmentInput = {
  ...twoServers,
  servers: [
    { name: "postgres", superuser: "postgres", database: "orders" },
    { name: "archive", superuser: "keeper", database: "history", tls: true, clientCertificate: true },
  ],
  vault: { authMount: "approle", namePrefix: "app-" },
  databases: [
    orders!,
    {
      ...history!,
      vault: {
        ...history!.vault,
        targetSessionAttrs: "read-write",
        sslMode: "verify-ca",
        usernameTemplate: "v-shop-{{.RoleName | truncate 5}}-{{random 20}}-{{unix_time}}",
        passwordPolicy: "long",
      },
    },
  ],
};
const POLICY = 'length = 41\nrule "charset" {\n  charset = "abcdefghijklmnopqrstuvwxyz"\n}';

let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({ config: CONFIG, apply: false });
});

afterAll(() => deployment.stop());

test("Vault reaches the host that it wants, shows its certificate, and names leased logins and makes passwords as declared", async () => {
  const { sandbox, workspace, root, synthesized } = deployment;
  const [first, archive] = [...sandbox.servers.values()];
  const authority = await CertificateAuthority.create();
  const client = await authority.issue("clientAuth");
  const files = { ca: client.ca, cert: client.certificate, key: client.key };
  const path = (name: keyof typeof files) => workspace.path(`client.${name}`);
  for (const name of ["cert", "key"] as const) writeFileSync(path(name), files[name], { mode: 0o600 });
  const hba = (await query(archive!, "SHOW hba_file"))[0] as string;
  const trusted = `${dirname(hba)}/clients.crt`;
  // The server runs as another user.
  writeFileSync(trusted, files.ca, { mode: 0o644 });
  writeFileSync(
    hba,
    "hostssl all vault all scram-sha-256 clientcert=verify-ca\nhostssl all all all scram-sha-256\n",
  );
  await query(archive!, `ALTER SYSTEM SET ssl_ca_file = '${trusted}'`);
  await query(archive!, "SELECT pg_reload_conf()");
  await root.call("PUT", "sys/policies/password/long", { policy: POLICY });

  const { stacks, policies, policyTexts } = readSynthesized(synthesized);
  const password = randomUUID();
  const hosts = [`127.0.0.1:${String(await closedPort())}`, `127.0.0.1:${String(first!.port)}`, "127.0.0.1"];
  const values: Record<string, string | number> = {
    ...sandbox.variables("postgres"),
    ...sandbox.variables("vault"),
    vault_manager_password: password,
    archive_vault_manager_password: password,
    vault_archive_host: hosts.join(","),
    vault_archive_sslcert: path("cert"),
    vault_archive_sslkey: path("key"),
  };
  // As init would have written it, which pins where Vault connects to.
  await root.call("PUT", `sys/policies/acl/${policies.operator}`, {
    policy: policyText(policyTexts.operator!, (name) => String(values[name] ?? "")),
  });
  await apply(stacks.postgres, values, { postgresql: postgresqlProvider });
  // A standby in Vault's eyes: the same database and the same login, and read-only.
  await query(first!, "CREATE DATABASE history");
  await query(first!, "ALTER DATABASE history SET default_transaction_read_only = on");
  await apply(stacks.vault, values, { vault: vaultProvider(sandbox.initialised.tokens.operator) });

  const { data: connection } = await root.call("GET", "archive/config/history");
  expect(connection).toMatchObject({
    connection_details: { connection_url: expect.stringContaining("?sslmode=verify-ca&") as string },
  });
  const { data } = await root.call("GET", "archive/creds/shop_report");
  const { username, password: made } = data as { username: string; password: string };
  expect(username).toMatch(/^v-shop-shop_-[A-Za-z0-9]{20}-\d{10}$/);
  expect(made).toMatch(/^[a-z]{41}$/);
  expect(await query(archive!, "SELECT session_user::text", { user: username, password: made })).toEqual([
    username,
  ]);
  // Without the certificate the password alone is not enough.
  await expect(query(archive!, "SELECT 1", { user: "vault", password })).rejects.toMatchObject({
    code: "28000",
  });
  expect(findings(await deployment.verify())).toEqual([]);
});

/** Of nobody. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
