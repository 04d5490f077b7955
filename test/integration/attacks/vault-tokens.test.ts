import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { VaultClient } from "../../../clients/vault-client";
import { Deployment } from "../../support/deployment";

/** What whoever holds a token of the trust model's could make of it: each attack is tried, none is asked about. */
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start();
});

afterAll(() => deployment.stop());

const CONFIG = "database/config/postgres-example";
const ROLE = "auth/approle/role/db-readonly-role";
const EVERYTHING = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }';

async function statuses(vault: VaultClient, path: string, bodies: readonly object[]): Promise<number[]> {
  const found: number[] = [];
  for (const body of bodies) found.push((await vault.request("POST", path, body)).status);
  return found;
}

/** A server that counts who connects, and answers as it is told to. */
class FakeServer {
  static async start(answer: (socket: Socket) => void): Promise<FakeServer> {
    const fake = new FakeServer(answer);
    await new Promise<void>((resolve) => fake.server.listen(0, "127.0.0.1", resolve));
    return fake;
  }

  connections = 0;
  private readonly server: Server;
  private readonly sockets: Socket[] = [];

  private constructor(answer: (socket: Socket) => void) {
    this.server = createServer((socket) => {
      this.connections += 1;
      this.sockets.push(socket);
      socket.on("error", () => undefined);
      answer(socket);
    });
  }

  get port(): string {
    return String((this.server.address() as AddressInfo).port);
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Speaks PostgreSQL as far as to be sent a password in clear text. */
function askForPassword(seen: string[]): (socket: Socket) => void {
  return (socket) => {
    let isStarted = false;
    socket.on("data", (data) => {
      if (!isStarted) {
        isStarted = true;
        // AuthenticationCleartextPassword
        socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]));
        return;
      }
      // PasswordMessage
      if (data[0] === 0x70) seen.push(data.subarray(5, -1).toString());
      socket.destroy();
    });
  };
}

