import { AuthBackend } from "@cdktf/provider-vault/lib/auth-backend";
import { Construct } from "constructs";
import { checkName, VAULT_AUTH_PATH } from "../names";
import type { IGrantee, PolicyRule } from "./policy-document";

export interface AppRoleAuthProps {
  readonly path: string;
}

/** The AppRole auth method, mounted. */
export class AppRoleAuth extends Construct {
  readonly path: string;
  /** Where AppRoles live, so that none can take the id of a part of the mount. */
  readonly roles = new Construct(this, "Roles");
  private readonly resource: AuthBackend;

  constructor(scope: Construct, id: string, props: AppRoleAuthProps) {
    super(scope, id);
    this.path = checkName(VAULT_AUTH_PATH, "auth mount path", props.path);
    this.resource = new AuthBackend(this, "Resource", { type: "approle", path: this.path });
  }

  /** The mounted path, for resources that need the mount to be there. */
  get mountedPath(): string {
    return this.resource.path;
  }

  /** The mount itself and its AppRoles. `+` is one segment, so that the secret ids below them stay out. */
  grantManage(grantee: IGrantee): void {
    grantee.allow(
      {
        path: `sys/auth/${this.path}`,
        capabilities: ["create", "update", "delete", "sudo"],
        fixedParameters: { type: "approle" },
      },
      ...this.inspected(),
      {
        path: `auth/${this.path}/role/+`,
        capabilities: ["create", "read", "update", "delete"],
        // An AppRole that logs in without a secret id would give its writer every credential.
        fixedParameters: { bind_secret_id: true },
      },
    );
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
      { path: `auth/${this.path}/role/+/role-id`, capabilities: ["read"] },
    ];
  }
}
