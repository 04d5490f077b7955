import { DatabaseSecretBackendStaticRole } from "@cdktf/provider-vault/lib/database-secret-backend-static-role";
import { Construct } from "constructs";
import { DeclarationError } from "../declaration-error";
import { Duration } from "../duration";
import { checkName, VAULT_NAME } from "../names";
import type { IStaticLogin } from "../postgres/static-login";
import type { DatabaseConnection } from "./database-connection";
import type { IGrantee } from "./policy-document";
import { statements } from "../sql";

export interface StaticRoleProps {
  /** What Vault changes the password through. */
  readonly connection: DatabaseConnection;
  /** Vault's name for it. */
  readonly name: string;
  /** The login in PostgreSQL. */
  readonly login: IStaticLogin;
  /** How often Vault changes the password: every 5 seconds at the most. */
  readonly rotationPeriod: Duration;
}

const SHORTEST = Duration.seconds(5);

/**
 * A login that stays and whose password Vault changes, at once and after each period
 * (https://developer.hashicorp.com/vault/docs/secrets/databases#static-roles).
 */
export class StaticRole extends Construct {
  readonly staticRoleName: string;
  private readonly connection: DatabaseConnection;

  constructor(scope: Construct, id: string, props: StaticRoleProps) {
    super(scope, id);
    const { connection, login, rotationPeriod } = props;
    this.connection = connection;
    this.staticRoleName = checkName(VAULT_NAME, "static role name", props.name);
    if (rotationPeriod.isShorterThan(SHORTEST)) {
      throw new DeclarationError(
        `rotation period (${rotationPeriod.toString()}) must be at least ${SHORTEST.toString()}, Vault's shortest`,
      );
    }
    connection.allow(this.staticRoleName);
    const way = connection.manager.functions ? "functions" : "createrole";
    new DatabaseSecretBackendStaticRole(this, "Resource", {
      backend: connection.mount.mountedPath,
      dbName: connection.reference,
      credentialConfig: connection.credentialConfig,
      name: this.staticRoleName,
      username: login.roleName,
      rotationPeriod: rotationPeriod.toSeconds(),
      rotationStatements: statements(`${way}/rotation.sql`, {}),
      dependsOn: login.database.requiredBy(this),
    });
  }

  /** Lets the grantee read the password of the moment. */
  grantRead(grantee: IGrantee): void {
    this.grant(grantee, "static-creds", "read");
  }

  /** Lets the grantee have the password changed at once, without learning it. */
  grantRotate(grantee: IGrantee): void {
    this.grant(grantee, "rotate-role", "update");
  }

  private grant(grantee: IGrantee, endpoint: string, capability: "read" | "update"): void {
    grantee.allow({
      path: `${this.connection.mount.path}/${endpoint}/${this.staticRoleName}`,
      capabilities: [capability],
    });
  }
}
