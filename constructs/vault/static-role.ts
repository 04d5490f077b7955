import { DatabaseSecretBackendStaticRole } from "@cdktf/provider-vault/lib/database-secret-backend-static-role";
import { Construct } from "constructs";
import { Duration } from "../duration";
import { checkName, POSTGRES_ROLE, VAULT_NAME } from "../names";
import type { DatabaseConnection } from "./database-connection";
import type { IGrantee } from "./policy-document";
import { statements } from "./statements";

export interface StaticRoleProps {
  readonly name: string;
  /** The login in PostgreSQL, which is there already. */
  readonly username: string;
  readonly rotationPeriod: Duration;
}

/**
 * A login that stays and whose password Vault changes, at once and after each period
 * (https://developer.hashicorp.com/vault/docs/secrets/databases#static-roles).
 */
export class StaticRole extends Construct {
  readonly staticRoleName: string;

  /** Use {@link DatabaseConnection.addStaticRole}, which also allows the role on the connection. */
  constructor(
    private readonly connection: DatabaseConnection,
    id: string,
    connectionName: string,
    props: StaticRoleProps,
  ) {
    super(connection.roles, id);
    this.staticRoleName = checkName(VAULT_NAME, "static role name", props.name);
    const shortest = Duration.seconds(5);
    if (props.rotationPeriod.isShorterThan(shortest)) {
      throw new Error(
        `rotation period (${props.rotationPeriod.toString()}) must be at least ${shortest.toString()}, Vault's shortest`,
      );
    }
    new DatabaseSecretBackendStaticRole(this, "Resource", {
      backend: connection.mount.mountedPath,
      dbName: connectionName,
      name: this.staticRoleName,
      username: checkName(POSTGRES_ROLE, "username", props.username),
      rotationPeriod: props.rotationPeriod.toSeconds(),
      rotationStatements: statements("rotation.sql", {}),
    });
  }

  /** Lets the grantee read the password of the moment. */
  grantRead(grantee: IGrantee): void {
    grantee.allow({
      path: `${this.connection.mount.path}/static-creds/${this.staticRoleName}`,
      capabilities: ["read"],
    });
  }

  /** Lets the grantee have the password changed at once, without learning it. */
  grantRotate(grantee: IGrantee): void {
    grantee.allow({
      path: `${this.connection.mount.path}/rotate-role/${this.staticRoleName}`,
      capabilities: ["update"],
    });
  }
}
