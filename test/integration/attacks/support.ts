import { Client, DatabaseError } from "pg";
import { Deployment as DeployedByCommands } from "../../../ops/deployment/deployment";
import { sweepRevoked, type Swept } from "../../../ops/postgres/sweep";
import { INSTALLED_MAJOR, postgresMajor, type PostgresMajor } from "../../../sandbox/postgres-binaries";
import { VaultUnreachable } from "../../../clients/vault-client";
import { within } from "../../../clients/within";
import type { Deployment } from "../../support/deployment";

/** Where each attack is tried: see test/run.ts. */
export const MAJORS: readonly PostgresMajor[] = (
  process.env["LEASEHOLD_POSTGRES_MAJORS"] ||
  process.env["LEASEHOLD_POSTGRES"] ||
  String(INSTALLED_MAJOR)
)
  .split(",")
  .map(postgresMajor);

/** And by which way to lease. */
export const WAYS = MAJORS.flatMap((major) =>
  (["createrole", "functions"] as const).map((way) => [major, way] as const),
);

/** The contract says 5 s; what takes three times as long on a busy machine hangs. */
export const BOUND_MILLISECONDS = 15_000;
const CONNECT_MILLISECONDS = 10_000;

/** A status, or that there was none within the bound. */
export type Answer = number | "no answer";

/** A session of a login's. */
export interface OpenSession {
  readonly client: Client;
  /** The SQLSTATE with which the server ended it. */
  readonly ended: Promise<string>;
  /** Of a statement that was at work when the server ended the session: its error is the statement's. */
  readonly end: (sqlstate: string) => void;
}

/** A name and a password, with which sessions are opened. */
export class LoginUnderTest {
  readonly sessions: OpenSession[] = [];

  constructor(
    protected readonly deployment: Deployment,
    readonly user: string,
    readonly password: string,
  ) {}

  async connect(
    database = this.deployment.sandbox.postgres.database,
    options?: string,
  ): Promise<OpenSession> {
    const { host, port } = this.deployment.sandbox.postgres;
    const { user, password } = this;
    const client = new Client({
      ...{ host, port, database, user, password, options, ssl: false },
      connectionTimeoutMillis: CONNECT_MILLISECONDS,
    });
    let end!: OpenSession["end"];
    const ended = new Promise<string>((resolve) => (end = resolve));
    client.on("error", (error) => {
      end(sqlstate(error));
    });
    client.on("end", () => {
      end("closed");
    });
    try {
      await client.connect();
    } catch (error) {
      client.connection.stream.destroy();
      throw error;
    }
    const session = { client, ended, end };
    this.sessions.push(session);
    return session;
  }

  /** A session that has run statements, the last of which may be on its way for ever. */
  async open(sql: string, options: { database?: string; isEndless?: boolean } = {}): Promise<OpenSession> {
    const { isEndless = false, database } = options;
    const session = await this.connect(database);
    const answer = session.client.query(sql);
    if (isEndless)
      answer.catch((error: unknown) => {
        // Any other is the statement's own, such as one of two changes of a row at once: the session is still there.
        if (sqlstate(error).startsWith("57P") || !(error instanceof DatabaseError))
          session.end(sqlstate(error));
      });
    else await answer;
    return session;
  }

  /** The SQLSTATE with which a login is refused, or that it is not. */
  async refusal(database?: string): Promise<string> {
    try {
      const session = await this.connect(database);
      this.sessions.splice(this.sessions.indexOf(session), 1);
      await session.client.end();
      return "logged in";
    } catch (error) {
      return sqlstate(error);
    }
  }

  async close(): Promise<void> {
    await Promise.all(
      this.sessions.map(({ client }) =>
        within(
          2_000,
          client.end().catch(() => undefined),
          undefined,
        ),
      ),
    );
  }
}

/** What Vault leased. */
export class Lease extends LoginUnderTest {
  constructor(
    deployment: Deployment,
    user: string,
    password: string,
    readonly id: string,
    readonly groupRole: string,
  ) {
    super(deployment, user, password);
  }

  /** A revocation that waits until it is done. */
  revoke(): Promise<Answer> {
    return ask(this.deployment, "POST", "sys/leases/revoke", { lease_id: this.id, sync: true });
  }

  renew(): Promise<Answer> {
    return ask(this.deployment, "POST", "sys/leases/renew", { lease_id: this.id });
  }
}

/** As root, within the bound. */
export async function ask(
  { root }: Deployment,
  method: string,
  path: string,
  body?: object,
): Promise<Answer> {
  try {
    return (await root.request(method, path, body, undefined, BOUND_MILLISECONDS)).status;
  } catch (error) {
    if (error instanceof VaultUnreachable && error.isUnanswered) return "no answer";
    throw error;
  }
}

