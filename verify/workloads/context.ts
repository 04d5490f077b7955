import type { ManifestDatabase, ManifestPersona, ManifestWorkload } from "../../manifest/schema";
import type { DatabaseContext } from "../context";
import { loginMethod, type ApplicationLogin } from "../login/login";
import type { Notes } from "../report/evidence";
import type { PersonaToken } from "../session/leases";
import type { PostgresAddress, Session } from "../session/session";
import { literals } from "../session/sql";

export type WorkloadKind = NonNullable<ManifestDatabase["workload"]>["kind"];

/** What the checks of a workload share. */
export interface WorkloadContext<Kind extends WorkloadKind = WorkloadKind> extends DatabaseContext {
  readonly workload: ManifestWorkload<Kind>;
  /** A table of the run's with one row, quoted and qualified; whoever may read the schema's tables may read it. */
  readonly table: string;
}

/** What an application with a connection pool is told. */
export interface ApplicationSettings {
  readonly vault: {
    readonly address: string;
    readonly namespace?: string;
    /** Certificates of the authority that vouches for Vault's, as PEM text. */
    readonly ca?: string;
  };
  readonly login: ApplicationLogin;
  /** Where it leases its login. */
  readonly credentials: string;
  readonly postgres: PostgresAddress;
  readonly database: string;
  /** What it runs for each request; each row's `user` is the login that served it. */
  readonly query: string;
  /** Seconds that it asks for with each renewal, of the token and of the lease. */
  readonly increment: number;
  /** Seconds after which it has taken another lease. */
  readonly maxAge: number;
}

export interface Application {
  /** Answers a GET with the query's rows; GET /status tells what it leased. */
  readonly url: string;
  /** Asks it to end, and waits until it has. Returns its exit code or signal. */
  stop(): Promise<number | string>;
}

export type StartApplication = (settings: ApplicationSettings) => Promise<Application>;

/** @throws Error when the manifest has no such persona */
export function personaOf({ database }: WorkloadContext, name: string): ManifestPersona {
  const persona = database.personas.find((candidate) => candidate.name === name);
  if (!persona) throw new Error(`the manifest has no persona ${name}`);
  return persona;
}

/** Logs a persona in, and ends its token afterwards; after an exception custody does. */
export async function asPersona<T>(
  context: WorkloadContext,
  persona: ManifestPersona,
  use: (token: PersonaToken) => Promise<T>,
): Promise<T> {
  const token = await loginMethod(persona).logIn(context, persona);
  const result = await use(token);
  await token.revoke();
  return result;
}

/** Which of the roles are there. */
export async function existing(owner: Session, roles: readonly string[], notes?: Notes): Promise<string[]> {
  const outcome = await owner.attempt(
    `SELECT rolname AS name FROM pg_roles WHERE rolname IN (${literals(roles)})`,
    notes,
  );
  return "rows" in outcome ? outcome.rows.map(({ name }) => String(name)) : [...roles];
}
