import type { Construct } from "constructs";
import { Input, type InputProps } from "../input";

/** Where a PostgreSQL server is, as Vault reaches it. */
export interface ServerAddress {
  /** Its name or its address. */
  readonly host: string;
  /** As text, since it may be a variable. */
  readonly port: string;
  /**
   * Makes Vault check the server's certificate, against the authorities of its machine where both are empty.
   * @default - no TLS
   */
  readonly tls?: {
    /**
     * The CA certificate, in PEM. HashiCorp's Vault takes it, and with it no client certificate from a file; OpenBao does not look at it.
     * @default - that in `rootCertFile`
     */
    readonly ca?: string;
    /** The file with the CA certificate on Vault's machine, which both take. */
    readonly rootCertFile: string;
    /**
     * What Vault shows the server, as files on Vault's machine: of a private key nothing else would be out of Terraform's state.
     * @default - no certificate
     */
    readonly client?: { readonly certFile: string; readonly keyFile: string };
  };
}

export interface ServerAddressVariables {
  /** The server's name, which is part of the variables'. */
  readonly server: string;
  /**
   * As Vault reaches it, unless `TF_VAR_vault_<server>_host` says otherwise.
   * @default - the variable has to be set
   */
  readonly host?: string;
  /**
   * Has Vault check the server's certificate.
   * @default - no TLS
   */
  readonly tls?: boolean;
  /**
   * With TLS: has Vault show a certificate of its own.
   * @default - it shows none
   */
  readonly clientCertificate?: boolean;
}

export const ServerAddress = {
  /** A variable for each part of it, `TF_VAR_vault_<server>_host` and so on; `props.host` is the host where nobody sets it. */
  fromVariables(
    scope: Construct,
    { server, host, tls = false, clientCertificate = false }: ServerAddressVariables,
  ): ServerAddress {
    const of = `the PostgreSQL server ${server}`;
    const input = (suffix: string, props: Omit<InputProps, "server">): string =>
      String(new Input(scope, `vault_${server}_${suffix}`, { server, ...props }).value);
    return {
      host: input("host", {
        for: "host-from-vault",
        default: host,
        description: `the host of ${of}, as Vault reaches it`,
      }),
      port: input("port", {
        for: "port-from-vault",
        default: 5432,
        description: `the port of ${of}, as Vault reaches it`,
      }),
      tls: tls
        ? {
            ca: clientCertificate
              ? undefined
              : input("tls_ca", {
                  for: "ca-from-vault",
                  default: "",
                  description: `the CA certificate of ${of}, in PEM, for HashiCorp's Vault`,
                }),
            rootCertFile: input("sslrootcert", {
              for: "ca-file-from-vault",
              default: "",
              description: `the file with the CA certificate of ${of} on Vault's machine, for OpenBao`,
            }),
            client: clientCertificate
              ? {
                  certFile: input("sslcert", {
                    for: "client-certificate-file-from-vault",
                    description: `the file with the certificate that Vault shows ${of}, on Vault's machine`,
                  }),
                  keyFile: input("sslkey", {
                    for: "client-key-file-from-vault",
                    description: `the file with that certificate's private key, on Vault's machine`,
                  }),
                }
              : undefined,
          }
        : undefined,
    };
  },
};
