import { Grant } from "@cdktf/provider-postgresql/lib/grant";
import { GrantRole } from "@cdktf/provider-postgresql/lib/grant-role";
import { Role } from "@cdktf/provider-postgresql/lib/role";
import { Construct, type IConstruct } from "constructs";
import { Manifest } from "../manifest";
import { checkName, POSTGRES_ROLE } from "../names";
import type { Secret } from "../secret";
import type { IDatabase } from "./database";

/** A role that Vault's login administers. */
export interface IManagedRole extends IConstruct {
  readonly roleName: string;
}

/** Vault's own login on a database. */
export interface IManagerLogin extends IConstruct {
  readonly loginName: string;
  readonly database: IDatabase;
  /** The one that it has until Vault replaces it. */
  readonly password: Secret;
  /** Lets it put leased logins into a group role, or set a login's password. */
  manage(role: IManagedRole): void;
}

export interface ManagerLoginProps {
  /** Where it makes and drops the leased roles. */
  readonly database: IDatabase;
  /** The login's name. */
  readonly name: string;
  /** Set when the role is made; later ones are not Terraform's to set. */
  readonly password: Secret;
}

abstract class ManagerLoginBase extends Construct implements IManagerLogin {
  readonly loginName: string;
  readonly database: IDatabase;
  readonly password: Secret;
  /** A reference to the role, where it is made. */
  protected abstract readonly role: string;
  private readonly members = new Construct(this, "Members");

  constructor(scope: Construct, id: string, { database, name, password }: ManagerLoginProps) {
    super(scope, id);
    this.loginName = checkName(POSTGRES_ROLE, "manager name", name);
    this.database = database;
    this.password = password;
    Manifest.of(this).addToDatabase(this, database.databaseName, () => ({
      manager: name,
      managerPasswordVariable: password.variable,
    }));
  }

  manage(managed: IManagedRole): void {
    this.database.chain(
      (meta) =>
        new GrantRole(this.members, managed.node.id, {
          role: this.role,
          grantRole: managed.roleName,
          withAdminOption: true,
          ...meta,
        }),
    );
  }
}

class ExistingManagerLogin extends ManagerLoginBase {
  protected readonly role = this.loginName;
}

/**
 * Vault's own login. CREATEROLE lets it make the leased roles and membership in the owner lets it hand over what they leave;
 * it is no superuser.
 */
export class ManagerLogin extends ManagerLoginBase {
  /** One that exists already: may create roles, is a member of the owner and may connect. */
  static fromName(scope: Construct, id: string, props: ManagerLoginProps): IManagerLogin {
    return new ExistingManagerLogin(scope, id, props);
  }

  protected readonly role: string;

  constructor(scope: Construct, id: string, props: ManagerLoginProps) {
    super(scope, id, props);
    const { database } = this;
    const { name: role } = new Role(this, "Resource", {
      name: this.loginName,
      login: true,
      createRole: true,
      // Whoever may create in a schema of its search path could have it run their code.
      searchPath: ["pg_catalog"],
      passwordWo: this.password.referenceIn(this),
      // Never raised: any update takes the role's memberships away and gives them back without ADMIN OPTION
      // (resourcePostgreSQLRoleUpdate, cyrilgdn/postgresql 1.26.0), or fails where leases depend on them.
      passwordWoVersion: "1",
      provider: database.server?.provider,
      // From PostgreSQL 16 on it is implicitly a member of each role that it creates: every lease would be a difference. Where
      // the search path is another, deploy sets it.
      lifecycle: { ignoreChanges: ["roles", "search_path"] },
    });
    this.role = role;
    database.chain((meta) => new GrantRole(this, "Owner", { role, grantRole: database.ownerName, ...meta }));
    database.chain((meta) => {
      const on = { database: database.databaseName, objectType: "database" };
      return new Grant(this, "Database", { ...on, role, privileges: ["CONNECT"], ...meta });
    });
  }
}
