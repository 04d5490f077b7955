import { DEFAULT_CONNECTION_LIMIT } from "../../manifest/schema";
import type { IAccessRole } from "../postgres/access-role";
import type { LeaseFunctions } from "../postgres/lease-functions";
import { statements } from "../sql";

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
  /**
   * What makes and ends it, in the groups that were added.
   * @default - Vault's login, which has CREATEROLE and ADMIN OPTION on the group role
   */
  readonly functions?: LeaseFunctions;
}

export const LeaseStatements = {
  /** Logins in a group role, which act as the owner where it does. */
  of: (role: IAccessRole, props: LeasedLoginProps): LeaseStatements => {
    if (props.functions) return LeaseStatements.throughFunctions(role);
    return role.actsAsOwner ? LeaseStatements.ofOwners(role, props) : LeaseStatements.ofMembers(role, props);
  },
  /**
   * Logins in a group role that act as themselves. What they make becomes the group's: as the owner's, a function that runs
   * as its owner would have the owner's rights.
   */
  ofMembers: (role: IAccessRole, props: LeasedLoginProps): LeaseStatements =>
    leaseStatements("createrole/member/creation.sql", role, role.roleName, props),
  /** Logins in a group role that act as the schema's owner, who owns what they make. */
  ofOwners: (role: IAccessRole, props: LeasedLoginProps): LeaseStatements =>
    leaseStatements("createrole/owner/creation.sql", role, role.database.ownerName, props),
  /** Calls of the functions that make and end logins in a group role. */
  throughFunctions: ({ roleName: group }: IAccessRole): LeaseStatements => ({
    creation: statements("functions/creation.sql", { group }),
    renewal: statements("functions/renewal.sql", { group }),
    revocation: statements("functions/revocation.sql", { group }),
  }),
};

function leaseStatements(
  creation: string,
  { roleName: group, database }: IAccessRole,
  heir: string,
  { mark, connectionLimit: limit = DEFAULT_CONNECTION_LIMIT }: LeasedLoginProps,
): LeaseStatements {
  const values = { group, owner: database.ownerName, schema: database.schemaName, heir, limit, mark };
  return {
    creation: statements(creation, values),
    renewal: statements("createrole/renewal.sql", values),
    revocation: statements("createrole/revocation.sql", values),
  };
}
