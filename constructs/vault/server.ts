import { VaultProvider } from "@cdktf/provider-vault/lib/provider";
import { Construct } from "constructs";
import { Input } from "../input";

export interface VaultServerProps {
  /**
   * As Terraform reaches it, unless `TF_VAR_vault_address` says otherwise.
   * @default - the variable has to be set
   */
  readonly address?: string;
  /**
   * Whether it may be in a namespace, which `TF_VAR_vault_namespace` names.
   * @default - it is not
   */
  readonly namespace?: boolean;
  /**
   * Reached with TLS, its certificate checked against the authority in the file `TF_VAR_vault_ca_cert_file`.
   * @default - as the address says, against the authorities of Terraform's machine
   */
  readonly tls?: boolean;
}

/** Vault as Terraform reaches it: the stack's provider, and a variable for each part of its address. */
export class VaultServer extends Construct {
  constructor(
    scope: Construct,
    id: string,
    { address, namespace = false, tls = false }: VaultServerProps = {},
  ) {
    super(scope, id);
    const variables = {
      address: new Input(this, "vault_address", {
        for: "vault-address",
        default: address,
        description: "Vault's address, as Terraform reaches it",
      }),
      namespace: namespace
        ? new Input(this, "vault_namespace", {
            for: "vault-namespace",
            default: "",
            description: "Vault's namespace; none where it is empty",
          })
        : undefined,
      authority: tls
        ? new Input(this, "vault_ca_cert_file", {
            for: "vault-ca-file",
            description: "absolute path of the CA certificate of Vault's server",
          })
        : undefined,
    };
    new VaultProvider(this, "Provider", {
      address: variables.address.stringValue,
      namespace: variables.namespace?.stringValue,
      caCertFile: variables.authority?.stringValue,
      // The token comes from VAULT_TOKEN; a child of it would need the right to create tokens.
      skipChildToken: true,
    });
  }
}
