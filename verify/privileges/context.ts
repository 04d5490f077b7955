import type { PersonaContext } from "../context";
import type { Lease } from "../session/leases";
import type { Session } from "../session/session";
import { makeProbes } from "../session/probes";
import { join, NO_TARGETS, ownObjects, type Targets } from "../session/targets";
import { readAccess, type Access } from "./access";
import type { MatrixFindings } from "./matrix";

/** What the checks of a persona's lease share. */
export interface LeaseContext extends PersonaContext {
  readonly lease: Lease;
  /** What the login can act as, and what is granted to that. */
  readonly access: Access;
  /** Probe objects from before the lease and after it, and the users' own. */
  readonly targets: Targets;
}

export async function leaseContext(context: PersonaContext, lease: Lease): Promise<LeaseContext> {
  const { database, persona, owner, before, left, readOnly } = context;
  const targets = [before, { ...NO_TARGETS, tables: left }, await ownObjects(context)];
  // Objects that come after the lease: what default privileges give.
  if (!readOnly)
    targets.push(await makeProbes(context, `after_${String(database.personas.indexOf(persona))}`));
  // Last, as it has the grants on these objects.
  const access = await readAccess(owner, lease.username);
  return { ...context, lease, access, targets: join(...targets) };
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
