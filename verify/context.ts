import type { VaultClient } from "../clients/vault-client";
import type { ManifestDatabase, ManifestPersona, OTHER_DATABASES } from "../manifest/schema";
import type { Clocks } from "./lifecycle/clocks";
import type { Access } from "./privileges/access";
import type { OtherRole } from "./privileges/groups";
import type { Broken } from "./privileges/broken-views";
import type { MatrixFindings } from "./privileges/matrix";
import type { LockWaits } from "./session/lock-waits";
import type { Locked } from "./privileges/users-objects";
import type { Acceptance } from "./report/accepted";
import type { Recorder } from "./report/recorder";
import type { Custody } from "./session/custody";
import type { Lease, Leases, PersonaToken } from "./session/leases";
import type { PostgresAddress, Session } from "./session/session";
import type { Target, Targets } from "./session/targets";
import type { Policies } from "./vault/policies";
import type { StartApplication } from "./workloads/context";

/** What the checks of a database share. */
export interface DatabaseContext {
  readonly environment: string;
  readonly database: ManifestDatabase;
  readonly address: PostgresAddress;
  /** With the verifier's token. */
  readonly vault: VaultClient;
  readonly leases: Leases;
  readonly custody: Custody;
  /** The session that acts as the schema's owner, and reads the catalogs. */
  readonly owner: Session;
  readonly run: string;
  /** Probe objects from before any persona's lease. Empty where nothing may be made. */
  readonly before: Targets;
  /** Tables that personas which act as the owner made and left; a later persona finds them. */
  readonly left: Target[];
  /** PostgreSQL's server_version_num. */
  readonly version: number;
  /** Every role of the server that is not a leased login. */
  readonly roles: readonly OtherRole[];
  /** The manifest's databases on this server. */
  readonly databases: readonly ManifestDatabase[];
  /** What becomes of PUBLIC's CONNECT in the server's others. */
  readonly otherDatabases: (typeof OTHER_DATABASES)[number];
  /** What the config accepts. */
  readonly acceptance: Acceptance;
  readonly readOnly: boolean;
  /** Undefined where Vault does not say the time. */
  readonly clocks?: Clocks;
  /** How long the users' locks are still waited for. */
  readonly lockWaits: LockWaits;
  /** What was remarked already, by what it was about. */
  readonly remarked: Set<string>;
  /** To be known of the database as a whole. */
  remark(text: string): void;
  /** @default - there is no application to run, and a pool's checks say so */
  readonly startApplication?: StartApplication;
  readonly signal?: AbortSignal;
}

/** What the checks of one of its personas share. */
export interface PersonaContext extends DatabaseContext {
  readonly persona: ManifestPersona;
  /** For the cells of the matrix. */
  readonly recorder: Recorder;
  /** What it logs in with, from a check of its login method. */
  credential?: string;
  /** From a check of its login method. */
  token?: PersonaToken;
}

/** Those that need its token. */
export interface LoggedInContext extends PersonaContext {
  readonly token: PersonaToken;
  readonly policies: Policies;
  /** From the check that leases it. */
  lease?: Lease;
}

/** Those that need a lease. */
export interface LeasedContext extends LoggedInContext {
  readonly lease: Lease;
  /** Probe objects from before the lease and after it, and the users' own. */
  readonly targets: Targets;
  /** The users' tables that somebody holds: no statement is sent to them. */
  readonly locked: readonly Locked[];
  /** What the login can act as, and what is granted to that. */
  readonly access: Access;
  /** Views that its login may select from and can't read. */
  readonly broken: ReadonlyMap<string, Broken>;
  /** Tables that it makes and leaves, one a schema. Empty where it may make none. */
  readonly tablesLeft: readonly Target[];
  /** The login's. Undefined where it was refused. */
  session?: Session;
}

/** Those that need the login's session. */
export interface SessionContext extends LeasedContext {
  readonly session: Session;
  /** What the cells of the matrix have said already. */
  readonly found: MatrixFindings;
}
