import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkName, POSTGRES_IDENTIFIER } from "../names";

const SQL_FOLDER = join(__dirname, "../../sql");

/**
 * Reads a file of sql/ as Vault is to run it. `:"name"` is psql's spelling of a quoted identifier and stands for a value
 * of `identifiers`; `{{name}}`, `{{password}}` and `{{expiration}}` are Vault's and stay
 * (https://developer.hashicorp.com/vault/api-docs/secret/databases/postgresql#statements).
 * @throws Error for a placeholder without a value, or a value that is no identifier.
 */
export function statements(file: string, identifiers: Readonly<Record<string, string>>): string[] {
  const text = readFileSync(join(SQL_FOLDER, file), "utf8")
    // Vault splits what it doesn't take for one block at each semicolon, in comments too.
    .replace(/^--.*\n/gm, "")
    .replace(/:"([a-z]+)"/g, (_, key: string) => {
      const value = identifiers[key];
      if (value === undefined) throw new Error(`sql/${file} wants a value for :"${key}"`);
      return `"${checkName(POSTGRES_IDENTIFIER, key, value)}"`;
    });
  return [text.trim()];
}
