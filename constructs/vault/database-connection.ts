import { DatabaseSecretBackendConnection } from "@cdktf/provider-vault/lib/database-secret-backend-connection";
import { Lazy } from "cdktf";
import { Construct } from "constructs";
import { checkName, POSTGRES_DATABASE, POSTGRES_ROLE, VAULT_NAME } from "../names";
import type { Secret } from "../secret";
import type { DatabaseMount } from "./database-mount";
import { DatabaseRole, type DatabaseRoleProps } from "./database-role";
import { StaticRole, type StaticRoleProps } from "./static-role";

export interface DatabaseConnectionProps {
  readonly name: string;
  /** As Vault reaches it; usually a variable. */
  readonly host: string;
  /** As Vault reaches it; usually a variable. */
  readonly port: string;
  /**
   * Makes Vault check the server's certificate, against the authorities of its machine where both are empty.
   * @default - no TLS
   */
  readonly tls?: {
    /** The CA certificate, in PEM. HashiCorp's Vault takes it; OpenBao does not look at it. */
    readonly ca: string;
    /** The file with the CA certificate on Vault's machine, which both take. */
    readonly rootCertFile: string;
  };
  readonly database: string;
  readonly username: string;
  readonly password: Secret;
  /** Raised, it sets the password anew. From 1: the provider never sends version 0. */
  readonly passwordVersion: number;
}

/** How Vault reaches a database, as its manager. Only roles that were added to it may use it. */
export class DatabaseConnection extends Construct {
  readonly connectionName: string;
  /** Where its roles live, so that none can take the id of a part of the connection. */
  readonly roles = new Construct(this, "Roles");
  private readonly resource: DatabaseSecretBackendConnection;
  private readonly allowedRoles: string[] = [];

  constructor(
    readonly mount: DatabaseMount,
    id: string,
    props: DatabaseConnectionProps,
  ) {
    super(mount, id);
    this.connectionName = checkName(VAULT_NAME, "connection name", props.name);
    const database = checkName(POSTGRES_DATABASE, "database name", props.database);
    const { tls } = props;
    const mode = tls ? `verify-full&sslrootcert=${tls.rootCertFile}` : "disable";
    this.resource = new DatabaseSecretBackendConnection(this, "Resource", {
      backend: mount.mountedPath,
      name: this.connectionName,
      allowedRoles: Lazy.listValue({ produce: () => this.allowedRoles }),
      postgresql: {
        connectionUrl: `postgresql://{{username}}:{{password}}@${props.host}:${props.port}/${database}?sslmode=${mode}`,
        tlsCa: tls?.ca,
        username: checkName(POSTGRES_ROLE, "username", props.username),
        passwordWo: props.password.reference,
        passwordWoVersion: props.passwordVersion,
        // Vault hashes the passwords of leases itself, so that they never stand in SQL or in the server's log.
        passwordAuthentication: "scram-sha-256",
      },
    });
  }

  /** Adds a role that leases logins in a group role. */
  addRole(id: string, props: DatabaseRoleProps): DatabaseRole {
    const role = new DatabaseRole(this, id, this.resource.name, props);
    this.allowedRoles.push(role.databaseRoleName);
    return role;
  }

  /** Adds a role whose login is kept, and whose password Vault changes again and again. */
  addStaticRole(id: string, props: StaticRoleProps): StaticRole {
    const role = new StaticRole(this, id, this.resource.name, props);
    this.allowedRoles.push(role.staticRoleName);
    return role;
  }
}
