import { DatabaseSecretBackendRole } from "@cdktf/provider-vault/lib/database-secret-backend-role";
import { Annotations } from "cdktf";
import { Construct } from "constructs";
import type { Duration } from "../duration";
import { checkName, VAULT_NAME } from "../names";
import type { IAccessRole } from "../postgres/access-role";
import { AppRole } from "./app-role";
import type { DatabaseConnection } from "./database-connection";
import type { IGrantee } from "./policy-document";
import { statements } from "./statements";

export interface DatabaseRoleProps {
  /** The group role that leased logins join. */
  readonly member: IAccessRole;
  /** @default - the group role's name */
  readonly name?: string;
  readonly defaultTtl: Duration;
  readonly maxTtl: Duration;
  /**
   * How many sessions a leased login may have at a time.
   * @default - 20
   */
  readonly connectionLimit?: number;
  /** The comment on each leased login. */
  readonly mark: string;
}

/** What can be leased: logins in one group role, and the SQL that makes, renews and removes them. */
export class DatabaseRole extends Construct {
  readonly databaseRoleName: string;
  private readonly defaultTtl: Duration;

  /** Use {@link DatabaseConnection.addRole}, which also allows the role on the connection. */
  constructor(
    private readonly connection: DatabaseConnection,
    id: string,
    connectionName: string,
    props: DatabaseRoleProps,
  ) {
    super(connection.roles, id);
    const { member, defaultTtl, maxTtl } = props;
    this.databaseRoleName = checkName(VAULT_NAME, "database role name", props.name ?? member.roleName);
    this.defaultTtl = defaultTtl;
    if (maxTtl.isShorterThan(defaultTtl)) {
      throw new Error(
        `lease max TTL (${maxTtl.toString()}) must be at least the default TTL (${defaultTtl.toString()})`,
      );
    }
    const values = {
      group: member.roleName,
      owner: member.database.ownerName,
      schema: member.database.schemaName,
      // What it makes is the persona's, unless it acts as the owner: whoever can create would else have the owner's rights,
      // by a function that runs as its owner.
      heir: member.actsAsOwner ? member.database.ownerName : member.roleName,
      limit: props.connectionLimit ?? 20,
      mark: props.mark,
    };
    new DatabaseSecretBackendRole(this, "Resource", {
      backend: connection.mount.mountedPath,
      dbName: connectionName,
      name: this.databaseRoleName,
      creationStatements: statements(
        member.actsAsOwner ? "owner/creation.sql" : "member/creation.sql",
        values,
      ),
      renewStatements: statements("renewal.sql", values),
      revocationStatements: statements("revocation.sql", values),
      defaultTtl: defaultTtl.toSeconds(),
      maxTtl: maxTtl.toSeconds(),
    });
  }

  /** Lets the grantee lease a login. */
  grantRead(grantee: IGrantee): void {
    grantee.allow({
      path: `${this.connection.mount.path}/creds/${this.databaseRoleName}`,
      capabilities: ["read"],
    });
    if (grantee instanceof AppRole && grantee.tokenMaxTtl.isShorterThan(this.defaultTtl)) {
      Annotations.of(this).addWarning(
        `a lease of ${this.databaseRoleName} (${this.defaultTtl.toString()}) ends with the token that took it, after ${grantee.tokenMaxTtl.toString()} at most`,
      );
    }
  }

  /** Lets the grantee list and revoke this role's leases, whoever took them. Sudo paths, both. */
  grantRevokePrefix(grantee: IGrantee): void {
    const prefix = `${this.connection.mount.path}/creds/${this.databaseRoleName}`;
    grantee.allow(
      { path: `sys/leases/lookup/${prefix}`, capabilities: ["list", "sudo"] },
      { path: `sys/leases/lookup/${prefix}/`, capabilities: ["list", "sudo"] },
      { path: `sys/leases/revoke-prefix/${prefix}`, capabilities: ["update", "sudo"] },
    );
  }
}
