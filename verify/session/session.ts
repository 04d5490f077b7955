import { setTimeout as delay } from "node:timers/promises";
import { Client, DatabaseError, type QueryResult } from "pg";
import { Outage } from "../../clients/outage";
import { NO_SUCH_DATABASE, WRONG_PASSWORD } from "../../clients/sqlstates";
import type { Notes } from "../report/evidence";
import { within } from "../../clients/within";
import { LockWaits } from "./lock-waits";

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
  /** Of the run. @default - each statement may wait as long as any */
  readonly locks?: LockWaits;
  /** What a pooler stands in front of it with. @default - nothing is known to */
  readonly pooler?: PoolMode;
}

/** How long a pooler keeps a client and a session of the server's together. */
export type PoolMode = "session" | "transaction";

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** A statement's fate: rows, or the SQLSTATE that refused it. */
export type Outcome =
  | { readonly rows: readonly Record<string, unknown>[]; readonly count: number }
  | { readonly sqlstate: string; readonly message: string };

export const SESSION_ENDED = "57P01";
/** Connection, resources, a server that starts or stops: it is not the statement or the login that is refused. */
const OUTAGE = /^(08|53|57P0)/;

const CONNECT_TIMEOUT_MILLISECONDS = 10_000;
const END_TIMEOUT_MILLISECONDS = 10_000;
const CLOSE_TIMEOUT_MILLISECONDS = 2_000;
/** So that a check waits for nobody's lock, and no statement hangs a run. After connecting, since a pooler refuses `options`. */
const STATEMENT_TIMEOUT = "15s";
/** So that what asks the catalogs finds PostgreSQL's own functions, operators and types, and nobody else's. */
const PINNED = ["search_path", "pg_catalog, pg_temp"] as const;
/** A pooler's own answers, all of them 08P01, and what PostgreSQL says in its place. */
const POOLERS_REFUSALS: readonly (readonly [RegExp, string])[] = [
  [/^(SASL|password) authentication failed/, WRONG_PASSWORD],
  [/^no such user/, "28000"],
  [/^no such database/, NO_SUCH_DATABASE],
];
/** Where the network is gone, the server can't say that the statement took too long. */
const ANSWER_TIMEOUT_MILLISECONDS = 20_000;
/** How long a server that went down is waited for, to take away what was made there. */
const REOPEN_MILLISECONDS = 15_000;
const REOPEN_PAUSE_MILLISECONDS = 100;

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

interface SessionOptions {
  /** libpq's `options`, such as `-c role=…`, which no pooler takes. */
  readonly options?: string;
  /** Acts as the login itself, whatever role its sessions start with. */
  readonly asItself?: boolean;
  /** Asks the catalogs: no name is looked up outside pg_catalog. A persona's own session keeps its search path. */
  readonly catalogs?: boolean;
  /** With what is set for the login alone. @default - with the verifier's bounds on statements and locks, and its name */
  readonly plain?: boolean;
}

/** A login's session. A statement that is sent with notes becomes evidence. */
export class Session {
  private client!: Client;
  private ended!: Promise<string>;
  /** Why there is no session any more, though nobody closed it. */
  private lost?: string;
  private closed = false;
  /** The server's process. */
  private backend = 0;
  private isPooled = false;
  private readonly locks: LockWaits;
  private lockTimeout = 0;

  /**
   * @throws DatabaseError with the SQLSTATE that refuses the login, or Outage
   */
  static async open(
    address: PostgresAddress,
    database: string,
    login: Login,
    options: SessionOptions = {},
  ): Promise<Session> {
    const session = new Session(address, database, login, options);
    await session.connect();
    return session;
  }

  /** The same login's, in another database. */
  openIn(database: string): Promise<Session> {
    return Session.open(this.address, database, this.login, this.options);
  }

  private constructor(
    private readonly address: PostgresAddress,
    private readonly database: string,
    private readonly login: Login,
    private readonly options: SessionOptions,
  ) {
    this.locks = address.locks ?? new LockWaits();
  }

