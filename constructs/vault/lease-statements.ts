import { DEFAULT_CONNECTION_LIMIT } from "../../manifest/schema";
import { heirOfMembers, type IAccessRole } from "../postgres/access-role";
import type { LeaseFunctions } from "../postgres/lease-functions";
import type { LoginSettings } from "../postgres/role-settings";
import { settingTexts, statements } from "../sql";

/** What Vault runs in PostgreSQL for a lease, with its placeholders, such as `{{name}}`. */
export interface LeaseStatements {
  /** Makes the login. */
  readonly creation: readonly string[];
  /** Moves its end. */
  readonly renewal: readonly string[];
  /** Ends its sessions, hands over what it owns and drops it. */
  readonly revocation: readonly string[];
}

export interface LeasedLoginProps extends LoginSettings {
  /** The comment on each login: plain text, by which a leased login is told from a forged one. */
  readonly mark: string;
  /**
   * What makes and ends it, in the groups that were added.
   * @default - Vault's login, which has CREATEROLE and ADMIN OPTION on the group role
   */
  readonly functions?: LeaseFunctions;
}

export const LeaseStatements = {
  /**
   * Logins in a group role that act as the schema's owner where the role does, and otherwise as the role, which then owns what
   * they make: as the owner's, a function that runs as its owner would have the owner's rights.
   */
  of: (role: IAccessRole, props: LeasedLoginProps): LeaseStatements => {
    const { mark, connectionLimit: limit = DEFAULT_CONNECTION_LIMIT, settings, functions } = props;
    const { roleName: group, database } = role;
    const schemas = props.searchPath ?? database.schemas.map(({ name }) => name);
    const values = { group, schemas, heir: heirOfMembers(role), limit, mark };
    const way = functions ? "functions" : "createrole";
    return {
      creation: [
        ...statements(`${way}/creation.sql`, values),
        ...(functions ? [] : settingTexts(settings)).map(
          ({ name, value }) => `ALTER ROLE "{{name}}" SET ${name} = '${value}';`,
        ),
      ],
      renewal: statements(`${way}/renewal.sql`, values),
      revocation: statements(`${way}/revocation.sql`, values),
    };
  },
};
