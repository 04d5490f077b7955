import { AuthBackend } from "@cdktf/provider-vault/lib/auth-backend";
import { TerraformOutput } from "cdktf";
import { Construct } from "constructs";
import { Duration } from "../duration";
import { Forgotten } from "../forgotten";
import { checkName, VAULT_AUTH_PATH } from "../names";
import { AppRole, type AppRoleProps } from "./app-role";
import type { IAuthMethod } from "./persona-login";
import type { IGrantee, PolicyRule } from "./policy-document";
import type { TrustPolicies } from "./trust-policies";

/** Where the AppRole auth method is mounted, below `auth/`. */
export interface IAppRoleAuth extends IAuthMethod {
  readonly path: string;
  /** It was there before, and others may have theirs in it. */
  readonly exists: boolean;
  /** The path, for resources that need the mount to be there. */
  readonly mountedPath: string;
  /** Those that were added to it. */
  readonly appRoles: AppRole[];
  /** Adds an application's identity. */
  addAppRole(id: string, props: Omit<AppRoleProps, "auth">): AppRole;
}

export interface AppRoleAuthProps {
  /** Below `auth/`. */
  readonly path: string;
}

abstract class AppRoleAuthBase extends Construct implements IAppRoleAuth {
  readonly path: string;
  abstract readonly exists: boolean;
  abstract readonly mountedPath: string;
  /** Where AppRoles live, so that none can take the id of a part of the mount. */
  readonly roles = new Construct(this, "Roles");
  readonly appRoles: AppRole[] = [];

  constructor(scope: Construct, id: string, path: string) {
    super(scope, id);
    this.path = checkName(VAULT_AUTH_PATH, "auth mount path", path);
  }

  get policyNames(): string[] {
    return this.appRoles.map(({ policyName }) => policyName);
  }

  addAppRole(id: string, props: Omit<AppRoleProps, "auth">): AppRole {
    return new AppRole(this.roles, id, { auth: this, ...props });
  }

  abstract grantManage(grantee: IGrantee): void;
  abstract grantInspect(grantee: IGrantee): void;
  abstract grantDeliver(grantee: IGrantee): void;

  /** Secret ids as a deliverer's, the role ids, and the policies of the AppRoles that were added to it by now. */
  grantVerify(grantee: IGrantee): void {
    this.grantDeliver(grantee);
    grantee.allow(...this.roleIds());
    for (const appRole of this.appRoles) appRole.grantReadPolicy(grantee);
  }

  /** Where the provider reads the mount and, of each AppRole, the role id, which is no secret. */
  protected inspected(): PolicyRule[] {
    const path = `sys/mounts/auth/${this.path}`;
    return [
      { path, capabilities: ["read"] },
      { path: `${path}/tune`, capabilities: ["read"] },
      ...this.roleIds(),
    ];
  }

  protected abstract roleIds(): PolicyRule[];
}

/** The AppRole auth method, mounted. */
export class AppRoleAuth extends AppRoleAuthBase {
  /** One that is mounted already, and stays so. */
  static fromPath(scope: Construct, id: string, path: string): IAppRoleAuth & Construct {
    return new ExistingAppRoleAuth(scope, id, path);
  }

  readonly exists = false;
  private readonly resource: AuthBackend;

  constructor(scope: Construct, id: string, { path }: AppRoleAuthProps) {
    super(scope, id, path);
    this.resource = new AuthBackend(this, "Resource", { type: "approle", path: this.path });
  }

  get mountedPath(): string {
    return this.resource.path;
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

  grantInspect(grantee: IGrantee): void {
    grantee.allow(...this.inspected(), { path: `auth/${this.path}/role/+`, capabilities: ["read"] });
  }

  protected roleIds(): PolicyRule[] {
    return [{ path: `auth/${this.path}/role/+/role-id`, capabilities: ["read"] }];
  }
}

/** One that was mounted before: what others have in it is in no policy, so each AppRole of ours is. */
class ExistingAppRoleAuth extends AppRoleAuthBase {
  readonly exists = true;

  constructor(scope: Construct, id: string, path: string) {
    super(scope, id, path);
    // Of a stack that had mounted it.
    new Forgotten(this, "Resource", "vault_auth_backend");
  }

  get mountedPath(): string {
    return this.path;
  }

  grantManage(grantee: IGrantee): void {
    grantee.allow(...this.inspected());
    for (const appRole of this.appRoles) appRole.grantManage(grantee);
  }

  grantInspect(grantee: IGrantee): void {
    grantee.allow(...this.inspected());
    for (const { path } of this.appRoles) grantee.allow({ path, capabilities: ["read"] });
  }

  grantDeliver(grantee: IGrantee): void {
    for (const { path } of this.appRoles)
      grantee.allow({
        path: `${path}/secret-id`,
        capabilities: ["update"],
        wrapping: SECRET_ID_WRAPPING,
      });
  }

  protected roleIds(): PolicyRule[] {
    return this.appRoles.map(({ path }) => ({ path: `${path}/role-id`, capabilities: ["read"] }));
  }
}

/** How long a wrapped secret id may wait to be opened. */
const SECRET_ID_WRAPPING = { min: Duration.seconds(5), max: Duration.minutes(5) };

/** A persona's login with an AppRole, as a config declares it. */
export interface AppRoleLoginProps extends Omit<AppRoleProps, "auth"> {
  readonly kind: "approle";
  /** Where the auth method is mounted, below `auth/`. */
  readonly authMount: string;
  /**
   * Whether it is mounted already, and stays so.
   * @default - the stack mounts it
   */
  readonly authMountExists?: boolean;
}

/** Adds an AppRole, and its role id as an output of the stack. */
export function addAppRoleLogin(
  scope: Construct,
  trust: TrustPolicies,
  { kind: _, authMount: path, authMountExists, ...props }: AppRoleLoginProps,
): AppRole {
  const id = "AppRoles";
  const mounted = scope.node.tryFindChild(id) as (IAppRoleAuth & Construct) | undefined;
  const make = () =>
    authMountExists ? AppRoleAuth.fromPath(scope, id, path) : new AppRoleAuth(scope, id, { path });
  const auth = mounted ?? make();
  if (!mounted) trust.addAuth(auth);
  const appRole = auth.addAppRole(props.name, props);
  new TerraformOutput(scope, `role_id_${props.name}`, {
    value: appRole.roleId,
    description: `the role id of ${props.name}, for whoever deploys what logs in with it`,
    staticId: true,
  });
  return appRole;
}
