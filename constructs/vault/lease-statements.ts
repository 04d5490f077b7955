import { DEFAULT_CONNECTION_LIMIT } from "../../manifest/schema";
import type { IAccessRole } from "../postgres/access-role";
import { statements } from "./statements";

/** What Vault runs in PostgreSQL for a lease, with its placeholders, such as `{{name}}`. */
export interface LeaseStatements {
  /** Makes the login. */
  readonly creation: readonly string[];
  /** Moves its end. */
  readonly renewal: readonly string[];
  /** Ends its sessions, hands over what it owns and drops it. */
  readonly revocation: readonly string[];
}

export interface LeasedLoginProps {
  /** The comment on each login: plain text, by which a leased login is told from a forged one. */
  readonly mark: string;
  /**
   * How many sessions a login may have at a time.
   * @default - 20
   */
  readonly connectionLimit?: number;
}

export const LeaseStatements = {
  /**
   * Logins in a group role that act as it, which owns what they make: as the owner's, a function that runs as its owner would
   * have the owner's rights.
   */
  ofMembers: (role: IAccessRole, props: LeasedLoginProps): LeaseStatements =>
    leaseStatements(role, role.roleName, props),
  /** Logins in a group role that act as the schema's owner, who owns what they make. */
  ofOwners: (role: IAccessRole, props: LeasedLoginProps): LeaseStatements =>
    leaseStatements(role, role.database.ownerName, props),
};

/** @param heir as which the logins act, and which owns what they leave */
function leaseStatements(
  { roleName: group, database }: IAccessRole,
  heir: string,
  { mark, connectionLimit: limit = DEFAULT_CONNECTION_LIMIT }: LeasedLoginProps,
): LeaseStatements {
  const values = { group, schema: database.schemaName, heir, limit, mark };
  return {
    creation: statements("creation.sql", values),
    renewal: statements("renewal.sql", values),
    revocation: statements("revocation.sql", values),
  };
}
