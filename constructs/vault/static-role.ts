import { DatabaseSecretBackendStaticRole } from "@cdktf/provider-vault/lib/database-secret-backend-static-role";
import { Construct } from "constructs";
import { DeclarationError } from "../declaration-error";
import { Duration } from "../duration";
import { checkName, VAULT_NAME } from "../names";
import type { IStaticLogin } from "../postgres/static-login";
import type { DatabaseConnection, IConnectionRole } from "./database-connection";
import type { Capability, IGrantee } from "./policy-document";
import { statements } from "../sql";

/** When Vault changes the password: after each period, or by a schedule, and at once unless it is told otherwise. */
export interface RotationProps {
  /**
   * How often: every 5 seconds at the most.
   * @default - by `rotationSchedule`
   */
  readonly rotationPeriod?: Duration;
  /**
   * As cron has it, in five fields and UTC. HashiCorp's Vault has schedules, OpenBao has none.
   * @default - by `rotationPeriod`
   */
  readonly rotationSchedule?: string;
  /**
   * How long after each moment of the schedule Vault may still do it, an hour at least.
   * @default - until it is done
   */
  readonly rotationWindow?: Duration;
  /**
   * Leaves the login the password that it has until the first rotation that is due. Vault Enterprise has it from 1.18 on.
   * @default - Vault sets a password as soon as the static role is there
   */
  readonly skipImportRotation?: boolean;
}

export interface StaticRoleProps extends RotationProps {
  /** What Vault changes the password through. */
  readonly connection: DatabaseConnection;
  /** Vault's name for it. */
  readonly name: string;
  /** The login in PostgreSQL. */
  readonly login: IStaticLogin;
}

const SHORTEST = Duration.seconds(5);

/**
 * A login that stays and whose password Vault changes, at once and after each period or by a schedule
 * (https://developer.hashicorp.com/vault/docs/secrets/databases#static-roles).
 */
export class StaticRole extends Construct implements IConnectionRole {
  readonly staticRoleName: string;
  private readonly connection: DatabaseConnection;

  constructor(scope: Construct, id: string, props: StaticRoleProps) {
    super(scope, id);
    const { connection, login, rotationPeriod, rotationSchedule, rotationWindow, skipImportRotation } = props;
    this.connection = connection;
    this.staticRoleName = checkName(VAULT_NAME, "static role name", props.name);
    if ((rotationPeriod === undefined) === (rotationSchedule === undefined))
      throw new DeclarationError("a static role must have either a rotation period or a rotation schedule");
    if (rotationWindow && rotationSchedule === undefined)
      throw new DeclarationError("a rotation window must stand beside a rotation schedule");
    if (rotationPeriod?.isShorterThan(SHORTEST)) {
      throw new DeclarationError(
        `rotation period (${rotationPeriod.toString()}) must be at least ${SHORTEST.toString()}, Vault's shortest`,
      );
    }
    connection.allow(this);
    const way = connection.manager.functions ? "functions" : "createrole";
    new DatabaseSecretBackendStaticRole(this, "Resource", {
      backend: connection.mount.mountedPath,
      dbName: connection.reference,
      credentialConfig: connection.credentialConfig,
      name: this.staticRoleName,
      username: login.roleName,
      rotationPeriod: rotationPeriod?.toSeconds(),
      rotationSchedule,
      rotationWindow: rotationWindow?.toSeconds(),
      skipImportRotation: skipImportRotation ? true : undefined,
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

  grantManage(grantee: IGrantee): void {
    this.grant(grantee, "static-roles", "create", "read", "update", "delete");
  }

  grantInspect(grantee: IGrantee): void {
    this.grant(grantee, "static-roles", "read");
  }

  get vaultName(): string {
    return this.staticRoleName;
  }

  private grant(grantee: IGrantee, endpoint: string, ...capabilities: Capability[]): void {
    grantee.allow({
      path: `${this.connection.mount.path}/${endpoint}/${this.staticRoleName}`,
      capabilities,
    });
  }
}
