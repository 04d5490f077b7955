import type { PersonaContext } from "../context";
import type { Lease } from "../session/leases";
import type { Session } from "../session/session";
import type { Targets } from "../session/targets";
import type { Access } from "./access";
import type { MatrixFindings } from "./matrix";

/** What the checks of a persona's lease share. */
export interface LeaseContext extends PersonaContext {
  readonly lease: Lease;
  /** What the login can act as, and what is granted to that. */
  readonly access: Access;
  /** Probe objects from before the lease and after it, and the users' own. */
  readonly targets: Targets;
}

/** What the checks of its session share. */
export interface SessionContext extends LeaseContext {
  /** The leased login's. */
  readonly session: Session;
  /** What the matrix has said already. */
  readonly found: MatrixFindings;
}

export interface OtherRole {
  readonly name: string;
  /** Declared, or a superuser: worth a statement. For the others the catalogs tell. */
  readonly tried: boolean;
}
