import { Mount } from "@cdktf/provider-vault/lib/mount";
import { Construct } from "constructs";
import { Forgotten } from "../forgotten";
import { checkName, VAULT_MOUNT_PATH } from "../names";
import type { DatabaseConnection } from "./database-connection";
import type { IGrantee, PolicyRule } from "./policy-document";

/** Where the database secrets engine is mounted. */
export interface IDatabaseMount {
  readonly path: string;
  /** It was there before, and others may have theirs in it. */
  readonly exists: boolean;
  /** The path, for resources that need the mount to be there. */
  readonly mountedPath: string;
  /** Those that were added to it. */
  readonly connections: DatabaseConnection[];
  /** Lets the operator write what was added to it by now as it is declared, and see and revoke its leases. */
  grantManage(grantee: IGrantee): void;
  /** Lets the planner read what the operator writes. */
  grantInspect(grantee: IGrantee): void;
}

export interface DatabaseMountProps {
  /** Without a slash at either end. */
  readonly path: string;
}

/** The database secrets engine, mounted. */
export class DatabaseMount extends Construct implements IDatabaseMount {
  /** One that is mounted already, and stays so. */
  static fromPath(scope: Construct, id: string, path: string): IDatabaseMount & Construct {
    return new ExistingDatabaseMount(scope, id, path);
  }

  readonly path: string;
  readonly exists = false;
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
      LEASE_LOOKUP,
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

/** Of a lease whose id is in the request. */
const LEASE_LOOKUP: PolicyRule = { path: "sys/leases/lookup", capabilities: ["update"] };

/** One that was mounted before: what others have in it is in no policy, so each name of ours is. */
class ExistingDatabaseMount extends Construct implements IDatabaseMount {
  readonly path: string;
  readonly exists = true;
  readonly connections: DatabaseConnection[] = [];

  constructor(scope: Construct, id: string, path: string) {
    super(scope, id);
    this.path = checkName(VAULT_MOUNT_PATH, "mount path", path);
    // Of a stack that had mounted it.
    new Forgotten(this, "Resource", "vault_mount");
  }

  get mountedPath(): string {
    return this.path;
  }

  grantManage(grantee: IGrantee): void {
    grantee.allow({ path: `sys/mounts/${this.path}`, capabilities: ["read"] }, LEASE_LOOKUP);
    for (const connection of this.connections) {
      connection.grantManage(grantee);
      for (const role of connection.added) role.grantManage(grantee);
    }
  }

  grantInspect(grantee: IGrantee): void {
    grantee.allow({ path: `sys/mounts/${this.path}`, capabilities: ["read"] });
    for (const connection of this.connections) {
      connection.grantInspect(grantee);
      for (const role of connection.added) role.grantInspect(grantee);
    }
  }
}
