import { Grant } from "@cdktf/provider-postgresql/lib/grant";
import { GrantRole } from "@cdktf/provider-postgresql/lib/grant-role";
import { Role } from "@cdktf/provider-postgresql/lib/role";
import { Construct, type IConstruct } from "constructs";
import { checkName, POSTGRES_ROLE } from "../names";
import type { Secret } from "../secret";
import type { Database } from "./database";

export interface ManagerLoginProps {
  readonly name: string;
  /** Set when the role is made; later ones are not Terraform's to set. */
  readonly password: Secret;
}

/** A role that Vault's login administers. */
export interface IManagedRole extends IConstruct {
  readonly roleName: string;
}

/**
 * Vault's own login. CREATEROLE lets it make the leased roles and member of the owner lets it hand over what they leave;
 * it is no superuser.
 */
export class ManagerLogin extends Construct {
  private readonly resource: Role;
  private readonly members = new Construct(this, "Members");

  constructor(
    private readonly database: Database,
    id: string,
    props: ManagerLoginProps,
  ) {
    super(database, id);
    this.resource = new Role(this, "Resource", {
      name: checkName(POSTGRES_ROLE, "manager name", props.name),
      login: true,
      createRole: true,
      // Whoever may create in a schema of its search path could have it run their code.
      searchPath: ["pg_catalog"],
      passwordWo: props.password.reference,
      // Never raised: any update takes the role's memberships away and gives them back without ADMIN OPTION
      // (resourcePostgreSQLRoleUpdate, cyrilgdn/postgresql 1.26.0), or fails where leases depend on them.
      passwordWoVersion: "1",
      provider: database.provider,
      // From PostgreSQL 16 on it is implicitly a member of each role that it creates: every lease would be a difference. Where
      // the search path is another, deploy sets it.
      lifecycle: { ignoreChanges: ["roles", "search_path"] },
    });
    const role = this.resource.name;
    database.chain((meta) => new GrantRole(this, "Owner", { role, grantRole: database.ownerName, ...meta }));
    database.chain((meta) => {
      const on = { database: database.databaseName, objectType: "database" };
      return new Grant(this, "Database", { ...on, role, privileges: ["CONNECT"], ...meta });
    });
  }

  /** Lets it put leased logins into a group role, or set a login's password. */
  manage(member: IManagedRole): void {
    this.database.chain(
      (meta) =>
        new GrantRole(this.members, member.node.id, {
          role: this.resource.name,
          grantRole: member.roleName,
          withAdminOption: true,
          ...meta,
        }),
    );
  }
}
