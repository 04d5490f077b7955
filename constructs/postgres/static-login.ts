import { Role } from "@cdktf/provider-postgresql/lib/role";
import { Construct } from "constructs";
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
}

/** A login that stays, without a password until Vault gives it one. */
export class StaticLogin extends Construct implements IManagedLogin, IStaticLogin {
  readonly roleName: string;
  readonly database: IDatabase;

  constructor(scope: Construct, id: string, props: StaticLoginProps) {
    super(scope, id);
    const { database, roleName: group } = props.member;
    this.roleName = checkName(POSTGRES_ROLE, "static login", props.name);
    this.database = database;
    database.chain(
      (meta) =>
        new Role(this, "Resource", {
          name: this.roleName,
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
