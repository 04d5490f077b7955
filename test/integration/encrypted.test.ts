import { readFileSync, statSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { writeConnectionFile } from "../../sandbox/connection-file";
import { CertificateAuthority, type ServerTls } from "../../sandbox/certificates";
import type { PostgresServer } from "../../sandbox/postgres-server";
import type { Sandbox } from "../../sandbox/sandbox";
import { parseConfiguration, type JsonObject } from "../../sandbox/terraform-json";
import type { Workspace } from "../../sandbox/workspace";
import { apply } from "../../sandbox/engine";
import { vaultProvider } from "../../sandbox/vault-provider";
import { loginRefusal, Session } from "../../verify/session/session";
import { VaultClient, VaultUnreachable } from "../../clients/vault-client";
import { handMadeSandbox, providerBlock, query, variables, type HandMade } from "../support/hand-made";

const connection = (server: string, sslmode: string, more: JsonObject = {}): JsonObject => ({
  backend: "${vault_mount.database.path}",
  name: server,
  allowed_roles: [server],
  postgresql: {
    connection_url: `postgresql://{{username}}:{{password}}@\${var.vault_${server}_host}:\${var.vault_${server}_port}/${server === "postgres" ? "ledger" : "figures"}?sslmode=${sslmode}`,
    username: "keeper",
    password: "${var.keeper_password}",
    ...more,
  },
});
const role = (server: string): JsonObject => ({
  backend: "${vault_mount.database.path}",
  db_name: `\${vault_database_secret_backend_connection.${server}.name}`,
  name: server,
  creation_statements: [`CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}'`],
  default_ttl: 60,
});
const keeper = { name: "keeper", login: true, create_role: true, password: "${var.keeper_password}" };

/** Vault and the first server are encrypted, the second is not. */
const ENCRYPTED: HandMade = {
  access: {
    servers: [
      { name: "postgres", superuser: "boss", tls: true },
      { name: "reporting", superuser: "boss", tls: false },
    ],
    vault: { tls: true },
  },
  postgres: {
    provider: {
      postgresql: [
        providerBlock("postgres", "ledger", {
          sslmode: "verify-full",
          sslrootcert: "${var.postgres_sslrootcert}",
        }),
        providerBlock("reporting", "figures", { alias: "reporting" }),
      ],
    },
    variable: variables(
      ...["postgres", "reporting"].flatMap((name) => [
        `${name}_host`,
        `${name}_port`,
        `${name}_superuser_password`,
      ]),
      "postgres_sslrootcert",
      "keeper_password",
    ),
    resource: {
      postgresql_role: { first: keeper, second: { ...keeper, provider: "postgresql.reporting" } },
    },
  },
  vault: {
    provider: { vault: { address: "${var.vault_address}", ca_cert_file: "${var.vault_ca_cert_file}" } },
    variable: variables(
      ...[
        "vault_postgres_host",
        "vault_postgres_port",
        "vault_postgres_tls_ca",
        "vault_postgres_sslrootcert",
      ],
      ...["vault_reporting_host", "vault_reporting_port"],
      ...["vault_address", "vault_ca_cert_file", "keeper_password"],
    ),
    resource: {
      vault_mount: { database: { type: "database", path: "database" } },
      vault_database_secret_backend_connection: {
        // HashiCorp's Vault takes the attribute, OpenBao the file.
        postgres: connection("postgres", "verify-full&sslrootcert=${var.vault_postgres_sslrootcert}", {
          tls_ca: "${var.vault_postgres_tls_ca}",
        }),
        reporting: connection("reporting", "disable"),
      },
      vault_database_secret_backend_role: { postgres: role("postgres"), reporting: role("reporting") },
    },
  },
};

let sandbox: Sandbox;
let workspace: Workspace;
let stop: () => Promise<void>;
let postgres: PostgresServer;
let stranger: string;

beforeAll(async () => {
  ({ sandbox, workspace, stop } = await handMadeSandbox(ENCRYPTED));
  ({ postgres } = sandbox);
  stranger = (await CertificateAuthority.create()).certificate;
});

afterAll(async () => {
  for (const server of forwarding) server.close();
  await stop();
});

const forwarding: Server[] = [];

/** Another address of this machine that leads to a server: reachable, but not named by its certificate. */
async function forward(host: string, port: number): Promise<number> {
  const server = createServer((socket) => {
    const target = connect(port, "127.0.0.1");
    for (const end of [socket, target]) end.on("error", () => end.destroy());
    socket.pipe(target).pipe(socket);
  });
  forwarding.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, host, resolve);
  });
  return (server.address() as AddressInfo).port;
}

