/** Of several hosts: https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS */
export const TARGET_SESSION_ATTRS = ["any", "read-write", "primary"] as const;

/** https://developer.hashicorp.com/vault/api-docs/secret/databases/postgresql#password_authentication */
export const PASSWORD_AUTHENTICATION = ["scram-sha-256", "password"] as const;
