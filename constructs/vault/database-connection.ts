import { DatabaseSecretBackendConnection } from "@cdktf/provider-vault/lib/database-secret-backend-connection";
import { Lazy } from "cdktf";
import { Construct } from "constructs";
import { checkName, POSTGRES_DATABASE, POSTGRES_ROLE, VAULT_NAME } from "../names";
import type { Secret } from "../secret";
import type { DatabaseMount } from "./database-mount";
import { DatabaseRole, type DatabaseRoleProps } from "./database-role";
import type { IGrantee, Parameters } from "./policy-document";
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

/** What Go's strings.TrimSpace takes for blank. */
const BLANKS = Array.from(
  "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000",
);

/** How Vault reaches a database, as its manager. Only roles that were added to it may use it. */
export class DatabaseConnection extends Construct {
  readonly connectionName: string;
  /** Where its roles live, so that none can take the id of a part of the connection. */
  readonly roles = new Construct(this, "Roles");
  private readonly resource: DatabaseSecretBackendConnection;
  private readonly allowedRoles: string[] = [];
  private readonly parameters: Parameters;

  constructor(
    readonly mount: DatabaseMount,
    id: string,
    props: DatabaseConnectionProps,
  ) {
    super(mount, id);
    mount.connections.push(this);
    this.connectionName = checkName(VAULT_NAME, "connection name", props.name);
    const database = checkName(POSTGRES_DATABASE, "database name", props.database);
    const { tls } = props;
    const mode = tls ? `verify-full&sslrootcert=${tls.rootCertFile}` : "disable";
    const connectionUrl = `postgresql://{{username}}:{{password}}@${props.host}:${props.port}/${database}?sslmode=${mode}`;
    const username = checkName(POSTGRES_ROLE, "username", props.username);
    // Vault hashes the passwords of leases itself, so that they never stand in SQL or in the server's log.
    const passwordAuthentication = "scram-sha-256";
    this.resource = new DatabaseSecretBackendConnection(this, "Resource", {
      backend: mount.mountedPath,
      name: this.connectionName,
      allowedRoles: Lazy.listValue({ produce: () => this.allowedRoles }),
      postgresql: {
        connectionUrl,
        tlsCa: tls?.ca,
        username,
        passwordWo: props.password.reference,
        passwordWoVersion: props.passwordVersion,
        passwordAuthentication,
      },
    });
    this.parameters = {
      plugin_name: ["postgresql-database-plugin"],
      connection_url: [connectionUrl],
      ...(tls && { tls_ca: [tls.ca] }),
      username: [username],
      password_authentication: [passwordAuthentication],
      // Without escapes a username or a password could change the URL that they become part of.
      disable_escaping: [false],
      verify_connection: [true],
      username_template: [""],
      password: [],
      allowed_roles: [],
      max_open_connections: [],
      max_idle_connections: [],
      max_connection_lifetime: [],
      // What the provider always sends to Vault Enterprise.
      rotation_period: [],
      rotation_schedule: [],
      rotation_window: [],
      disable_automated_rotation: [],
    };
  }

  /**
   * The connection as it is declared, with any password, and to have that replaced. With another plugin or URL who writes it
   * would read files of Vault's machine, or be sent the password.
   */
  grantManage(grantee: IGrantee): void {
    grantee.allow(
      {
        path: `${this.mount.path}/config/${this.connectionName}`,
        capabilities: ["create", "read", "update", "delete"],
        parameters: this.parameters,
        denied: {
          // HashiCorp's Vault from 1.21 on lets a text pass with blanks around it, and an empty one. A URL after a blank is none
          // to PostgreSQL's driver: it connects to where its defaults say, and sends what it took for a setting, the password in it.
          connection_url: BLANKS.map((blank) => `${blank}*`),
          // Read as `password`: what Vault would put into the SQL that the operator writes.
          password_authentication: [""],
        },
      },
      { path: `${this.mount.path}/rotate-root/${this.connectionName}`, capabilities: ["update"] },
    );
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
