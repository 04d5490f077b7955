import { Token } from "cdktf";
import { DeclarationError } from "./declaration-error";

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

/**
 * A role: an identifier, but not one of the two that GRANT takes as keywords even in quotes, nor one that could be taken
 * for a login that Vault leased.
 */
export const POSTGRES_ROLE: NameRule = {
  ...POSTGRES_IDENTIFIER,
  pattern: /^(?!pg_|v-)(?!(public|none)$)[A-Za-z_][A-Za-z0-9_-]*$/,
  allowed: `${POSTGRES_IDENTIFIER.allowed}, other than public and none, not starting with v-, as leased logins do`,
};

/** A database, other than the two that others are copied from: into one nobody can log in, and what is in the other spreads. */
export const POSTGRES_DATABASE: NameRule = {
  ...POSTGRES_IDENTIFIER,
  pattern: /^(?!pg_)(?!template[01]$)[A-Za-z_][A-Za-z0-9_-]*$/,
  allowed: `${POSTGRES_IDENTIFIER.allowed}, other than template0 and template1`,
};

/** A server: its name starts the names of Terraform variables, and is one on a network. */
export const SERVER_NAME: NameRule = {
  pattern: /^(?!vault$)[a-z][a-z0-9]*$/,
  maxBytes: 32,
  allowed:
    "a server name of lowercase letters and digits, starting with a letter, other than vault, at most 32 bytes",
};

/**
 * One segment of a Vault path: no slash, no glob, nothing that a policy would expand. Vault has no path for a name that
 * ends with a dash (https://pkg.go.dev/github.com/hashicorp/vault/sdk/framework#GenericNameRegex).
 */
export const VAULT_NAME: NameRule = {
  pattern: /^[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?$/,
  maxBytes: 128,
  allowed:
    "a Vault name of letters, digits, _ and -, starting with a letter or digit, not ending with -, at most 128 bytes",
};

/** What Vault stores in lowercase letters, whatever it was given: AppRoles and policies. */
export const VAULT_LOWER_NAME: NameRule = {
  pattern: /^[a-z0-9]([a-z0-9_-]*[a-z0-9_])?$/,
  maxBytes: 128,
  allowed:
    "a Vault name of lowercase letters, digits, _ and -, starting with a letter or digit, not ending with -, at most 128 bytes",
};

/**
 * A policy, or an AppRole with the policy of its name. Vault refuses to write three of its own; the fourth, default, is on
 * nearly every token (https://developer.hashicorp.com/vault/docs/concepts/policies#built-in-policies).
 */
export const VAULT_POLICY_NAME: NameRule = {
  ...VAULT_LOWER_NAME,
  pattern: /^(?!(root|default|response-wrapping|control-group)$)[a-z0-9]([a-z0-9_-]*[a-z0-9_])?$/,
  allowed: `${VAULT_LOWER_NAME.allowed}, other than Vault's own policies`,
};

/** What names of Vault's start with. */
export const VAULT_NAME_PREFIX: NameRule = {
  pattern: /^[a-z0-9][a-z0-9_-]*-$/,
  maxBytes: 127,
  allowed:
    'a prefix of lowercase letters, digits, _ and -, starting with a letter or digit, that ends with -, such as "db-", at most 127 bytes',
};

/**
 * Where a secrets engine is mounted: Vault names joined by slashes. Below its own mounts Vault refuses another, but a
 * policy for what is below them holds at once.
 */
export const VAULT_MOUNT_PATH: NameRule = {
  pattern:
    /^(?!(sys|auth|identity|cubbyhole|audit)(\/|$))[a-zA-Z0-9][a-zA-Z0-9_-]*(\/[a-zA-Z0-9][a-zA-Z0-9_-]*)*$/,
  maxBytes: 128,
  allowed:
    "a Vault mount path of letters, digits, _, - and /, without a slash at either end, not in Vault's own sys, auth, identity, cubbyhole or audit, at most 128 bytes",
};

/** Where an auth method is mounted, below `auth/`, where Vault itself has `token`. */
export const VAULT_AUTH_PATH: NameRule = {
  pattern: /^(?!token(\/|$))[a-zA-Z0-9][a-zA-Z0-9_-]*(\/[a-zA-Z0-9][a-zA-Z0-9_-]*)*$/,
  maxBytes: 128,
  allowed:
    "a path of a Vault auth method, of letters, digits, _, - and /, without a slash at either end, not in Vault's own token, at most 128 bytes",
};

export function isName(rule: NameRule, value: string): boolean {
  return rule.pattern.test(value) && Buffer.byteLength(value) <= rule.maxBytes;
}

/** @throws DeclarationError that names the field and the value; a Token passes, since its value is not known yet. */
export function checkName(rule: NameRule, field: string, value: string): string {
  if (!Token.isUnresolved(value) && !isName(rule, value)) {
    throw new DeclarationError(`${field} (${JSON.stringify(value)}) must be ${rule.allowed}`);
  }
  return value;
}
