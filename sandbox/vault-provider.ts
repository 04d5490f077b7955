import { readFileSync } from "node:fs";
import { z } from "zod";
import { VaultClient } from "../clients/vault-client";
import { handler, type Planned, type Provider, type ProviderFactory } from "./engine";

const settingsSchema = z.strictObject({
  address: z.string(),
  token: z.string().optional(),
  namespace: z.string().optional(),
  ca_cert_file: z.string().optional(),
  skip_child_token: z.boolean().optional(),
});

const names = z.array(z.string());
const seconds = z.int().nonnegative().optional();

const mount = z.strictObject({
  type: z.string(),
  path: z.string(),
  description: z.string().optional(),
  default_lease_ttl_seconds: seconds,
  max_lease_ttl_seconds: seconds,
});

const authBackend = z.strictObject({
  type: z.string(),
  path: z.string().optional(),
  description: z.string().optional(),
});

const policy = z.strictObject({ name: z.string(), policy: z.string() });

const postgresql = z.strictObject({
  connection_url: z.string(),
  username: z.string().optional(),
  password: z.string().optional(),
  password_wo: z.string().optional(),
  password_wo_version: z.number().optional(),
  password_authentication: z.string().optional(),
  max_open_connections: z.int().default(2),
  max_idle_connections: z.int().optional(),
  // As it is sent.
  max_connection_lifetime: z
    .int()
    .transform((seconds) => `${String(seconds)}s`)
    .optional(),
  tls_ca: z.string().optional(),
  tls_certificate: z.string().optional(),
  private_key: z.string().optional(),
  username_template: z.string().optional(),
  disable_escaping: z.boolean().default(false),
});

const connection = z.strictObject({
  backend: z.string(),
  name: z.string(),
  allowed_roles: names.default([]),
  verify_connection: z.boolean().default(true),
  root_rotation_statements: names.optional(),
  postgresql: z.union([postgresql, z.tuple([postgresql]).transform(([block]) => block)]),
});

const databaseRole = z.strictObject({
  backend: z.string(),
  name: z.string(),
  db_name: z.string(),
  creation_statements: names,
  renew_statements: names.optional(),
  revocation_statements: names.optional(),
  rollback_statements: names.optional(),
  credential_config: z.record(z.string(), z.string()).optional(),
  default_ttl: seconds,
  max_ttl: seconds,
});

const staticRole = z.strictObject({
  backend: z.string(),
  name: z.string(),
  db_name: z.string(),
  username: z.string(),
  rotation_period: z.int().min(5).optional(),
  rotation_schedule: z.string().optional(),
  rotation_window: seconds,
  rotation_statements: names.default([]),
  credential_type: z.string().optional(),
  credential_config: z.record(z.string(), z.string()).optional(),
});

const appRole = z.strictObject({
  backend: z.string().default("approle"),
  role_name: z.string(),
  bind_secret_id: z.boolean().default(true),
  secret_id_bound_cidrs: names.optional(),
  secret_id_num_uses: z.int().optional(),
  secret_id_ttl: seconds,
  token_bound_cidrs: names.optional(),
  token_explicit_max_ttl: seconds,
  token_max_ttl: seconds,
  token_no_default_policy: z.boolean().optional(),
  token_num_uses: z.int().optional(),
  token_period: seconds,
  token_policies: names.optional(),
  token_ttl: seconds,
  token_type: z.string().optional(),
});

/**
 * The requests that hashicorp/vault 5.6.0 sends when it creates these resources
 * (https://github.com/hashicorp/terraform-provider-vault/tree/v5.6.0/vault).
 * @param token used where the configuration names none, as VAULT_TOKEN is
 */
export function vaultProvider(token: string): ProviderFactory {
  return (input): Provider => {
    const settings = settingsSchema.parse(input);
    const { address, namespace, ca_cert_file: caFile } = settings;
    const ca = caFile === undefined ? undefined : readFileSync(caFile, "utf8");
    const vault = new VaultClient(address, settings.token ?? token, namespace, ca);
    return {
      handlers: {
        vault_mount: handler(mount, ({ path, type, description, ...ttl }) => {
          const config = {
            default_lease_ttl: `${String(ttl.default_lease_ttl_seconds ?? 0)}s`,
            max_lease_ttl: `${String(ttl.max_lease_ttl_seconds ?? 0)}s`,
          };
          return request({ id: path }, "POST", `sys/mounts/${path}`, { type, description, config });
        }),

        vault_auth_backend: handler(authBackend, ({ type, path = type, description }) =>
          request({ id: path, path }, "POST", `sys/auth/${path}`, { type, description, options: null }),
        ),

        vault_policy: handler(policy, ({ name, policy: rules }) =>
          request({ id: name }, "PUT", `sys/policies/acl/${name}`, { policy: rules }),
        ),

        vault_database_secret_backend_connection: handler(connection, (attributes) => {
          const { backend, name, postgresql: block, ...common } = attributes;
          const { password, password_wo: writeOnly, password_wo_version: _version, ...server } = block;
          const path = `${backend}/config/${name}`;
          const plugin = { plugin_name: "postgresql-database-plugin" };
          return request({ id: path }, "POST", path, {
            ...plugin,
            ...common,
            ...server,
            password: writeOnly ?? password,
          });
        }),

        vault_database_secret_backend_role: handler(databaseRole, ({ backend, name, ...role }) => {
          const path = `${backend}/roles/${name}`;
          return request({ id: path }, "POST", path, role);
        }),

        vault_database_secret_backend_static_role: handler(staticRole, ({ backend, name, ...role }) => {
          const path = `${backend}/static-roles/${name}`;
          return request({ id: path }, "POST", path, role);
        }),

        vault_approle_auth_backend_role: handler(appRole, ({ backend, role_name: name, ...role }) => {
          const path = `auth/${backend}/role/${name}`;
          return request({ id: path }, "POST", path, role);
        }),
      },
      close: () => Promise.resolve(),
    };

    /** A resource that comes to one request. */
    function request(computed: Planned["computed"], method: string, path: string, body: object): Planned {
      // What a name holds is part of the path, not of the address.
      const encoded = encodeURI(path).replace(/[?#]/g, encodeURIComponent);
      return { computed, apply: () => vault.call(method, encoded, body) };
    }
  };
}