  private async connect(): Promise<void> {
    const { address, database, login } = this;
    const client = new Client({
      host: address.host,
      port: address.port,
      ssl: address.ssl ?? false,
      database,
      user: login.username,
      password: login.password,
      options: this.options.options,
      ...(!this.options.plain && { application_name: "leasehold verify" }),
      connectionTimeoutMillis: CONNECT_TIMEOUT_MILLISECONDS,
      query_timeout: ANSWER_TIMEOUT_MILLISECONDS,
    });
    // pg would take PGOPTIONS where none are given.
    (client as unknown as { connectionParameters: { options?: string } }).connectionParameters.options =
      this.options.options;
    this.client = client;
    this.lost = undefined;
    // What ends a session before its first statement is told by an event; the statement says only that there is none.
    let ending: Error | undefined;
    this.ended = new Promise((resolve) => {
      client.on("error", (error) => {
        ending ??= error;
        this.lose(client, error.message);
        resolve(error instanceof DatabaseError ? (error.code ?? "") : "connection closed");
      });
      client.on("end", () => {
        this.lose(client, "connection closed");
        resolve("connection closed");
      });
    });
    try {
      await client.connect();
      await this.prepare(client);
    } catch (caught) {
      const error = withServersCode(caught instanceof DatabaseError ? caught : (ending ?? caught));
      const isOutage = !(error instanceof DatabaseError && error.code) || OUTAGE.test(error.code);
      if (!isOutage) throw error;
      const { message } = error as Error;
      throw new Outage(`PostgreSQL at ${addressText(address)} refuses connections: ${message}`, {
        cause: error,
      });
    }
  }

  private async prepare(client: Client): Promise<void> {
    const { catalogs, asItself, plain } = this.options;
    this.lockTimeout = this.locks.limit;
    const bounds = [
      ["lock_timeout", `${String(this.lockTimeout)}ms`] as const,
      ["statement_timeout", STATEMENT_TIMEOUT] as const,
      // No statement is refused for a setting that the login may change.
      ["default_transaction_read_only", "off"] as const,
    ];
    const settings = [
      ...(plain ? [] : bounds),
      ...(catalogs ? [PINNED] : []),
      ...(asItself ? [["role", "none"] as const] : []),
    ];
    const set = settings.map(([name, value]) => `pg_catalog.set_config('${name}', '${value}', false)`);
    const { rows } = await client.query<{ pid: number }>(
      `SELECT ${["pg_catalog.pg_backend_pid() AS pid", ...set].join(", ")}`,
    );
    this.backend = rows[0]!.pid;
    // A pooler gives a number of its own.
    this.isPooled = (client as unknown as { processID: number }).processID !== this.backend;
  }

  /** How a pooler stands between; undefined where none does. */
  async poolMode(): Promise<PoolMode | undefined> {
    if (!this.isPooled) return undefined;
    // While this one is idle, another client has its session of the server's, or one of its own.
    const other = await this.openIn(this.database);
    await other.close();
    return other.backend === this.backend ? "transaction" : "session";
  }

  /** A connection that was replaced says nothing about the session. */
  private lose(client: Client, reason: string): void {
    if (client === this.client && !this.closed) this.lost ??= reason;
  }

  /** Connects anew where the session was lost. The server may be on its way up, so that it is tried for a while. */
  async reopen(milliseconds = REOPEN_MILLISECONDS): Promise<void> {
    const end = performance.now() + milliseconds;
    while (this.lost !== undefined) {
      this.client.connection.stream.destroy();
      try {
        await this.connect();
      } catch (error) {
        const isOutage = error instanceof Outage;
        this.lost = ((isOutage ? error.cause : error) as Error).message;
        if (!isOutage || performance.now() > end) throw error;
        await delay(REOPEN_PAUSE_MILLISECONDS);
      }
    }
  }