describe("the operator", () => {
  let listener: FakeServer;
  let passwords: string[];

  beforeEach(async () => {
    passwords = [];
    listener = await FakeServer.start(askForPassword(passwords));
  });

  afterEach(() => listener.stop());

  test("has no other plugin read files of Vault's machine (attack 6)", async () => {
    const operator = deployment.as("operator");
    // Where MySQL's plugin asks, it says nothing for long.
    const listener = await FakeServer.start((socket) => socket.destroy());
    const mysql = {
      connection_url: `{{username}}:{{password}}@tcp(127.0.0.1:${listener.port})/x?allowAllFiles=true&timeout=2s`,
      ...{ username: "u", password: "p", allowed_roles: "*" },
    };
    const plugins = ["mysql-database-plugin", "mysql-legacy-database-plugin", "mysql-aurora-database-plugin"];
    const bodies = plugins.flatMap((plugin) => [
      { ...mysql, plugin_name: plugin },
      { ...mysql, PLUGIN_NAME: plugin, plugin_name: plugin },
      { ...mysql, plugin_name: plugin, verify_connection: false },
    ]);
    for (const path of [CONFIG, "database/config/other"]) {
      const found = await statuses(operator, path, bodies);
      expect({ found, connections: listener.connections }).toEqual({
        found: bodies.map(() => 403),
        connections: 0,
      });
    }
    await listener.stop();
  });

  test("has PostgreSQL's plugin read no password file of Vault's machine, and connect nowhere else (attack 6)", async () => {
    const operator = deployment.as("operator");
    const elsewhere = `127.0.0.1:${listener.port}/nanvc?sslmode=disable&passfile=/etc/passwd`;
    const url = `postgresql://{{username}}@${elsewhere}`;
    const plugin = { plugin_name: "postgresql-database-plugin" };
    const { connection_details: details } = (await deployment.root.call("GET", CONFIG)).data as {
      connection_details: { connection_url: string };
    };
    const declared = details.connection_url;
    const bodies = [
      { connection_url: url },
      { ...plugin, connection_url: url },
      { connection_url: [url] },
      { CONNECTION_URL: url },
      { Connection_Url: url, connection_url: declared },
      { connection_url: `${declared},${url}` },
      // No URL to the driver, which then connects to its defaults.
      { connection_url: ` ${declared}` },
      { connection_url: `\t${declared},${declared}` },
      { connection_url: `\u00a0${declared}` },
      { connection_url: `\u2028${declared}` },
      { connection_url: `${declared}&host=127.0.0.1&port=${listener.port}` },
      { connection_details: { connection_url: url } },
      // What becomes part of the URL.
      { disable_escaping: true, username: "vault", password: `x@${elsewhere}&a=` },
      { username: `x:y@${elsewhere}&a=`, disable_escaping: true },
      { DISABLE_ESCAPING: true, username: `x:y@${elsewhere}&a=` },
      { username: "somebody_else" },
      // Others of the plugin's.
      { tls_ca: "x" },
      { tls_certificate: "x", private_key: "x" },
      { self_managed: true },
      { "\u017felf_managed": true },
      { auth_type: "gcp_iam", service_account_json: "{}" },
      { root_rotation_statements: [`SELECT '{{password}}'`] },
      { username_template: "{{.RoleName}}" },
      { password_authentication: "password" },
      { password_authentication: "" },
      { plugin_version: "v1.0.0" },
    ];
    expect(await statuses(operator, CONFIG, bodies)).toEqual(bodies.map(() => 403));
    expect(await statuses(operator, "database/config/other", [{ ...plugin, connection_url: url }])).toEqual([
      403,
    ]);
    // What Vault may let pass because it is empty changes nothing.
    for (const empty of ["", []]) await operator.request("POST", CONFIG, { connection_url: empty });
    expect((await deployment.root.call("GET", CONFIG)).data).toMatchObject({
      plugin_name: "postgresql-database-plugin",
      connection_details: details,
    });
    expect(listener.connections).toBe(0);
  });

  test("has Vault send the manager's password nowhere else (attack 9)", async () => {
    const operator = deployment.as("operator");
    const url = `postgresql://{{username}}:{{password}}@127.0.0.1:${listener.port}/nanvc?sslmode=disable`;
    const found = await statuses(operator, CONFIG, [{ connection_url: url }]);
    expect({ found, passwords }).toEqual({ found: [403], passwords: [] });
    // Away with the connection, and another one in its place.
    const { data } = await deployment.root.call("GET", CONFIG);
    await operator.call("DELETE", CONFIG);
    expect(
      await statuses(operator, CONFIG, [
        { plugin_name: "postgresql-database-plugin", connection_url: url, username: "vault", password: "x" },
      ]),
    ).toEqual([403]);
    const { connection_details: details, allowed_roles: roles } = data as {
      connection_details: { connection_url: string };
      allowed_roles: string[];
    };
    const variables = deployment.sandbox.variables("vault");
    await operator.call("POST", CONFIG, {
      plugin_name: "postgresql-database-plugin",
      connection_url: details.connection_url,
      username: "vault",
      password: variables["vault_manager_password"],
      allowed_roles: roles.join(","),
    });
    expect({ passwords, connections: listener.connections }).toEqual({ passwords: [], connections: 0 });
  });

  test("with the verifier's token, or any other, is not root (attack 7)", async () => {
    const operator = deployment.as("operator");
    const policy = { policy: EVERYTHING };
    for (const name of [
      ...Object.values(deployment.manifest.policies!),
      ...["db-readonly-role", "db-wide", "other"],
    ])
      expect([name, await statuses(operator, `sys/policies/acl/${name}`, [policy])]).toEqual([name, [403]]);
    for (const who of ["operator", "planner", "deliverer", "verifier"] as const) {
      const vault = deployment.as(who);
      expect([who, await statuses(vault, "sys/mounts/theirs", [{ type: "kv" }])]).toEqual([who, [403]]);
      expect([who, await statuses(vault, "auth/token/create", [{}])]).toEqual([who, [403]]);
    }
    // What the verifier logs in as can't be given more either.
    await deployment.root.call("PUT", "sys/policies/acl/theirs", policy);
    const bodies = [
      { token_policies: ["theirs"] },
      { token_policies: "theirs" },
      { token_policies: "db-readonly-role,theirs" },
      { token_policies: ["db-readonly-role", "theirs"] },
      { token_policies: ["default"] },
      { TOKEN_POLICIES: ["theirs"] },
      { policies: ["theirs"] },
      { POLICIES: "theirs" },
      { token_policies: ["db-readonly-role"], policies: "theirs" },
      { token_policies: ["leasehold-local-operator"] },
    ];
    expect(await statuses(operator, ROLE, bodies)).toEqual(bodies.map(() => 403));
    expect(await statuses(operator, "auth/approle/role/db-other", bodies)).toEqual(bodies.map(() => 403));
    for (const path of [`${ROLE}/token-policies`, `${ROLE}/policies`])
      expect(await statuses(operator, path, [{ token_policies: "theirs", policies: "theirs" }])).toEqual([
        403,
      ]);
    const persona = await logIn(deployment.as("verifier"), deployment.as("verifier"));
    expect(await statuses(persona!, "sys/mounts/theirs", [{ type: "kv" }])).toEqual([403]);
    expect((await deployment.root.call("GET", ROLE)).data!["token_policies"]).toEqual(["db-readonly-role"]);
    await deployment.root.call("DELETE", "sys/policies/acl/theirs");
  });
});

test("the deliverer opens its own wrapping and can't log in: it has no role id (attack 10)", async () => {
  const deliverer = deployment.as("deliverer");
  expect(await logIn(deliverer, deliverer)).toBeUndefined();
  for (const [method, path] of [
    ["GET", ROLE],
    ["GET", `${ROLE}/role-id`],
    ["POST", `${ROLE}/role-id`],
    ["LIST", "auth/approle/role"],
    ["POST", `${ROLE}/secret-id-accessor/lookup`],
    ["POST", `${ROLE}/secret-id/lookup`],
  ] as const)
    expect([method, path, (await deliverer.request(method, path, {})).status]).toEqual([method, path, 403]);
});

/** With a secret id that one holder mints and opens, and the role id that one reads, if it may. */
async function logIn(minting: VaultClient, reading: VaultClient): Promise<VaultClient | undefined> {
  const wrapped = await minting.call("POST", `${ROLE}/secret-id`, {}, "60s");
  const opened = await minting.withToken(wrapped.wrap_info!.token).call("POST", "sys/wrapping/unwrap");
  const { status, body } = await reading.request("GET", `${ROLE}/role-id`);
  if (status === 403) return undefined;
  const login = { role_id: body.data!["role_id"], secret_id: opened.data!["secret_id"] };
  const { auth } = await minting.withToken().call("POST", "auth/approle/login", login);
  return minting.withToken(auth!.client_token);
}
