import { Client, DatabaseError } from "pg";
import type { Evidence } from "./report";

/** Where PostgreSQL is; the database and the login come from elsewhere. */
export interface PostgresAddress {
  readonly host: string;
  readonly port: number;
  /**
   * Certificates of the authority that vouches for the server's, as PEM text: the session is encrypted, and the server must
   * be the one that its certificate names (libpq's verify-full).
   * @default - no TLS
   */
  readonly ssl?: { readonly ca: string };
}

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** A statement's fate: rows, or the SQLSTATE that refused it. */
export type Outcome =
  | { readonly rows: readonly Record<string, unknown>[]; readonly count: number }
  | { readonly sqlstate: string; readonly message: string };

export const INSUFFICIENT_PRIVILEGE = "42501";
const CONNECT_TIMEOUT_MILLISECONDS = 10_000;
const END_TIMEOUT_MILLISECONDS = 10_000;
/** So that a check waits for nobody's lock, and no statement hangs a run. */
const LIMITS = "-c lock_timeout=3s -c statement_timeout=15s";

export function describe(outcome: Outcome): string {
  return "sqlstate" in outcome
    ? `SQLSTATE ${outcome.sqlstate}`
    : `${String(outcome.count)} ${outcome.count === 1 ? "row" : "rows"}`;
}

/** The named text of the first row, where there is one. */
export function firstText(outcome: Outcome, column: string): string | undefined {
  const value = "rows" in outcome ? outcome.rows[0]?.[column] : undefined;
  return typeof value === "string" ? value : undefined;
}

/** A login's session. Every statement that goes through it is evidence. */
export class Session {
  private readonly ended: Promise<string>;
  private closed = false;

  /** @throws DatabaseError with the server's SQLSTATE, or the network's error */
  static async open(
    address: PostgresAddress,
    database: string,
    { username, password }: Login,
  ): Promise<Session> {
    const client = new Client({
      host: address.host,
      port: address.port,
      ssl: address.ssl ?? false,
      database,
      user: username,
      password,
      options: LIMITS,
      application_name: "leasehold verify",
      connectionTimeoutMillis: CONNECT_TIMEOUT_MILLISECONDS,
    });
    const session = new Session(client);
    await client.connect();
    return session;
  }

  private constructor(private readonly client: Client) {
    this.ended = new Promise((resolve) => {
      client.on("error", (error) => {
        resolve(error instanceof DatabaseError ? (error.code ?? "") : "connection closed");
      });
      client.on("end", () => {
        resolve("connection closed");
      });
    });
  }

  /** Sends one statement, or several, and keeps what came back. */
  async attempt(sql: string, evidence: Evidence[]): Promise<Outcome> {
    const outcome = await this.send(sql);
    evidence.push({ sent: sql, got: describe(outcome) });
    return outcome;
  }

  /** As {@link attempt}, in a transaction that is rolled back. */
  async attemptAndRollBack(sql: string, evidence: Evidence[]): Promise<Outcome> {
    await this.client.query("BEGIN");
    const outcome = await this.attempt(sql, evidence);
    await this.client.query("ROLLBACK");
    return outcome;
  }

  /** @throws DatabaseError where the statement is refused */
  async query<Row>(sql: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.client.query(sql, values)).rows as Row[];
  }

  private async send(sql: string): Promise<Outcome> {
    try {
      const result = await this.client.query<Record<string, unknown>>(sql);
      // Several statements give a list, though the types know of one result.
      const { rows, rowCount } = [result].flat().at(-1)!;
      return { rows, count: rowCount ?? 0 };
    } catch (error) {
      if (error instanceof DatabaseError && error.code)
        return { sqlstate: error.code, message: error.message };
      throw error;
    }
  }

  /** Waits, within a bound, for the server to end the session. Returns the SQLSTATE with which it did. */
  async waitForEnd(): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const bound = new Promise<string>((resolve) => {
      timer = setTimeout(resolve, END_TIMEOUT_MILLISECONDS, "still open");
    });
    const end = await Promise.race([this.ended, bound]);
    clearTimeout(timer);
    return end;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.client.end().catch(() => undefined);
  }
}

/** Tries to log in. Returns undefined on success, else the SQLSTATE. */
export async function loginRefusal(
  address: PostgresAddress,
  database: string,
  login: Login,
): Promise<string | undefined> {
  try {
    const session = await Session.open(address, database, login);
    await session.close();
    return undefined;
  } catch (error) {
    if (error instanceof DatabaseError && error.code) return error.code;
    throw error;
  }
}
