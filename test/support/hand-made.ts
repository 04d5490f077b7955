import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client, type ClientConfig } from "pg";
import type { Input } from "../../manifest/inputs";
import type { PostgresServer } from "../../sandbox/postgres-server";
import { Sandbox, type SandboxOptions } from "../../sandbox/sandbox";
import type { JsonObject } from "../../sandbox/terraform-json";
import { Workspace } from "../../sandbox/workspace";

/** What a synthesized folder holds, written by hand: no construct and no config has a part in it. */
export interface HandMade {
  readonly access?: JsonObject;
  readonly postgres: JsonObject;
  readonly vault?: JsonObject;
}

/** Of the variables that hand-made stacks declare. */
const INPUTS: Input[] = [
  { variable: "vault_address", for: "vault-address" },
  { variable: "vault_ca_cert_file", for: "vault-ca-file" },
  ...["postgres", "weekly-reports", "reporting"].flatMap((server): Input[] => {
    const prefix = server.replaceAll("-", "_");
    return [
      { variable: `${prefix}_host`, for: "host", server },
      { variable: `${prefix}_port`, for: "port", server },
      { variable: `${prefix}_superuser_password`, for: "superuser-password", server },
      { variable: `${prefix}_sslrootcert`, for: "ca-file", server },
      { variable: `vault_${prefix}_host`, for: "host-from-vault", server },
      { variable: `vault_${prefix}_port`, for: "port-from-vault", server },
      { variable: `vault_${prefix}_tls_ca`, for: "ca-from-vault", server },
      { variable: `vault_${prefix}_sslrootcert`, for: "ca-file-from-vault", server },
    ];
  }),
];

/** A sandbox on a hand-made folder, with root's token; nothing is applied yet. */
export async function handMadeSandbox(
  { access, postgres, vault = {} }: HandMade,
  options: Partial<SandboxOptions> = {},
): Promise<{ sandbox: Sandbox; workspace: Workspace; stop: () => Promise<void> }> {
  const workspace = await Workspace.create();
  const synthesized = workspace.path("synthesized");
  const write = (file: string, text: string) => {
    mkdirSync(join(synthesized, file, ".."), { recursive: true });
    writeFileSync(join(synthesized, file), text);
  };
  const policies = { operator: "everything", planner: "p", deliverer: "d", verifier: "v" };
  const manifest = { version: 1, policies, databases: [], inputs: INPUTS, ...access };
  write("access.json", JSON.stringify(manifest));
  write("operator.hcl", 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }');
  write("stacks/postgres/cdk.tf.json", JSON.stringify(postgres));
  write("stacks/vault/cdk.tf.json", JSON.stringify(vault));
  try {
    const sandbox = await Sandbox.start(workspace, { synthesized, keepRootToken: true, ...options });
    const stop = async () => {
      await sandbox.stop();
      workspace.remove();
    };
    return { sandbox, workspace, stop };
  } catch (error) {
    workspace.remove();
    throw error;
  }
}

/** A provider block of the stack `postgres`, and the variables that it names. */
export function providerBlock(prefix: string, database: string, more: JsonObject = {}): JsonObject {
  return {
    host: `\${var.${prefix}_host}`,
    port: `\${var.${prefix}_port}`,
    password: `\${var.${prefix}_superuser_password}`,
    username: "boss",
    database,
    sslmode: "disable",
    ...more,
  };
}

export function variables(...names: string[]): JsonObject {
  return Object.fromEntries(names.map((name) => [name, {}]));
}

/** One statement as the superuser; its rows' values in a row. */
export async function query(
  server: PostgresServer,
  sql: string,
  login: ClientConfig = {},
): Promise<unknown[]> {
  const { host, port, superuser: user, password, database, ssl = false } = server;
  const client = new Client({ host, port, user, password, database, ssl, ...login });
  client.on("error", () => undefined);
  try {
    await client.connect();
    return (await client.query<unknown[]>({ text: sql, rowMode: "array" })).rows.flat();
  } finally {
    await client.end();
  }
}
