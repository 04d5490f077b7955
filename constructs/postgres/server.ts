import { PostgresqlProvider } from "@cdktf/provider-postgresql/lib/provider";
import type { TerraformProvider } from "cdktf";
import { Construct } from "constructs";
import { Input, type InputProps } from "../input";
import type { OTHER_DATABASES } from "../../manifest/schema";
import { Manifest } from "../manifest";
import { checkName, POSTGRES_DATABASE, POSTGRES_ROLE, SERVER_NAME } from "../names";
import { Secret } from "../secret";

/** A PostgreSQL server. */
export interface IPostgresServer {
  /** What the names of its Terraform variables start with. */
  readonly serverName: string;
  /** Of what is made on the server; undefined for the stack's provider without an alias. */
  readonly provider?: TerraformProvider;
}

export interface PostgresServerProps {
  /** What the names of its variables start with. */
  readonly name: string;
  /** The bootstrap's login; its password comes from `TF_VAR_<name>_superuser_password`. */
  readonly superuser: string;
  /** The database that is there from the start. */
  readonly database: string;
  /**
   * Of the provider, in a stack with several servers.
   * @default - none: what names no server is made on this one
   */
  readonly alias?: string;
  /**
   * As Terraform reaches it, unless `TF_VAR_<name>_host` says otherwise.
   * @default - the variable has to be set
   */
  readonly host?: string;
  /**
   * As Terraform reaches it, unless `TF_VAR_<name>_port` says otherwise.
   * @default - 5432
   */
  readonly port?: number;
  /**
   * Reached with TLS alone, its certificate checked against the authority in the file `TF_VAR_<name>_sslrootcert`.
   * @default - without TLS
   */
  readonly tls?: boolean;
  /**
   * `close` has `leasehold deploy` take CONNECT from PUBLIC in databases that no construct declares.
   * @default - "keep": PUBLIC has there what it has, and the verifier says what that is
   */
  readonly otherDatabases?: (typeof OTHER_DATABASES)[number];
}

/** A PostgreSQL server as Terraform reaches it: a provider, and a variable for each part of its address. */
export class PostgresServer extends Construct implements IPostgresServer {
  readonly serverName: string;
  readonly provider?: TerraformProvider;

  constructor(scope: Construct, id: string, props: PostgresServerProps) {
    super(scope, id);
    const name = checkName(SERVER_NAME, "server name", props.name);
    const superuser = checkName(POSTGRES_ROLE, "superuser", props.superuser);
    const { alias, tls = false } = props;
    this.serverName = name;
    const of = `the PostgreSQL server ${name}`;
    const input = (suffix: string, inputProps: Omit<InputProps, "server">) =>
      new Input(this, `${name}_${suffix}`, { server: name, ...inputProps });
    const host = input("host", {
      for: "host",
      default: props.host,
      description: `the host of ${of}, as Terraform reaches it`,
    });
    const port = input("port", {
      for: "port",
      default: props.port ?? 5432,
      description: `the port of ${of}, as Terraform reaches it`,
    });
    const password = Secret.fromVariable(`${name}_superuser_password`, {
      for: "superuser-password",
      server: name,
      description: `the bootstrap superuser's password on ${of}`,
    });
    const description = `absolute path of the CA certificate of ${of}`;
    const authority = tls ? input("sslrootcert", { for: "ca-file", description }) : undefined;
    const provider = new PostgresqlProvider(this, "Provider", {
      alias,
      host: host.stringValue,
      port: port.numberValue,
      database: checkName(POSTGRES_DATABASE, "database name", props.database),
      username: superuser,
      password: password.referenceIn(this),
      sslmode: tls ? "verify-full" : "disable",
      sslrootcert: authority?.stringValue,
    });
    if (alias !== undefined) this.provider = provider;
    Manifest.of(this).addServer({ name, superuser, tls, otherDatabases: props.otherDatabases });
  }
}
