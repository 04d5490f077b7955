import { Token } from "cdktf";

/** A kind of name: what it may look like, and how that is said in a message. */
export interface NameRule {
  readonly pattern: RegExp;
  readonly maxBytes: number;
  readonly allowed: string;
}

/**
 * A database or schema. Always quoted in SQL; the characters are those that need no escape in a connection URL, a
 * dollar-quoted block or Vault's templates. PostgreSQL cuts longer names silently at 63 bytes
 * (https://www.postgresql.org/docs/18/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS) and keeps `pg_` for itself.
 */
export const POSTGRES_IDENTIFIER: NameRule = {
  pattern: /^(?!pg_)[A-Za-z_][A-Za-z0-9_-]*$/,
  maxBytes: 63,
  allowed:
    "a PostgreSQL identifier of letters, digits, _ and -, not starting with a digit, - or pg_, at most 63 bytes",
};

/** A role: an identifier, but not one of the two that GRANT takes as keywords even in quotes. */
export const POSTGRES_ROLE: NameRule = {
  ...POSTGRES_IDENTIFIER,
  pattern: /^(?!pg_)(?!(public|none)$)[A-Za-z_][A-Za-z0-9_-]*$/,
  allowed: `${POSTGRES_IDENTIFIER.allowed}, other than public and none`,
};

/** A server: its name starts the names of Terraform variables, and is one on a network. */
export const SERVER_NAME: NameRule = {
  pattern: /^(?!vault$)[a-z][a-z0-9]*$/,
  maxBytes: 32,
  allowed:
    "a server name of small letters and digits, starting with a letter, other than vault, at most 32 bytes",
};

/** One segment of a Vault path: no slash, no glob, nothing that a policy would expand. */
export const VAULT_NAME: NameRule = {
  pattern: /^[a-zA-Z0-9][a-zA-Z0-9_-]*$/,
  maxBytes: 128,
  allowed: "a Vault name of letters, digits, _ and -, starting with a letter or digit, at most 128 bytes",
};

/** What Vault stores in small letters, whatever it was given: AppRoles and policies. */
export const VAULT_LOWER_NAME: NameRule = {
  pattern: /^[a-z0-9][a-z0-9_-]*$/,
  maxBytes: 128,
  allowed:
    "a Vault name of small letters, digits, _ and -, starting with a letter or digit, at most 128 bytes",
};

/** Where an engine or an auth method is mounted: Vault names joined by slashes. */
export const VAULT_MOUNT_PATH: NameRule = {
  pattern: /^[a-zA-Z0-9][a-zA-Z0-9_-]*(\/[a-zA-Z0-9][a-zA-Z0-9_-]*)*$/,
  maxBytes: 128,
  allowed:
    "a Vault mount path of letters, digits, _, - and /, without a slash at either end, at most 128 bytes",
};

export function isName(rule: NameRule, value: string): boolean {
  return rule.pattern.test(value) && Buffer.byteLength(value) <= rule.maxBytes;
}

/** @throws Error that names the field and the value; a Token passes, since its value is not known yet. */
export function checkName(rule: NameRule, field: string, value: string): string {
  if (!Token.isUnresolved(value) && !isName(rule, value)) {
    throw new Error(`${field} (${JSON.stringify(value)}) must be ${rule.allowed}`);
  }
  return value;
}