test("the engine applies through TLS, and Vault leases logins of an encrypted server and of one that is not", async () => {
  expect(await sandbox.apply()).toBe(7);
  const vault = sandbox.vaultClient(sandbox.initialised.tokens.operator);
  for (const server of sandbox.servers.values()) {
    const { data } = await vault.call("GET", `database/creds/${server.name}`);
    const { username: user, password } = data as { username: string; password: string };
    expect(
      await query(server, "SELECT (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())", {
        user,
        password,
      }),
    ).toEqual([server.name === "postgres"]);
  }
});

test("the authority's certificate is in the workspace, and the servers' keys are private", () => {
  expect(sandbox.caFile).toBe(workspace.path("ca.crt"));
  expect(readFileSync(sandbox.caFile!, "utf8")).toBe(postgres.ssl!.ca);
  expect(sandbox.vault.ca).toBe(postgres.ssl!.ca);
  for (const name of ["postgres.key", "vault.key"])
    expect((statSync(workspace.path(name)).mode & 0o777).toString(8)).toBe("600");
});

test("the connection file names the authority and every server", () => {
  const file = writeConnectionFile(sandbox, workspace.folder, workspace.path("connection"));
  const connection = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  const { port, password } = postgres;
  const first = { host: "127.0.0.1", port, database: "ledger", user: "boss", password };
  expect(connection).toMatchObject({
    vault: { address: sandbox.vault.address },
    postgres: first,
    servers: { postgres: first, reporting: { port: sandbox.servers.get("reporting")!.port } },
    caFile: sandbox.caFile,
  });
});

test("what a private authority needs is sent to Vault, and the namespace", async () => {
  const requests: { path: string; namespace: unknown; body: unknown }[] = [];
  const fake = createHttpServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.on("end", () => {
      const { "x-vault-namespace": namespace } = request.headers;
      requests.push({ path: request.url!, namespace, body: JSON.parse(text) });
      response.end();
    });
  });
  forwarding.push(fake);
  await new Promise<void>((resolve) => fake.listen(0, "127.0.0.1", resolve));
  const address = `http://127.0.0.1:${String((fake.address() as AddressInfo).port)}`;
  const tls = { tls_ca: "the authority", tls_certificate: "the client's", private_key: "its key" };
  const configuration = parseConfiguration({
    provider: { vault: { address, namespace: "team" } },
    resource: {
      vault_database_secret_backend_connection: {
        it: { backend: "database", name: "it", postgresql: { connection_url: "postgresql://x", ...tls } },
      },
    },
  });
  await apply(configuration, {}, { vault: vaultProvider("token") });
  expect(requests).toEqual([
    { path: "/v1/database/config/it", namespace: "team", body: expect.objectContaining(tls) as unknown },
  ]);
});

