import { AuthBackend } from "@cdktf/provider-vault/lib/auth-backend";
import { Construct } from "constructs";
import { Duration } from "../duration";
import { checkName, VAULT_AUTH_PATH } from "../names";
import { AppRole, type AppRoleProps } from "./app-role";
import type { IGrantee, PolicyRule } from "./policy-document";

/** Where the AppRole auth method is mounted, below `auth/`. */
export interface IAppRoleAuth {
  readonly path: string;
  /** The path, for resources that need the mount to be there. */
  readonly mountedPath: string;
  /** Those that were added to it. */
  readonly appRoles: AppRole[];
}

export interface AppRoleAuthProps {
  /** Below `auth/`. */
  readonly path: string;
}

/** How long a wrapped secret id may wait to be opened. */
const SECRET_ID_WRAPPING = { min: Duration.seconds(5), max: Duration.minutes(5) };

/** The AppRole auth method, mounted. */
export class AppRoleAuth extends Construct implements IAppRoleAuth {
  /** One that is mounted already. */
  static fromPath(path: string): IAppRoleAuth {
    return { path: checkName(VAULT_AUTH_PATH, "auth mount path", path), mountedPath: path, appRoles: [] };
  }

  readonly path: string;
  /** Where AppRoles live, so that none can take the id of a part of the mount. */
  readonly roles = new Construct(this, "Roles");
  readonly appRoles: AppRole[] = [];
  private readonly resource: AuthBackend;

  constructor(scope: Construct, id: string, props: AppRoleAuthProps) {
    super(scope, id);
    this.path = checkName(VAULT_AUTH_PATH, "auth mount path", props.path);
    this.resource = new AuthBackend(this, "Resource", { type: "approle", path: this.path });
  }

  get mountedPath(): string {
    return this.resource.path;
  }

  /** Adds an application's identity. */
  addAppRole(id: string, props: Omit<AppRoleProps, "auth">): AppRole {
    return new AppRole(this.roles, id, { auth: this, ...props });
  }

  /**
   * The mount itself and its AppRoles: those that were added to it by now as they are declared, and away with any. `+` is one
   * segment, so that the secret ids below them stay out.
   */
  grantManage(grantee: IGrantee): void {
    grantee.allow(
      {
        path: `sys/auth/${this.path}`,
        capabilities: ["create", "update", "delete", "sudo"],
        parameters: { type: ["approle"], "*": [] },
      },
      ...this.inspected(),
      { path: `auth/${this.path}/role/+`, capabilities: ["read", "delete"] },
    );
    for (const appRole of this.appRoles) appRole.grantManage(grantee);
  }

  /** Secret ids that are wrapped, of any of its AppRoles: an opened wrapping is noticed. */
  grantDeliver(grantee: IGrantee): void {
    grantee.allow({
      path: `auth/${this.path}/role/+/secret-id`,
      capabilities: ["update"],
      wrapping: SECRET_ID_WRAPPING,
    });
  }

  /** The role ids of its AppRoles. */
  grantReadRoleId(grantee: IGrantee): void {
    grantee.allow(this.roleIds());
  }

  grantInspect(grantee: IGrantee): void {
    grantee.allow(...this.inspected(), { path: `auth/${this.path}/role/+`, capabilities: ["read"] });
  }

  /** Where the provider reads the mount and, of each AppRole, the role id, which is no secret. */
  private inspected(): PolicyRule[] {
    const path = `sys/mounts/auth/${this.path}`;
    return [
      { path, capabilities: ["read"] },
      { path: `${path}/tune`, capabilities: ["read"] },
      this.roleIds(),
    ];
  }

  private roleIds(): PolicyRule {
    return { path: `auth/${this.path}/role/+/role-id`, capabilities: ["read"] };
  }
}
