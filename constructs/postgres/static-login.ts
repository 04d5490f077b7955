import { GrantRole } from "@cdktf/provider-postgresql/lib/grant-role";
import { Role } from "@cdktf/provider-postgresql/lib/role";
import { Construct } from "constructs";
import { Forgotten } from "../forgotten";
import { checkName, POSTGRES_ROLE } from "../names";
import { heirOfMembers, type IAccessRole } from "./access-role";
import type { IDatabase } from "./database";
import type { IManagedLogin } from "./manager-login";
import { OF_A_DBA } from "./role-settings";

/** A login that is kept. */
export interface IStaticLogin {
  readonly roleName: string;
  readonly database: IDatabase;
}

export interface StaticLoginProps {
  /** The login's name. */
  readonly name: string;
  /** Whose privileges it has. */
  readonly member: IAccessRole;
  /**
   * Schemas in which its sessions look names up.
   * @default - the database's schemas
   */
  readonly searchPath?: readonly string[];
  /**
   * It is there already, and may have more than these privileges: it is put into the group, and stays as it is otherwise.
   * @default - it is made
   */
  readonly exists?: boolean;
}

/** A login that stays. One that is made has no password until Vault gives it one. */
export class StaticLogin extends Construct implements IManagedLogin, IStaticLogin {
  readonly roleName: string;
  readonly database: IDatabase;

  constructor(scope: Construct, id: string, props: StaticLoginProps) {
    super(scope, id);
    const { database, roleName: group } = props.member;
    this.roleName = checkName(POSTGRES_ROLE, "static login", props.name);
    this.database = database;
    const { roleName: name } = this;
    if (props.exists) {
      database.chain((meta) => new GrantRole(this, "Member", { role: name, grantRole: group, ...meta }));
      new Forgotten(this, "Resource", "postgresql_role");
      return;
    }
    database.chain(
      (meta) =>
        new Role(this, "Resource", {
          name,
          login: true,
          roles: [group],
          searchPath: [...(props.searchPath ?? database.schemas.map(({ name }) => name))],
          // As a leased login: what it creates is the owner's or the group's.
          assumeRole: heirOfMembers(props.member),
          lifecycle: { ignoreChanges: OF_A_DBA },
          ...meta,
        }),
    );
  }
}
