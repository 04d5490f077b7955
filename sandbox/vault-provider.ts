import { z } from "zod";
import { VaultClient } from "../verify/vault-client";
import { handler, type Provider, type ProviderFactory } from "./engine";

const settingsSchema = z.strictObject({
  address: z.string(),
  token: z.string().optional(),
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
  max_connection_lifetime: z.int().optional(),
  username_template: z.string().optional(),
  disable_escaping: z.boolean().default(false),
});

const connection = z.strictObject({
  backend: z.string(),
  name: z.string(),
  allowed_roles: names.default([]),
  verify_connection: z.boolean().default(true),
  root_rotation_statements: names.default([]),
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
  default_ttl: seconds,
  max_ttl: seconds,
});

const appRole = z.strictObject({
  backend: z.string().default("approle"),
  role_name: z.string(),
  role_id: z.string().optional(),
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
    const vault = new VaultClient(settings.address, settings.token ?? token);
    return {
      handlers: {
        vault_mount: handler(mount, async ({ path, type, description, ...ttl }) => {
          const config = {
            default_lease_ttl: `${String(ttl.default_lease_ttl_seconds ?? 0)}s`,
            max_lease_ttl: `${String(ttl.max_lease_ttl_seconds ?? 0)}s`,
          };
          await vault.call("POST", `sys/mounts/${path}`, { type, description, config });
          return { id: path };
        }),

        vault_auth_backend: handler(authBackend, async ({ type, path = type, description }) => {
          await vault.call("POST", `sys/auth/${path}`, { type, description, options: null });
          return { id: path, path };
        }),

        vault_policy: handler(policy, async ({ name, policy: rules }) => {
          await vault.call("PUT", `sys/policies/acl/${name}`, { policy: rules });
          return { id: name };
        }),

        vault_database_secret_backend_connection: handler(
          connection,
          async ({ backend, name, postgresql: block, ...common }) => {
            const { password, password_wo: writeOnly, password_wo_version: _version, ...server } = block;
            await vault.call("POST", `${backend}/config/${name}`, {
              plugin_name: "postgresql-database-plugin",
              ...common,
              ...server,
              password: writeOnly ?? password,
            });
            return { id: `${backend}/config/${name}` };
          },
        ),

        vault_database_secret_backend_role: handler(
          databaseRole,
          async ({ backend, name, renew_statements: renewal, ...role }) => {
            await vault.call("POST", `${backend}/roles/${name}`, { ...role, renew_statements: renewal });
            return { id: `${backend}/roles/${name}` };
          },
        ),

        vault_approle_auth_backend_role: handler(
          appRole,
          async ({ backend, role_name: name, role_id: roleId, ...role }) => {
            await vault.call("POST", `auth/${backend}/role/${name}`, role);
            if (roleId !== undefined)
              await vault.call("POST", `auth/${backend}/role/${name}/role-id`, { role_id: roleId });
            return { id: `auth/${backend}/role/${name}` };
          },
        ),
      },
      close: () => Promise.resolve(),
    };
  };
}