test("a standby that does not forward is followed to the active server, but not out of TLS", async () => {
  const { address, ca } = sandbox.vault;
  const asked: string[] = [];
  const own = await CertificateAuthority.create();
  const standby = async (location: string, tls?: ServerTls) => {
    const answer = (request: IncomingMessage, response: ServerResponse) => {
      asked.push(request.headers.host!);
      response.writeHead(307, { location }).end();
    };
    const server = tls
      ? createHttpsServer({ cert: tls.certificate, key: tls.key }, answer)
      : createHttpServer(answer);
    forwarding.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http${tls ? "s" : ""}://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  };
  const first = new VaultClient(await standby(`${address}/v1/sys/health`), undefined, undefined, ca);
  expect((await first.request("GET", "sys/health")).status).toBe(200);
  const twice = new VaultClient(await standby(first.address), undefined, undefined, ca);
  await expect(twice.request("GET", "sys/health")).rejects.toThrow(
    /is a standby, and its cluster has no active node/,
  );
  asked.length = 0;
  const plain = await standby("nowhere");
  const encrypted = await standby(`${plain}/v1/sys/health`, await own.issue());
  const outOfTls = new VaultClient(encrypted, "secret", undefined, own.certificate);
  await expect(outOfTls.request("GET", "sys/health")).rejects.toThrow(
    `Vault does not answer at ${encrypted}: it is a standby, and the active node, ${plain}, is not encrypted`,
  );
  expect(asked).toEqual([new URL(encrypted).host]);
});

describe("PostgreSQL", () => {
  const login = () => ({ username: postgres.superuser, password: postgres.password });
  const address = () => ({ host: postgres.host, port: postgres.port });

  test("refuses a session that is not encrypted", async () => {
    expect(await loginRefusal(address(), "ledger", login())).toBe("28000");
    expect(await loginRefusal(postgres, "ledger", login())).toBeUndefined();
    expect(
      await loginRefusal({ ...address(), host: "localhost", ssl: postgres.ssl }, "ledger", login()),
    ).toBeUndefined();
  });

  test("is refused where another authority is expected, or another name", async () => {
    await expect(
      Session.open({ ...address(), ssl: { ca: stranger } }, "ledger", login()),
    ).rejects.toMatchObject({ cause: { code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" } });
    // An address of this machine as well, but not one of the certificate's.
    await expect(
      Session.open(
        { host: "127.0.0.2", port: await forward("127.0.0.2", postgres.port), ssl: postgres.ssl },
        "ledger",
        login(),
      ),
    ).rejects.toMatchObject({ cause: { code: "ERR_TLS_CERT_ALTNAME_INVALID" } });
  });
});

describe("Vault", () => {
  const refusal = async (client: VaultClient) => {
    const error = await client.request("GET", "sys/health").then(
      () => new Error("answered"),
      (reason: unknown) => reason as Error,
    );
    expect(error).toBeInstanceOf(VaultUnreachable);
    return error.message;
  };

  test("answers who trusts its authority, by either of its names", async () => {
    const { address, ca } = sandbox.vault;
    expect(address).toMatch(/^https:/);
    for (const host of [address, address.replace("127.0.0.1", "localhost")]) {
      const { status } = await new VaultClient(host, undefined, undefined, ca).request("GET", "sys/health");
      expect(status).toBe(200);
    }
    expect((await sandbox.vaultClient("x").withToken().request("GET", "sys/health")).status).toBe(200);
  });

  test("is refused in one line where another authority is expected, or none, or another name", async () => {
    const { address, ca } = sandbox.vault;
    const untrusted = (reason: string) =>
      `Vault does not answer at ${address}: its certificate is not trusted (${reason})`;
    expect(await refusal(new VaultClient(address, undefined, undefined, stranger))).toBe(
      untrusted("unable to verify the first certificate"),
    );
    expect(await refusal(new VaultClient(address))).toBe(untrusted("unable to verify the first certificate"));
    const port = await forward("127.0.0.2", Number(new URL(address).port));
    expect(
      await refusal(new VaultClient(`https://127.0.0.2:${String(port)}`, undefined, undefined, ca)),
    ).toMatch(/its certificate is not trusted \(Hostname\/IP does not match certificate's altnames: .*\)$/);
  });

  test("is refused in one line where the address says http", async () => {
    const address = sandbox.vault.address.replace("https:", "http:");
    expect(await refusal(new VaultClient(address))).toBe(`${address} does not answer like Vault: HTTP 400`);
  });
});
