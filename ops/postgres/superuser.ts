import { readFileSync } from "node:fs";
import { Client, DatabaseError } from "pg";
import { sessionRemedy, tooOld } from "../../clients/session-refusal";
import { SetupError } from "../../clients/setup-error";
import { LOGIN_REFUSED, NO_SUCH_DATABASE } from "../../clients/sqlstates";
import { distrust } from "../../clients/http";
import { printable } from "../../clients/text";
import type { SuperuserLogin } from "../deployment/deployment";

const CONNECT_TIMEOUT_MILLISECONDS = 10_000;

/**
 * Works as the superuser, in the server's first database or another one.
 * @returns undefined where the database is not there
 * @throws SetupError when the server does not answer or refuses the login, StatementError
 */
export async function asSuperuser<T>(
  login: SuperuserLogin,
  work: (client: Client) => Promise<T>,
  database = login.database,
): Promise<T | undefined> {
  const client = clientOf(login, database);
  try {
    try {
      await client.connect();
      const { pid, version } = await pin(client);
      const old = tooOld(`PostgreSQL at ${login.host}:${String(login.port)}`, version);
      if (old !== undefined) throw new SetupError(old);
      if ((client as unknown as { processID: number }).processID !== pid) throw poolerError(login);
    } catch (error) {
      if (error instanceof DatabaseError && error.code === NO_SUCH_DATABASE && database !== login.database)
        return undefined;
      throw error instanceof SetupError ? error : connectError(login, database, error);
    }
    return await work(client);
  } catch (error) {
    throw statementError(login, database, error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * Works as the superuser in each database of a server that roles own something in, or have rights in, and first in one that
 * is named. A role can't be dropped before.
 */
export async function whereverNamed(
  login: SuperuserLogin,
  roles: readonly string[],
  database: string,
  work: (client: Client, existing: readonly string[]) => Promise<unknown>,
): Promise<void> {
  const found = await asSuperuser(login, async (client) => {
    const names = await client.query<{ name: string }>(
      `SELECT DISTINCT datname AS name FROM pg_shdepend d JOIN pg_database b ON b.oid = d.dbid JOIN pg_roles r ON r.oid = d.refobjid
       WHERE d.refclassid = 'pg_authid'::regclass AND rolname = ANY ($1) AND datallowconn AND datname <> $2`,
      [roles, database],
    );
    const existing = await client.query<{ name: string }>(
      "SELECT rolname AS name FROM pg_roles WHERE rolname = ANY ($1)",
      [roles],
    );
    return { databases: names.rows.map(({ name }) => name), existing: existing.rows.map(({ name }) => name) };
  });
  const { databases, existing } = found!;
  if (existing.length === 0) return;
  for (const name of [database, ...databases])
    await asSuperuser(login, (client) => work(client, existing), name);
}

/**
 * So that no name is looked up in a schema that others may create in, such as the one with the superuser's name, and no lock
 * is waited for longer than that.
 */
async function pin(client: Client): Promise<{ pid: number; version: number }> {
  const { rows } = await client.query<{ pid: number; version: number }>(
    "SELECT pg_catalog.pg_backend_pid() AS pid, pg_catalog.current_setting('server_version_num')::pg_catalog.int4 AS version, pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false), pg_catalog.set_config('lock_timeout', '10s', false)",
  );
  return rows[0]!;
}

/** A pooler gives a process number of its own. Terraform's provider sets `options`, which it refuses, and what a session is set to would not hold. */
function poolerError({ host, port, variableFor }: SuperuserLogin): SetupError {
  return new SetupError(
    `a connection pooler answers at ${host}:${String(port)}, through which Terraform can't deploy: set ${variableFor("host")} and ${variableFor("port")} to PostgreSQL itself`,
  );
}

/** PostgreSQL refused a statement. The message is one line. */
export class StatementError extends SetupError {
  constructor(
    message: string,
    /** SQLSTATE. */
    readonly code: string | undefined,
    cause: unknown,
  ) {
    super(message, { cause });
  }
}

function statementError({ host, port }: SuperuserLogin, database: string, error: unknown): unknown {
  const where = `PostgreSQL at ${host}:${String(port)}`;
  if (error instanceof DatabaseError)
    return new StatementError(
      `${where} refused a statement in the database ${printable(database)} (${error.code ?? "no SQLSTATE"}): ${printable(error.message)}`,
      error.code,
      error,
    );
  const { message, syscall } = error as NodeJS.ErrnoException;
  if (syscall === "read" || syscall === "write" || message.startsWith("Connection terminated"))
    return new SetupError(`${where} ended the connection (${message}): run the command again`, {
      cause: error,
    });
  return error;
}

/** Not connected yet. */
export function clientOf({ host, port, user, password, ca }: SuperuserLogin, database: string): Client {
  const client = new Client({
    ...{ host, port, user, password, database },
    ssl: ca !== undefined && { ca: readFileSync(ca, "utf8") },
    application_name: "leasehold",
    connectionTimeoutMillis: CONNECT_TIMEOUT_MILLISECONDS,
  });
  client.on("error", () => undefined);
  return client;
}

function connectError(
  { host, port, user, variableFor }: SuperuserLogin,
  database: string,
  error: unknown,
): SetupError {
  const where = `${host}:${String(port)}`;
  if (error instanceof DatabaseError && error.code === NO_SUCH_DATABASE)
    return new SetupError(
      `PostgreSQL at ${where} has no database ${printable(database)}: create it, or correct the config`,
    );
  const encrypt = `set tls: true of the server in the config, and ${variableFor("ca-file")}`;
  const remedy =
    error instanceof DatabaseError ? sessionRemedy(error.message, error.code, encrypt) : undefined;
  if (error instanceof DatabaseError && remedy !== undefined)
    return new SetupError(
      `PostgreSQL at ${where} refuses a session (${error.code!}: ${printable(error.message)}): ${remedy}`,
    );
  if (error instanceof DatabaseError && LOGIN_REFUSED.includes(error.code ?? "")) {
    return new SetupError(
      `PostgreSQL at ${where} rejects the login of ${user} (${error.code!}): set ${variableFor("superuser-password")} to its password`,
    );
  }
  // Of several addresses that were tried, each has a reason and their sum has none.
  const { message, code } = error as NodeJS.ErrnoException;
  const untrusted = distrust(error as NodeJS.ErrnoException);
  if (untrusted !== undefined) {
    return new SetupError(
      `the certificate of PostgreSQL at ${where} is not trusted (${untrusted}): set ${variableFor("ca-file")} to the file with the certificate of its CA`,
    );
  }
  return new SetupError(
    `PostgreSQL does not answer at ${where} (${message || (code ?? "no reason")}): start it, or set ${variableFor("host")} and ${variableFor("port")}`,
  );
}
