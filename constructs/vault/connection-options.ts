/** Of several hosts: https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS */
export const TARGET_SESSION_ATTRS = ["any", "read-write", "primary"] as const;

/** https://developer.hashicorp.com/vault/api-docs/secret/databases/postgresql#password_authentication */
export const PASSWORD_AUTHENTICATION = ["scram-sha-256", "password"] as const;

/** How Vault checks a server that it reaches with TLS: https://www.postgresql.org/docs/18/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS */
export const SSL_MODES = ["verify-full", "verify-ca", "require"] as const;

const PART = String.raw`([A-Za-z0-9_.]{1,8}|\{\{\.(DisplayName|RoleName) \| truncate [1-8]\}\})`;

/**
 * Vault's template for the names of leased logins (https://developer.hashicorp.com/vault/docs/concepts/username-templating), which
 * keep the form by which they are told: `v-`, two parts, twenty letters, the time.
 */
export const USERNAME_TEMPLATE = new RegExp(
  String.raw`^v-${PART}-${PART}-\{\{random 20\}\}-\{\{unix_time\}\}$`,
);
