import { Mount } from "@cdktf/provider-vault/lib/mount";
import { Construct } from "constructs";
import { checkName, VAULT_MOUNT_PATH } from "../names";
import type { DatabaseConnection } from "./database-connection";
import type { IGrantee } from "./policy-document";

/** Where the database secrets engine is mounted. */
export interface IDatabaseMount {
  readonly path: string;
  /** The path, for resources that need the mount to be there. */
  readonly mountedPath: string;
  /** Those that were added to it. */
  readonly connections: DatabaseConnection[];
}

export interface DatabaseMountProps {
  /** Without a slash at either end. */
  readonly path: string;
}

/** The database secrets engine, mounted. */
export class DatabaseMount extends Construct implements IDatabaseMount {
  /** One that is mounted already. */
  static fromPath(path: string): IDatabaseMount {
    return { path: checkName(VAULT_MOUNT_PATH, "mount path", path), mountedPath: path, connections: [] };
  }

  readonly path: string;
  readonly connections: DatabaseConnection[] = [];
  private readonly resource: Mount;

  constructor(scope: Construct, id: string, props: DatabaseMountProps) {
    super(scope, id);
    this.path = checkName(VAULT_MOUNT_PATH, "mount path", props.path);
    this.resource = new Mount(this, "Resource", { type: "database", path: this.path });
  }

  get mountedPath(): string {
    return this.resource.path;
  }

  /**
   * Everything on the mount but its credentials, and to see which leases there are; of connections those that were added to it by now, as they are declared, and
   * away with any.
   */
  grantManage(grantee: IGrantee): void {
    grantee.allow(
      {
        path: `sys/mounts/${this.path}`,
        capabilities: ["create", "read", "update", "delete"],
        parameters: { type: ["database"], "*": [] },
      },
      { path: `${this.path}/config/*`, capabilities: ["read", "delete"] },
      { path: `${this.path}/roles/*`, capabilities: ["create", "read", "update", "delete"] },
      { path: `${this.path}/static-roles/*`, capabilities: ["create", "read", "update", "delete"] },
      { path: `sys/leases/revoke-prefix/${this.path}/*`, capabilities: ["update", "sudo"] },
      { path: `sys/leases/lookup/${this.path}/creds/*`, capabilities: ["list", "sudo"] },
      { path: "sys/leases/lookup", capabilities: ["update"] },
    );
    for (const connection of this.connections) connection.grantManage(grantee);
  }

  grantInspect(grantee: IGrantee): void {
    grantee.allow(
      { path: `sys/mounts/${this.path}`, capabilities: ["read"] },
      { path: `${this.path}/config/*`, capabilities: ["read"] },
      { path: `${this.path}/roles/*`, capabilities: ["read"] },
      { path: `${this.path}/static-roles/*`, capabilities: ["read"] },
    );
  }
}
