import { Role } from "@cdktf/provider-postgresql/lib/role";
import { Construct } from "constructs";
import { checkName, POSTGRES_ROLE } from "../names";
import type { AccessRole } from "./access-role";
import type { IManagedRole } from "./manager-login";

export interface StaticLoginProps {
  readonly name: string;
  /** Whose privileges it has. */
  readonly member: AccessRole;
}

/** A login that stays, without a password until Vault gives it one. */
export class StaticLogin extends Construct implements IManagedRole {
  readonly roleName: string;

  constructor(id: string, props: StaticLoginProps) {
    const { database, roleName: group, actsAsOwner } = props.member;
    super(database.roles, id);
    this.roleName = checkName(POSTGRES_ROLE, "static login", props.name);
    database.chain(
      (meta) =>
        new Role(this, "Resource", {
          name: this.roleName,
          login: true,
          roles: [group],
          searchPath: [database.schemaName],
          // As a leased login: what it creates is the owner's.
          assumeRole: actsAsOwner ? database.ownerName : undefined,
          ...meta,
        }),
    );
  }
}