/** Leases a login of a group role; Vault has to answer within the bound. */
export async function lease(deployment: Deployment, groupRole: string): Promise<Lease> {
  const { mount } = deployment.manifest.databases[0]!.vault;
  const { status, body } = await deployment.root.request(
    "GET",
    `${mount}/creds/${groupRole}`,
    undefined,
    undefined,
    BOUND_MILLISECONDS,
  );
  if (status !== 200)
    throw new Error(`leasing ${groupRole}: HTTP ${String(status)} ${String(body.errors?.join())}`);
  const { username, password } = body.data as { username: string; password: string };
  return new Lease(deployment, username, password, body.lease_id!, groupRole);
}

/** Reads the password of the moment of a static role. */
export async function staticLogin(deployment: Deployment, name: string): Promise<LoginUnderTest> {
  const { mount } = deployment.manifest.databases[0]!.vault;
  const { data } = await deployment.root.call("GET", `${mount}/static-creds/${name}`);
  const { username, password } = data as { username: string; password: string };
  return new LoginUnderTest(deployment, username, password);
}

export function sqlstate(error: unknown): string {
  return error instanceof DatabaseError ? (error.code ?? error.message) : (error as Error).message;
}

/** Of a session's statement: the SQLSTATE that refused it, or that it was not. */
export async function attempt(client: Client, sql: string): Promise<string> {
  try {
    await client.query(sql);
    return "allowed";
  } catch (error) {
    return sqlstate(error);
  }
}

/** What is left of a login, as the superuser sees it. */
interface Remains {
  readonly canLogIn: boolean;
  readonly hasPassword: boolean;
  readonly connectionLimit: number;
  readonly comment: string | null;
  /** Roles that it is a member of. */
  readonly memberships: string[];
}

async function remains({ superuser }: Deployment, user: string): Promise<Remains | undefined> {
  const { rows } = await superuser.query<Remains>(
    `SELECT rolcanlogin AS "canLogIn", rolpassword IS NOT NULL AS "hasPassword", rolconnlimit AS "connectionLimit",
       pg_catalog.shobj_description(oid, 'pg_authid') AS comment,
       ARRAY (SELECT m.roleid::pg_catalog.regrole::pg_catalog.text FROM pg_catalog.pg_auth_members AS m WHERE m.member = r.oid) AS memberships
     FROM pg_catalog.pg_authid AS r WHERE rolname OPERATOR(pg_catalog.=) $1`,
    [user],
  );
  return rows[0];
}

/** How a revocation has left a login that could not be dropped, as access.json's readers know it. */
export function closed({ manifest }: Deployment): Remains {
  const comment = `leasehold ${manifest.environment} ${manifest.databases[0]!.name}: revoked, not dropped `;
  return {
    canLogIn: false,
    hasPassword: false,
    connectionLimit: 0,
    comment: expect.stringMatching(new RegExp(`^${comment}\\([0-9A-Z]{5}\\)(;|$)`)) as string,
    memberships: [],
  };
}

/**
 * That a lease has ended, whatever its holder did: its sessions, its logins, and all that it had. The role is gone, or is
 * as the contract has one that could not be dropped.
 * @returns whether the role is gone
 */
export async function expectEnded(deployment: Deployment, ended: Lease): Promise<boolean> {
  const states = ended.sessions.map((session) => within(5_000, session.ended, "still open"));
  expect(new Set([...(await Promise.all(states)), "57P01"])).toEqual(new Set(["57P01"]));
  expect(["28P01", "28000"]).toContain(await ended.refusal());
  const left = await remains(deployment, ended.user);
  if (left) expect(left).toEqual(closed(deployment));
  return left === undefined;
}

/** That somebody else can lease, log in and be revoked. */
export async function expectOthersCanLease(
  deployment: Deployment,
  groupRole = "readwrite_role",
): Promise<void> {
  const other = await lease(deployment, groupRole);
  expect(await other.refusal()).toBe("logged in");
  expect(await other.revoke()).toBe(204);
  await other.close();
}

/** As `leasehold deploy` and its steps see what a test deployed. */
export function forCommands(deployment: Deployment): DeployedByCommands {
  const { sandbox, synthesized, workspace } = deployment;
  process.env["XDG_CONFIG_HOME"] = workspace.path("home");
  Object.assign(process.env, sandbox.terraformVariables());
  return DeployedByCommands.read(synthesized)!;
}

/** The step of a deploy that drops what revocations had to leave. */
export function sweep(deployment: Deployment): Promise<Swept> {
  return sweepRevoked(forCommands(deployment), deployment.manifest.databases[0]!);
}