  /** Sends one statement, or several, and keeps what came back. */
  async attempt(sql: string, notes?: Pick<Notes, "note">): Promise<Outcome> {
    const outcome = await this.send(sql);
    notes?.note(sql, describe(outcome));
    return outcome;
  }

  /**
   * As {@link attempt}, for what can only be refused where something is wrong.
   * @throws Error with PostgreSQL's message
   */
  async read<Row>(sql: string, notes: Pick<Notes, "note">): Promise<Row[]> {
    const outcome = await this.attempt(sql, notes);
    if ("sqlstate" in outcome) throw new Error(outcome.message);
    return outcome.rows as Row[];
  }

  /**
   * As {@link attempt}, in a transaction that is rolled back.
   * @param lockTimeout in milliseconds. @default - what the run may still wait
   */
  async attemptAndRollBack(sql: string, notes?: Pick<Notes, "note">, lockTimeout?: number): Promise<Outcome> {
    const limit = lockTimeout ?? this.locks.limit;
    if (limit !== this.lockTimeout)
      await this.query(`SELECT pg_catalog.set_config('lock_timeout', '${String(limit)}ms', false)`);
    this.lockTimeout = limit;
    await this.query("BEGIN");
    const start = performance.now();
    const outcome = await this.attempt(sql, notes);
    this.locks.spend(performance.now() - start);
    await this.query("ROLLBACK");
    return outcome;
  }

  /** @throws DatabaseError where the statement is refused, or Outage */
  async query<Row>(sql: string, values: unknown[] = []): Promise<Row[]> {
    try {
      return (await this.ask(sql, values)).rows as Row[];
    } catch (error) {
      throw this.outage(error) ?? error;
    }
  }

  private ask(sql: string, values?: unknown[]): Promise<QueryResult<Record<string, unknown>>> {
    // A client whose connection is gone would not answer.
    return this.lost === undefined ? this.client.query(sql, values) : Promise.reject(new Error(this.lost));
  }

  private async send(sql: string): Promise<Outcome> {
    try {
      const result = await this.ask(sql);
      // Several statements give a list, though the types know of one result.
      const { rows, rowCount } = [result].flat().at(-1)!;
      return { rows, count: rowCount ?? 0 };
    } catch (error) {
      const outage = this.outage(error);
      if (outage) throw outage;
      const { code, message } = error as DatabaseError;
      return { sqlstate: code!, message };
    }
  }

  /** What an error says of the session, unless it says something of the statement. */
  private outage(error: unknown): Outage | undefined {
    if (error instanceof DatabaseError && error.code && !OUTAGE.test(error.code)) return undefined;
    this.lost ??= (error as Error).message;
    const where = `PostgreSQL at ${addressText(this.address)}`;
    return new Outage(`${where} ended the session of ${this.login.username}: ${this.lost}`, { cause: error });
  }

  /** Waits, within a bound, for the server to end the session. Returns the SQLSTATE with which it did. */
  waitForEnd(milliseconds = END_TIMEOUT_MILLISECONDS): Promise<string> {
    return within(milliseconds, this.ended, "still open");
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    const end = this.client.end().catch(() => undefined);
    // A server that does not answer is not waited for, and must not keep the program alive.
    await within(CLOSE_TIMEOUT_MILLISECONDS, end, undefined);
    this.client.connection.stream.destroy();
  }
}

function withServersCode(error: unknown): unknown {
  if (!(error instanceof DatabaseError)) return error;
  const code = POOLERS_REFUSALS.find(([words]) => error.code === "08P01" && words.test(error.message))?.[1];
  return code === undefined ? error : Object.assign(error, { code });
}

function addressText({ host, port }: PostgresAddress): string {
  return `${host}:${String(port)}`;
}

/**
 * Tries to log in. Returns undefined on success, else the SQLSTATE that refuses it.
 * @throws Outage
 */
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
