import { readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { LeasedPool, wait } from "./leased-pool";
import { Vault } from "./vault";

/** An application that answers each request with the rows of a query. What it is told is in README.md. */
async function main(): Promise<void> {
  const log = (text: string) => {
    console.error(text);
  };
  const increment = seconds("INCREMENT");
  const secretIdFile = setting("SECRET_ID_FILE");
  const vault = new Vault(setting("VAULT_ADDR"), process.env["VAULT_NAMESPACE"]);
  const logIn = async () => {
    const wrappedSecretId = readFileSync(secretIdFile, "utf8").trim();
    rmSync(secretIdFile);
    const login = { authMount: setting("AUTH_MOUNT"), appRole: setting("APP_ROLE"), wrappedSecretId };
    const ttl = await vault.logIn({ ...login, roleId: readFileSync(setting("ROLE_ID_FILE"), "utf8").trim() });
    return increment === undefined ? ttl : vault.renewToken(increment);
  };

  let tokenTtl = await logIn();
  const tokenIncrement = increment ?? tokenTtl;
  let tokenRenewals = 0;
  const pool = new LeasedPool({
    vault,
    credentials: setting("CREDENTIALS"),
    // Host, port, database and TLS: pg reads PGHOST, PGPORT, PGDATABASE and PGSSLMODE itself.
    postgres: { max: 4 },
    increment,
    maxAge: seconds("MAX_AGE"),
    log,
  });
  await pool.lease();

  const query = setting("QUERY");
  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (request.url === "/status") {
      answer(200, { leases: pool.leases, tokenRenewals });
      return;
    }
    pool.query(query).then(
      ({ rows }) => answer(200, rows),
      (error: unknown) => answer(503, { error: String(error) }),
    );
  });
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      stop.abort();
    });
  }
  server.listen(0, "127.0.0.1", () => {
    console.log(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`);
  });

  /** Past its max TTL a token needs another secret id: whoever delivers them puts one in the file again. */
  const keepToken = async () => {
    while (await wait((tokenTtl * 2000) / 3, stop.signal)) {
      tokenTtl = await vault.renewToken(tokenIncrement);
      tokenRenewals += 1;
      if (tokenTtl >= tokenIncrement) continue;
      log(`the token ends in ${String(tokenTtl)} s: ${secretIdFile} is read for another secret id`);
      tokenTtl = await logIn();
      // A lease ends with the token that took it.
      await pool.lease();
    }
  };
  await Promise.all([keepToken(), pool.keep(stop.signal)]);

  await new Promise((resolve) => server.close(resolve));
  await pool.end();
  // It may not revoke its token, but have it end soon, and with it what it leased.
  await vault.renewToken(1);
}

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

function seconds(name: string): number | undefined {
  const value = process.env[name];
  return value ? Number(value) : undefined;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
