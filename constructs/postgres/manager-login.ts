import { Grant } from "@cdktf/provider-postgresql/lib/grant";
import { GrantRole } from "@cdktf/provider-postgresql/lib/grant-role";
import { Role } from "@cdktf/provider-postgresql/lib/role";
import { TerraformStack } from "cdktf";
import { Construct, type IConstruct } from "constructs";
import { leaseMark } from "../../manifest/names";
import { Forgotten } from "../forgotten";
import { Manifest } from "../manifest";
import { checkName, POSTGRES_ROLE } from "../names";
import type { Secret } from "../secret";
import type { IAccessRole } from "./access-role";
import type { IDatabase } from "./database";
import { LeaseFunctions } from "./lease-functions";
import { OF_A_DBA, type LoginSettings } from "./role-settings";

/** A login whose password Vault's login sets. */
export interface IManagedLogin extends IConstruct {
  readonly roleName: string;
}

/** Vault's own login on a database. */
export interface IManagerLogin extends IConstruct {
  readonly loginName: string;
  readonly database: IDatabase;
  /** The one that it has until Vault replaces it. */
  readonly password: Secret;
  /** The comment on each login that it leases. */
  readonly mark: string;
  /**
   * Those through which it leases.
   * @default - it leases by CREATEROLE, and ADMIN OPTION on what it manages
   */
  readonly functions?: LeaseFunctions;
  /**
   * Lets it lease logins in a group role.
   * @param login what each has, where functions make it
   */
  manageGroup(role: IAccessRole & IConstruct, login?: LoginSettings): void;
  /** Lets it set a login's password. */
  manageLogin(login: IManagedLogin): void;
}

export interface ManagerLoginProps {
  /** Where it makes and drops the leased roles. */
  readonly database: IDatabase;
  /** The login's name. */
  readonly name: string;
  /** Set when the role is made; later ones are not Terraform's to set. */
  readonly password: Secret;
  /**
   * What the comment on each leased login says beside the database's name, by which it is told from a forged one.
   * @default - the id of the stack
   */
  readonly environment?: string;
  /**
   * The server's superuser, as whom Terraform logs in: it owns the functions through which this login then leases, and this
   * login has no powers of its own ({@link LeaseFunctions}).
   * @default - no functions: it has CREATEROLE, is a member of the owner, and has ADMIN OPTION on what it manages
   */
  readonly functionsOwner?: string;
}

abstract class ManagerLoginBase extends Construct implements IManagerLogin {
  readonly loginName: string;
  readonly database: IDatabase;
  readonly password: Secret;
  readonly mark: string;
  readonly functions?: LeaseFunctions;
  /** A reference to the role, where it is made. */
  private readonly role: string;
  private readonly members = new Construct(this, "Members");

  constructor(scope: Construct, id: string, props: ManagerLoginProps) {
    super(scope, id);
    const { database, name, password, functionsOwner: owner } = props;
    this.loginName = checkName(POSTGRES_ROLE, "manager name", name);
    this.database = database;
    this.password = password;
    this.mark = leaseMark(props.environment ?? TerraformStack.of(this).node.id, database.databaseName);
    this.role = this.makeRole(owner === undefined);
    if (owner === undefined) LeaseFunctions.forget(this, "Functions");
    else {
      const caller = { caller: name, callerRole: this.role };
      this.functions = new LeaseFunctions(this, "Functions", { database, ...caller, owner, mark: this.mark });
    }
    const leases = this.functions ? "functions" : "createrole";
    Manifest.of(this).addToDatabase(this, database.databaseName, () => ({
      manager: name,
      managerPasswordVariable: password.variable,
      leases,
    }));
  }

  /** Returns a reference to the role. */
  protected abstract makeRole(createRole: boolean): string;

  manageGroup(role: IAccessRole & IConstruct, login?: LoginSettings): void {
    this.administer(role);
    this.functions?.addGroup(role, login);
  }

  manageLogin(login: IManagedLogin): void {
    this.administer(login);
    this.functions?.addLogin(login.roleName);
  }

  /** Gives it ADMIN OPTION, which it needs where it leases without functions. */
  private administer({ node: { id }, roleName: grantRole }: IManagedLogin): void {
    if (this.functions) new Forgotten(this.members, id, "postgresql_grant_role");
    else {
      const membership = { role: this.role, grantRole, withAdminOption: true };
      this.database.chain((meta) => new GrantRole(this.members, id, { ...membership, ...meta }));
    }
  }
}

class ExistingManagerLogin extends ManagerLoginBase {
  protected override makeRole(): string {
    return this.loginName;
  }
}

/**
 * Vault's own login, which is no superuser. It leases through functions, and may do nothing else; or CREATEROLE lets it make
 * the leased roles, and membership in the owner hand over what they leave.
 */
export class ManagerLogin extends ManagerLoginBase {
  /** One that exists already and may connect; without functions it may create roles, and is a member of the owner. */
  static fromName(scope: Construct, id: string, props: ManagerLoginProps): IManagerLogin {
    return new ExistingManagerLogin(scope, id, props);
  }

  protected override makeRole(createRole: boolean): string {
    const { database } = this;
    const { name: role } = new Role(this, "Resource", {
      name: this.loginName,
      login: true,
      createRole,
      // Whoever may create in a schema of its search path could have it run their code.
      searchPath: ["pg_catalog"],
      passwordWo: this.password.referenceIn(this),
      // Never raised: any update takes the role's memberships away and gives them back without ADMIN OPTION
      // (resourcePostgreSQLRoleUpdate, cyrilgdn/postgresql 1.26.0), or fails where leases depend on them.
      passwordWoVersion: "1",
      provider: database.server?.provider,
      // From PostgreSQL 16 on it is implicitly a member of each role that it creates: every lease would be a difference. Where
      // the search path or CREATEROLE is another, deploy sets it.
      lifecycle: { ignoreChanges: ["roles", "search_path", "create_role", ...OF_A_DBA] },
    });
    // Nothing is handed over to a superuser.
    if (createRole && !database.schemas[0].ownerIsSuperuser)
      database.chain(
        (meta) => new GrantRole(this, "Owner", { role, grantRole: database.ownerName, ...meta }),
      );
    else new Forgotten(this, "Owner", "postgresql_grant_role");
    database.chain((meta) => {
      const on = { database: database.databaseName, objectType: "database" };
      return new Grant(this, "Database", { ...on, role, privileges: ["CONNECT"], ...meta });
    });
    return role;
  }
}
