import { DatabaseSecretBackendConnection } from "@cdktf/provider-vault/lib/database-secret-backend-connection";
import { Lazy } from "cdktf";
import { Construct } from "constructs";
import { Manifest } from "../manifest";
import { DeclarationError } from "../declaration-error";
import { checkName, VAULT_NAME } from "../names";
import type { Duration } from "../duration";
import type { IManagerLogin } from "../postgres/manager-login";
import {
  USERNAME_TEMPLATE,
  type PASSWORD_AUTHENTICATION,
  type SSL_MODES,
  type TARGET_SESSION_ATTRS,
} from "./connection-options";
import type { IDatabaseMount } from "./database-mount";
import { DatabaseRole, type DatabaseRoleProps } from "./database-role";
import type { IGrantee, Parameters } from "./policy-document";
import type { ServerAddress } from "./server-address";
import { StaticRole, type StaticRoleProps } from "./static-role";

export interface DatabaseConnectionProps {
  /** Where it is configured. */
  readonly mount: IDatabaseMount;
  /** Vault's name for it. */
  readonly name: string;
  /** Where the server is, as Vault reaches it. */
  readonly address: ServerAddress;
  /** Vault's own login, on its database. */
  readonly manager: IManagerLogin;
  /**
   * Raised, it sets the password anew. From 1: the provider never sends version 0.
   * @default - 1
   */
  readonly passwordVersion?: number;
  /**
   * Whether Vault replaces the password after the first deploy by one that it alone knows, which `leasehold deploy` asks it for.
   * @default - the password stays
   */
  readonly rotateRoot?: boolean;
  /**
   * How many sessions Vault has open at most.
   * @default - 2, the provider's own
   */
  readonly maxOpenConnections?: number;
  /**
   * How many of them it keeps open while it does nothing.
   * @default - as many as it may have open
   */
  readonly maxIdleConnections?: number;
  /**
   * When Vault replaces a session by another.
   * @default - never
   */
  readonly maxConnectionLifetime?: Duration;
  /**
   * How long Vault waits for a server to answer as it connects.
   * @default - as long as the network lets it
   */
  readonly connectTimeout?: Duration;
  /**
   * Which of several hosts Vault takes (https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS).
   * @default - the first that answers
   */
  readonly targetSessionAttrs?: (typeof TARGET_SESSION_ATTRS)[number];
  /**
   * `scram-sha-256` has Vault hash the passwords of leases, so that they never stand in SQL or in the server's log; `password` is for
   * what takes no such hash.
   * @default - scram-sha-256
   */
  readonly passwordAuthentication?: (typeof PASSWORD_AUTHENTICATION)[number];
  /**
   * How much of the server's certificate Vault checks where it reaches it with TLS.
   * @default - verify-full
   */
  readonly sslMode?: (typeof SSL_MODES)[number];
  /**
   * The names of leased logins, such as `v-shop-{{.RoleName | truncate 8}}-{{random 20}}-{{unix_time}}` ({@link USERNAME_TEMPLATE}).
   * @default - Vault's own: who asked and the role, eight letters each
   */
  readonly usernameTemplate?: string;
  /**
   * The password policy by which Vault makes the passwords of its roles, which is there already.
   * @default - Vault's own: 20 letters, digits and dashes
   */
  readonly passwordPolicy?: string;
}

/** What Go's strings.TrimSpace takes for blank. */
const BLANKS = Array.from(
  "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000",
);

/** A role of a connection: what can be leased, or a login that is kept. */
export interface IConnectionRole {
  /** Vault's name for it. */
  readonly vaultName: string;
  /** Lets the grantee write it, and of one that leases see and revoke the leases. */
  grantManage(grantee: IGrantee): void;
  /** Lets the grantee read what it is. */
  grantInspect(grantee: IGrantee): void;
}

/** How Vault reaches a database, as its manager. Only roles that were added to it may use it. */
export class DatabaseConnection extends Construct {
  readonly mount: IDatabaseMount;
  readonly connectionName: string;
  readonly manager: IManagerLogin;
  /** What its roles' passwords are made by. */
  readonly credentialConfig?: Readonly<Record<string, string>>;
  /** Where its roles live, so that none can take the id of a part of the connection. */
  readonly roles = new Construct(this, "Roles");
  private readonly resource: DatabaseSecretBackendConnection;
  /** The roles that use it. */
  readonly added: IConnectionRole[] = [];
  private readonly parameters: Parameters;

