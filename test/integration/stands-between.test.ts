import { writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import type { Client } from "pg";
import { Wire } from "../e2e/wire";
import { Deployment } from "../support/deployment";
import { query } from "../support/hand-made";
import { eventually, messages, Program } from "../support/program";
import { unless } from "../support/skip";

/** What stands between `leasehold verify` and the servers: it works, or it is one line, with exit code 2 and nothing left. */
let deployment: Deployment;

beforeAll(async () => {
  deployment = await Deployment.start({
    postgresSettings: { listen_addresses: "127.0.0.1, ::1", max_connections: "20" },
  });
});

afterAll(() => deployment.stop());

const verify = (env: NodeJS.ProcessEnv = {}) => {
  const { postgres, vault, initialised } = deployment.sandbox;
  return new Program(
    [
      ...["verify", "--no-expiry", "--only", "schema-owner,database.CONNECT"],
      ...["--manifest", join(deployment.synthesized, "access.json")],
    ],
    {
      VAULT_ADDR: vault.address,
      VAULT_TOKEN: initialised.tokens.verifier,
      PGHOST: postgres.host,
      PGPORT: String(postgres.port),
      ...env,
    },
  );
};

async function refusedWith(line: RegExp, env?: NodeJS.ProcessEnv): Promise<void> {
  const program = verify(env);
  const code = await program.ended;
  expect({ code, lines: messages(program.output) }).toEqual({
    code: 2,
    lines: [expect.stringMatching(line)],
  });
}

/** Who may come in without encryption from now on; a moment later, since the server reads the file when it gets to it. */
async function admit(range: string | undefined, host: string): Promise<void> {
  const others = "hostssl all all 127.0.0.1/32 scram-sha-256\n";
  const line = range === undefined ? "" : `host all all ${range} scram-sha-256\n`;
  writeFileSync(deployment.workspace.path("postgres-hba.conf"), others + line);
  await deployment.superuser.query("SELECT pg_reload_conf()");
  const isAdmitted = () =>
    query(deployment.sandbox.postgres, "SELECT 1", { host }).then(
      () => true,
      () => false,
    );
  await eventually(
    async () => (await isAdmitted()) === (range !== undefined),
    10_000,
    () => `${host} is treated as before`,
  );
}

/** So that Vault has to log in anew. */
async function endVaultsSessions(): Promise<void> {
  const name = deployment.manifest.databases[0]!.manager!;
  await deployment.superuser.query(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1",
    [name],
  );
}

const loopback = Object.values(networkInterfaces()).flat();
const onIPv6 = unless(
  !loopback.some((each) => each?.address === "::1") && "this machine has no ::1, as IPv6 has it",
);

onIPv6.describe(`an address of IPv6${onIPv6.because}`, () => {
  let wire: Wire;

  beforeAll(async () => {
    await admit("all", "::1");
    const { hostname: host, port } = new URL(deployment.sandbox.vault.address);
    wire = await Wire.open({ host, port: Number(port) }, { host: "::1" });
  });

  afterAll(() => {
    wire.close();
  });

  test.each(["::1", "[::1]", "0:0:0:0:0:0:0:1", "[0000::0001]"])("PGHOST=%s", async (PGHOST) => {
    const program = verify({ PGHOST });
    expect({ code: await program.ended, output: program.output }).toMatchObject({ code: 0 });
  });

  test.each(["http://[::1]:", "http://[0:0:0:0:0:0:0:1]:", "HTTP://[0000::0001]:"])(
    "VAULT_ADDR=%s…",
    async (start) => {
      const heard = wire.heard.length;
      const program = verify({ VAULT_ADDR: `${start}${String(wire.port)}/` });
      expect({ code: await program.ended, output: program.output }).toMatchObject({ code: 0 });
      expect(wire.heard.length).toBeGreaterThan(heard);
    },
  );

  test("VAULT_ADDR without brackets, which is no URL", () =>
    refusedWith(/^VAULT_ADDR must be an address and nothing else: set it to Vault's, such as /, {
      VAULT_ADDR: `http://::1:${String(wire.port)}`,
    }));
});

describe("a full server", () => {
  const sessions: Client[] = [];
  const fill = async () => {
    const connect = () => deployment.connect(deployment.manifest.databases[0]!);
    await expect(
      (async () => {
        for (;;) sessions.push(await connect());
      })(),
    ).rejects.toMatchObject({ code: "53300" });
  };

  beforeAll(async () => {
    // Vault keeps the session that it has.
    expect(await verify().ended).toBe(0);
    await fill();
  });

  afterAll(() => Promise.all(sessions.map((session) => session.end())));

  test("for the leased login, and nothing is left", async () => {
    await refusedWith(
      /^PostgreSQL at 127\.0\.0\.1:\d+ refuses a session \(53300: .*too many clients already\): it has no free connection: end sessions that idle, or raise max_connections$/,
    );
    expect(await deployment.leasedRoles()).toEqual([]);
  });

  test("for Vault's own login", async () => {
    await endVaultsSessions();
    await fill();
    await refusedWith(
      /^GET database\/creds\/\S+: HTTP 500: .*SQLSTATE 53300.*; of PostgreSQL: it has no free connection: end sessions that idle, or raise max_connections$/,
    );
  });
});

test("hostssl only, for the leased login and for Vault's own", async () => {
  expect(await verify().ended).toBe(0);
  await admit(undefined, "127.0.0.1");
  try {
    await refusedWith(
      /^PostgreSQL at 127\.0\.0\.1:\d+ refuses a session \(28000: .*no encryption\): it takes nobody from here without encryption: set PGSSLMODE to verify-full, and PGSSLROOTCERT$/,
    );
    expect(await deployment.leasedRoles()).toEqual([]);
    await endVaultsSessions();
    await refusedWith(
      /^GET database\/creds\/\S+: HTTP \d+: .*no encryption.*; of PostgreSQL: it takes nobody from here without encryption: deploy with tls: true of the server$/,
    );
  } finally {
    await admit("all", "127.0.0.1");
  }
});

test("a sealed Vault", async () => {
  await deployment.sandbox.sealVault();
  await refusedWith(/^Vault at http:\S+ is sealed: run npx leasehold init, or vault operator unseal$/);
  await deployment.sandbox.unsealVault();
});

test("a database that is not there", async () => {
  const { name } = deployment.manifest.databases[0]!;
  const { postgres } = deployment.sandbox;
  const elsewhere = { database: "postgres" };
  await query(
    postgres,
    `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${name}'`,
    elsewhere,
  );
  await query(postgres, `ALTER DATABASE ${name} RENAME TO renamed`, elsewhere);
  await refusedWith(
    /^GET database\/creds\/\S+: HTTP \d+: .*SQLSTATE 3D000.*; of PostgreSQL: the database is not there: create it, or correct the config and deploy$/,
  );
});
