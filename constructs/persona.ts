import { Construct } from "constructs";
import { DEFAULT_CONNECTION_LIMIT } from "../manifest/schema";
import { checkPositive } from "./declaration-error";
import { Manifest } from "./manifest";
import type { AccessRole, AccessRoleProps, IAccessRole } from "./postgres/access-role";
import { declaredPrivileges } from "./postgres/privileges";
import type { LoginSettings } from "./postgres/role-settings";
import { StaticLogin } from "./postgres/static-login";
import type { DatabaseConnection } from "./vault/database-connection";
import type { DatabaseRole, DatabaseRoleProps } from "./vault/database-role";
import { LeaseStatements, type LeasedLoginProps } from "./vault/lease-statements";
import type { IPersonaLogin } from "./vault/persona-login";
import type { RotationProps, StaticRole } from "./vault/static-role";

export interface PersonaProps
  extends
    Pick<AccessRoleProps, "privileges" | "actsAsOwner">,
    Pick<DatabaseRoleProps, "defaultTtl" | "maxTtl" | "leaseEndsWithToken">,
    LoginSettings {
  /** How Vault reaches the database, as its own login, which puts leased logins in the group role. */
  readonly connection: DatabaseConnection;
  /** How it proves to Vault who it is, such as an AppRole. */
  readonly login: IPersonaLogin;
  /**
   * What people call it.
   * @default - the construct's id
   */
  readonly name?: string;
  /** The role in PostgreSQL that holds its privileges, and Vault's database role. */
  readonly groupRole: string;
  /**
   * What Vault runs in PostgreSQL for a lease.
   * @default - {@link LeaseStatements.of}
   */
  readonly statements?: (role: IAccessRole, login: LeasedLoginProps) => LeaseStatements;
}

export interface PersonaStaticRoleProps extends RotationProps {
  /** Vault's name for it. */
  readonly name: string;
  /** The login in PostgreSQL. */
  readonly login: string;
  /**
   * The login is there already: its membership in the group role is all that is made.
   * @default - it is made
   */
  readonly loginExists?: boolean;
}

/**
 * Who may do what on a database, for how long: a group role with privileges in PostgreSQL, logins in it that can be leased
 * from Vault, and somebody who may lease them.
 */
export class Persona extends Construct {
  readonly accessRole: AccessRole;
  readonly databaseRole: DatabaseRole;
  private readonly name: string;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: PersonaProps,
  ) {
    super(scope, id);
    const { connection, login, name = id, groupRole, privileges, actsAsOwner = false } = props;
    const {
      statements = LeaseStatements.of,
      connectionLimit = DEFAULT_CONNECTION_LIMIT,
      searchPath,
      settings,
      defaultTtl,
      maxTtl,
      leaseEndsWithToken,
    } = props;
    const { manager } = connection;
    const { database, mark, functions } = manager;
    this.name = name;
    checkPositive("connection limit", connectionLimit);

    const member = database.addRole(name, { name: groupRole, privileges, actsAsOwner });
    const own = { connectionLimit, searchPath, settings };
    manager.manageGroup(member, own);
    const role = connection.addRole(name, {
      ...{ member, statements: statements(member, { mark, ...own, functions }) },
      ...{ defaultTtl, maxTtl, leaseEndsWithToken },
    });
    role.grantRead(login);
    this.accessRole = member;
    this.databaseRole = role;

    Manifest.of(this).addToDatabase(this, database.databaseName, () => {
      const databaseRole = { ...role.declared, ...own, searchPath: searchPath && [...searchPath] };
      const declared = { databaseRole, privileges: declaredPrivileges(privileges, database.schemas) };
      return { personas: [{ name, groupRole, actsAsOwner, ...login.declared, ...declared }] };
    });
  }

  /** Adds a login with its privileges that is kept, and whose password it reads from Vault. */
  addStaticRole(
    id: string,
    { name, login, loginExists = false, ...rotation }: PersonaStaticRoleProps,
  ): StaticRole {
    const { manager } = this.props.connection;
    const { roles, databaseName } = manager.database;
    const kept = new StaticLogin(roles, id, {
      ...{ name: login, member: this.accessRole, exists: loginExists, searchPath: this.props.searchPath },
    });
    manager.manageLogin(kept);
    const role = this.props.connection.addStaticRole(id, { name, login: kept, ...rotation });
    role.grantRead(this.props.login);
    const { rotationPeriod, rotationSchedule, rotationWindow, skipImportRotation = false } = rotation;
    Manifest.of(this).addToDatabase(this, databaseName, () => ({
      staticRoles: [
        {
          ...{ name, login, loginExists: loginExists || undefined, persona: this.name },
          ...{ rotationPeriod: rotationPeriod?.toSeconds(), rotationSchedule },
          rotationWindow: rotationWindow?.toSeconds(),
          skipImportRotation: skipImportRotation || undefined,
        },
      ],
    }));
    return role;
  }
}
