import { z } from "zod";

/** What a Terraform variable is for: who sets one looks it up by this, never by its name. */
const INPUT_PURPOSES = [
  "platform-name",
  "image",
  "superuser-password-file",
  "vault-image",
  /** Of the container, on 127.0.0.1. */
  "vault-container-port",
  "vault-dev-token-file",
  /** As Terraform reaches the server. */
  "host",
  /** As Terraform reaches the server, which for a container is its port on 127.0.0.1. */
  "port",
  "ca-file",
  "superuser-password",
  "manager-password",
  "vault-address",
  "vault-namespace",
  "vault-ca-file",
  /** As Vault reaches the server. */
  "host-from-vault",
  "port-from-vault",
  "ca-from-vault",
  "ca-file-from-vault",
  /** What Vault shows the server, on Vault's machine. */
  "client-certificate-file-from-vault",
  "client-key-file-from-vault",
] as const;

export type InputPurpose = (typeof INPUT_PURPOSES)[number];

/** A Terraform variable of the stacks: one that several stacks have stands here once. */
export const inputSchema = z.object({
  variable: z.string().min(1),
  for: z.enum(INPUT_PURPOSES),
  /** The PostgreSQL server, where it is about one. */
  server: z.string().optional(),
});

export type Input = z.output<typeof inputSchema>;

/** The variable for a purpose; undefined where the stacks have none. */
export function variableFor(
  { inputs }: { readonly inputs: readonly Input[] },
  purpose: InputPurpose,
  server?: string,
): string | undefined {
  return inputs.find((input) => input.for === purpose && input.server === server)?.variable;
}
