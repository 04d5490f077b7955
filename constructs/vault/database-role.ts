import { DatabaseSecretBackendRole } from "@cdktf/provider-vault/lib/database-secret-backend-role";
import { Annotations } from "cdktf";
import { Construct } from "constructs";
import { DeclarationError } from "../declaration-error";
import { Duration } from "../duration";
import { checkName, VAULT_NAME } from "../names";
import type { IAccessRole } from "../postgres/access-role";
import type { DatabaseConnection, IConnectionRole } from "./database-connection";
import type { LeaseStatements } from "./lease-statements";
import type { IGrantee } from "./policy-document";

export interface DatabaseRoleProps {
  /** What it leases logins through. */
  readonly connection: DatabaseConnection;
  /** The group role that leased logins join. */
  readonly member: IAccessRole;
  /** What makes, renews and removes them. */
  readonly statements: LeaseStatements;
  /**
   * Vault's name for it.
   * @default - the group role's
   */
  readonly name?: string;
  /**
   * How long a lease lives until it is renewed.
   * @default - 1 hour
   */
  readonly defaultTtl?: Duration;
  /**
   * How long it lives however often it is renewed.
   * @default - 24 hours
   */
  readonly maxTtl?: Duration;
  /**
   * Says that a lease is meant to end early, with the token that took it.
   * @default - a warning where a grantee's tokens live shorter than a lease can
   */
  readonly leaseEndsWithToken?: boolean;
}

/** What can be leased: logins in one group role. */
export class DatabaseRole extends Construct implements IConnectionRole {
  readonly databaseRoleName: string;
  /** As the manifest has it. */
  readonly declared: { readonly name: string; readonly defaultTtl: number; readonly maxTtl: number };
  private readonly maxTtl: Duration;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: DatabaseRoleProps,
  ) {
    super(scope, id);
    const { connection, member, statements } = props;
    const { name = member.roleName, defaultTtl = Duration.hours(1), maxTtl = Duration.hours(24) } = props;
    this.databaseRoleName = checkName(VAULT_NAME, "database role name", name);
    this.maxTtl = maxTtl;
    this.declared = { name, defaultTtl: defaultTtl.toSeconds(), maxTtl: maxTtl.toSeconds() };
    if (maxTtl.isShorterThan(defaultTtl)) {
      throw new DeclarationError(
        `lease max TTL (${maxTtl.toString()}) must be at least the default TTL (${defaultTtl.toString()})`,
      );
    }
    connection.allow(this);
    new DatabaseSecretBackendRole(this, "Resource", {
      backend: connection.mount.mountedPath,
      dbName: connection.reference,
      credentialConfig: connection.credentialConfig,
      ...this.declared,
      creationStatements: [...statements.creation],
      renewStatements: [...statements.renewal],
      revocationStatements: [...statements.revocation],
      dependsOn: member.database.requiredBy(this),
    });
  }

  /** Lets the grantee lease a login. */
  grantRead(grantee: IGrantee): void {
    grantee.allow({ path: this.credentials, capabilities: ["read"] });
    const { tokenMaxTtl } = grantee;
    if (!this.props.leaseEndsWithToken && tokenMaxTtl?.isShorterThan(this.maxTtl)) {
      Annotations.of(this).addWarning(
        `a lease of ${this.databaseRoleName} (${this.maxTtl.toString()} at most) ends with the token that took it, after ${tokenMaxTtl.toString()} at most`,
      );
    }
  }

  /** Lets the grantee list and revoke this role's leases, whoever took them. Sudo paths, both. */
  grantRevokePrefix(grantee: IGrantee): void {
    grantee.allow(
      { path: `sys/leases/lookup/${this.credentials}`, capabilities: ["list", "sudo"] },
      { path: `sys/leases/lookup/${this.credentials}/`, capabilities: ["list", "sudo"] },
      { path: `sys/leases/revoke-prefix/${this.credentials}`, capabilities: ["update", "sudo"] },
    );
  }

  grantManage(grantee: IGrantee): void {
    grantee.allow({ path: this.path, capabilities: ["create", "read", "update", "delete"] });
    this.grantRevokePrefix(grantee);
    // A lease by its id, as a sweep revokes one that has ended.
    grantee.allow({
      path: `sys/leases/revoke-prefix/${this.credentials}/*`,
      capabilities: ["update", "sudo"],
    });
  }

  grantInspect(grantee: IGrantee): void {
    grantee.allow({ path: this.path, capabilities: ["read"] });
  }

  get vaultName(): string {
    return this.databaseRoleName;
  }

  private get path(): string {
    return `${this.props.connection.mount.path}/roles/${this.databaseRoleName}`;
  }

  private get credentials(): string {
    return `${this.props.connection.mount.path}/creds/${this.databaseRoleName}`;
  }
}
