import { Construct } from "constructs";
import type { Duration } from "./duration";
import { Manifest } from "./manifest";
import type { AccessRole, IAccessRole } from "./postgres/access-role";
import type { Privileges } from "./postgres/privileges";
import { StaticLogin } from "./postgres/static-login";
import type { DatabaseConnection } from "./vault/database-connection";
import type { DatabaseRole } from "./vault/database-role";
import { DEFAULT_CONNECTION_LIMIT, LeaseStatements, type LeasedLoginProps } from "./vault/lease-statements";
import type { IPersonaLogin } from "./vault/persona-login";
import type { StaticRole } from "./vault/static-role";

export interface PersonaProps {
  /** How Vault reaches the database; it puts leased logins in the group role as the connection's manager. */
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
  /** What it may do on the database, the schema and its objects. */
  readonly privileges: Privileges;
  /**
   * Its sessions act as the schema's owner, so that what it creates belongs to the owner from the start.
   * @default - they act as themselves
   */
  readonly actsAsOwner?: boolean;
  /**
   * How long a lease lives until it is renewed.
   * @default - 1 hour
   */
  readonly defaultTtl?: Duration;
  /**
   * How long it lives however often it is renewed.
   * @default - 24 hours
   */
  readonly maxTtl?: Duration;
  /**
   * How many sessions a leased login may have at a time.
   * @default - 20
   */
  readonly connectionLimit?: number;
  /**
   * Says that a lease is meant to end early, with the token that took it.
   * @default - a warning where its tokens live shorter than a lease
   */
  readonly leaseEndsWithToken?: boolean;
  /**
   * What Vault runs in PostgreSQL for a lease.
   * @default - {@link LeaseStatements.ofOwners} for a persona that acts as the owner, else {@link LeaseStatements.ofMembers}
   */
  readonly statements?: (role: IAccessRole, login: LeasedLoginProps) => LeaseStatements;
}

export interface PersonaStaticRoleProps {
  /** Vault's name for it. */
  readonly name: string;
  /** The login in PostgreSQL. */
  readonly login: string;
  /** How often Vault changes its password. */
  readonly rotationPeriod: Duration;
}

/**
 * Who may do what on a database, for how long: a group role with privileges in PostgreSQL, logins in it that can be leased
 * from Vault, and somebody who may lease them.
 */
export class Persona extends Construct {
  readonly accessRole: AccessRole;
  readonly databaseRole: DatabaseRole;
  private readonly personaName: string;
  private readonly props: PersonaProps;

  constructor(scope: Construct, id: string, props: PersonaProps) {
    super(scope, id);
    const { connection, login, name = id, privileges, actsAsOwner = false } = props;
    const { connectionLimit = DEFAULT_CONNECTION_LIMIT } = props;
    const { manager, mark } = connection;
    const { database } = manager;
    this.props = props;
    this.personaName = name;

    this.accessRole = database.addRole(name, { name: props.groupRole, privileges, actsAsOwner });
    manager.manage(this.accessRole);
    const { statements = actsAsOwner ? LeaseStatements.ofOwners : LeaseStatements.ofMembers } = props;
    this.databaseRole = connection.addRole(name, {
      member: this.accessRole,
      statements: statements(this.accessRole, { mark, connectionLimit }),
      defaultTtl: props.defaultTtl,
      maxTtl: props.maxTtl,
      leaseEndsWithToken: props.leaseEndsWithToken,
    });
    this.databaseRole.grantRead(login);

    Manifest.of(this).addPersona(this, database.databaseName, () => ({
      name,
      groupRole: this.accessRole.roleName,
      actsAsOwner,
      ...login.declared,
      databaseRole: {
        name: this.databaseRole.databaseRoleName,
        defaultTtl: this.databaseRole.defaultTtl.toSeconds(),
        maxTtl: this.databaseRole.maxTtl.toSeconds(),
        connectionLimit,
      },
      privileges,
    }));
  }

  /** Adds a login with its privileges that is kept, and whose password it reads from Vault. */
  addStaticRole(id: string, { name, login, rotationPeriod }: PersonaStaticRoleProps): StaticRole {
    const { connection } = this.props;
    const { manager } = connection;
    const { roles, databaseName } = manager.database;
    const kept = new StaticLogin(roles, id, { name: login, member: this.accessRole });
    manager.manage(kept);
    const role = connection.addStaticRole(id, { name, login: kept, rotationPeriod });
    role.grantRead(this.props.login);
    Manifest.of(this).addStaticRole(this, databaseName, () => ({
      name,
      login,
      persona: this.personaName,
      rotationPeriod: rotationPeriod.toSeconds(),
    }));
    return role;
  }
}