  constructor(scope: Construct, id: string, props: DatabaseConnectionProps) {
    super(scope, id);
    const { mount, manager, passwordVersion = 1, rotateRoot = false } = props;
    const { host, port, tls } = props.address;
    this.mount = mount;
    this.manager = manager;
    mount.connections.push(this);
    this.connectionName = checkName(VAULT_NAME, "connection name", props.name);
    const { database, loginName: username, password } = manager;
    const { databaseName } = database;
    const { connectTimeout, targetSessionAttrs, passwordAuthentication = "scram-sha-256" } = props;
    const { sslMode = "verify-full", usernameTemplate, passwordPolicy } = props;
    if (usernameTemplate !== undefined && !USERNAME_TEMPLATE.test(usernameTemplate))
      throw new DeclarationError(
        `username template ${JSON.stringify(usernameTemplate)} must keep the form v-…-…-{{random 20}}-{{unix_time}}`,
      );
    if (passwordPolicy !== undefined)
      this.credentialConfig = { password_policy: checkName(VAULT_NAME, "password policy", passwordPolicy) };
    const settings = [
      tls ? `sslmode=${sslMode}&sslrootcert=${tls.rootCertFile}` : "sslmode=disable",
      tls?.client && `sslcert=${tls.client.certFile}&sslkey=${tls.client.keyFile}`,
      connectTimeout && `connect_timeout=${String(connectTimeout.toSeconds())}`,
      targetSessionAttrs && `target_session_attrs=${targetSessionAttrs}`,
    ].filter(Boolean);
    const connectionUrl = `postgresql://{{username}}:{{password}}@${host}:${port}/${databaseName}?${settings.join("&")}`;
    this.resource = new DatabaseSecretBackendConnection(this, "Resource", {
      backend: mount.mountedPath,
      name: this.connectionName,
      allowedRoles: Lazy.listValue({ produce: () => this.added.map(({ vaultName }) => vaultName) }),
      postgresql: {
        connectionUrl,
        tlsCa: tls?.ca,
        username,
        passwordWo: password.referenceIn(this),
        passwordWoVersion: passwordVersion,
        passwordAuthentication,
        maxOpenConnections: props.maxOpenConnections,
        maxIdleConnections: props.maxIdleConnections,
        maxConnectionLifetime: props.maxConnectionLifetime?.toSeconds(),
        usernameTemplate,
      },
      // Vault logs in as it writes the connection.
      dependsOn: database.requiredBy(this),
    });
    this.parameters = {
      plugin_name: ["postgresql-database-plugin"],
      connection_url: [connectionUrl],
      ...(tls?.ca !== undefined && { tls_ca: [tls.ca] }),
      username: [username],
      password_authentication: [passwordAuthentication],
      // Without escapes a username or a password could change the URL that they become part of.
      disable_escaping: [false],
      verify_connection: [true],
      username_template: [usernameTemplate ?? ""],
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
    Manifest.of(this).addToDatabase(this, databaseName, () => ({
      vault: {
        ...{ mount: mount.path, mountExists: mount.exists || undefined },
        ...{ connection: this.connectionName, rotateRoot },
      },
    }));
  }

  /** A reference to the connection, for roles that need it to be there. */
  get reference(): string {
    return this.resource.name;
  }

  /**
   * The connection as it is declared, with any password, and to have that replaced. With another plugin or URL whoever writes
   * it would read files of Vault's machine, or be sent the password.
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

  grantInspect(grantee: IGrantee): void {
    grantee.allow({ path: `${this.mount.path}/config/${this.connectionName}`, capabilities: ["read"] });
  }

  /** Lets a role use it. */
  allow(role: IConnectionRole): void {
    this.added.push(role);
  }

  /** Adds a role that leases logins in a group role. */
  addRole(id: string, props: Omit<DatabaseRoleProps, "connection">): DatabaseRole {
    return new DatabaseRole(this.roles, id, { connection: this, ...props });
  }

  /** Adds a role whose login is kept, and whose password Vault changes again and again. */
  addStaticRole(id: string, props: Omit<StaticRoleProps, "connection">): StaticRole {
    return new StaticRole(this.roles, id, { connection: this, ...props });
  }
}
