import { escapeLiteral as literal } from "pg";
import type { Custody } from "../session/custody";
import type { Leases } from "../session/leases";
import type { ManifestDatabase, ManifestPersona } from "../../manifest/schema";
import type { Notes } from "../report/evidence";
import type { Recorder } from "../report/recorder";
import type { PostgresAddress, Session } from "../session/session";

/** What the workloads share. */
export interface WorkloadScene {
  readonly database: ManifestDatabase;
  readonly address: PostgresAddress;
  readonly leases: Leases;
  readonly custody: Custody;
  /** Acts as the schema's owner. */
  readonly owner: Session;
  readonly recorder: Recorder;
  /** A table of the run's with one row, quoted and qualified; whoever may read the schema's tables may read it. */
  readonly table: string;
  /** @default - there is no program to run, and a pool's checks say so */
  readonly startApplication?: StartApplication;
  readonly signal?: AbortSignal;
}

/** What an application with a connection pool is told. The secret id is wrapped and serves once. */
export interface ApplicationSettings {
  readonly vault: {
    readonly address: string;
    readonly namespace?: string;
    /** Certificates of the authority that vouches for Vault's, as PEM text. */
    readonly ca?: string;
  };
  readonly authMount: string;
  readonly appRole: string;
  readonly roleId: string;
  readonly wrappedSecretId: string;
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
export function personaOf({ database }: WorkloadScene, name: string): ManifestPersona {
  const persona = database.personas.find((candidate) => candidate.name === name);
  if (!persona) throw new Error(`the manifest has no persona ${name}`);
  return persona;
}

/** Seconds from now to a role's VALID UNTIL; undefined where there is no such role. */
export async function secondsValid(owner: Session, role: string, notes?: Notes): Promise<number | undefined> {
  const sql = `SELECT extract(epoch FROM rolvaliduntil - now())::float AS seconds FROM pg_roles WHERE rolname = ${literal(role)}`;
  const outcome = await owner.attempt(sql, notes);
  const seconds = "rows" in outcome ? outcome.rows[0]?.["seconds"] : undefined;
  return typeof seconds === "number" ? seconds : undefined;
}

/** Which of the roles are there. */
export async function existing(owner: Session, roles: readonly string[], notes?: Notes): Promise<string[]> {
  const list = roles.map((role) => literal(role)).join(", ");
  const outcome = await owner.attempt(
    `SELECT rolname AS name FROM pg_roles WHERE rolname IN (${list})`,
    notes,
  );
  return "rows" in outcome ? outcome.rows.map(({ name }) => String(name)) : [...roles];
}
