import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Token } from "cdktf";
import { DeclarationError } from "../declaration-error";
import { checkName, POSTGRES_IDENTIFIER } from "../names";

const SQL_FOLDER = join(__dirname, "../../sql");

/** Letters, digits, spaces and what names are made of: nothing that ends a literal or that Vault's templates take. */
const PLAIN_TEXT = /^[A-Za-z0-9 _-]+$/;

/**
 * Reads a file of sql/ as Vault is to run it. `:"name"`, `:'name'` and `:name` are psql's spelling of a quoted identifier, a
 * literal and a number, and stand for values; `{{name}}`, `{{password}}` and `{{expiration}}` are Vault's and stay
 * (https://developer.hashicorp.com/vault/api-docs/secret/databases/postgresql#statements). A Token passes, since its value is not known yet.
 * @throws DeclarationError for a value that is not of its kind.
 */
export function statements(file: string, values: Readonly<Record<string, string | number>>): string[] {
  const value = (placeholder: string, key: string) => {
    if (values[key] === undefined) throw new Error(`sql/${file} wants a value for ${placeholder}`);
    return values[key];
  };
  const text = readFileSync(join(SQL_FOLDER, file), "utf8")
    // Vault splits what it doesn't take for one block at each semicolon, in comments too.
    .replace(/^ *--.*\n/gm, "")
    .replace(
      /:"([a-z]+)"/g,
      (placeholder, key: string) =>
        `"${checkName(POSTGRES_IDENTIFIER, key, String(value(placeholder, key)))}"`,
    )
    .replace(/:'([a-z]+)'/g, (placeholder, key: string) => {
      const literal = String(value(placeholder, key));
      if (!Token.isUnresolved(literal) && !PLAIN_TEXT.test(literal))
        throw new DeclarationError(`${key} (${JSON.stringify(literal)}) must be plain text`);
      return `'${literal}'`;
    })
    .replace(/(?<!:):([a-z]+)\b/g, (placeholder, key: string) => {
      const number = Number(value(placeholder, key));
      if (Token.isUnresolved(number)) return Token.asString(number);
      if (!Number.isSafeInteger(number))
        throw new DeclarationError(`${key} (${String(values[key])}) must be a whole number`);
      return String(number);
    });
  return [text.trim()];
}
