import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Token } from "cdktf";
import { LEASED } from "../manifest/names";
import { DeclarationError } from "./declaration-error";
import { checkName, POSTGRES_IDENTIFIER, POSTGRES_ROLE } from "./names";

const SQL_FOLDER = join(__dirname, "../sql");

/** Letters, digits, spaces and what names are made of: nothing that ends a literal or that Vault's templates take. */
const PLAIN_TEXT = /^[A-Za-z0-9 _-]+$/;

type Values = Readonly<Record<string, string | number | readonly string[]>>;

/** A group role that may be leased, as the functions know it. */
export interface LeasedGroup {
  readonly group: string;
  /** The role that gets what a login makes. */
  readonly heir: string;
  /** The first schema of its logins' search path. */
  readonly schema: string;
  /** How many sessions a login may have at a time. */
  readonly connectionLimit: number;
}

/**
 * Reads a file of sql/ as Vault is to run it. `:"name"`, `:'name'` and `:name` are psql's spelling of a quoted identifier (of
 * several, where the value is a list), a literal and a number, and stand for values; `{{name}}`, `{{password}}` and `{{expiration}}` are Vault's and stay
 * (https://developer.hashicorp.com/vault/api-docs/secret/databases/postgresql#statements). A Token passes, since its value is not known yet.
 * @throws DeclarationError for a value that is not of its kind.
 */
export function statements(file: string, values: Values): string[] {
  // Vault splits what it doesn't take for one block at each semicolon, in comments too.
  const text = read(file).replace(/^ *--.*\n/gm, "");
  return [fill(file, text, values).trim()];
}

/**
 * The body of a function of sql/functions/body/, as PostgreSQL keeps it. Its lists of what may be leased are sorted: in whatever
 * order they were declared, the body is the same.
 * @throws DeclarationError for a value that is not of its kind.
 */
export function functionBody(
  name: string,
  {
    groups,
    furtherSchemas = [],
    logins,
    caller,
    mark,
  }: {
    groups: readonly LeasedGroup[];
    /**
     * Those of the search path that follow each group's first.
     * @default - none
     */
    furtherSchemas?: readonly string[];
    logins: readonly string[];
    caller: string;
    mark: string;
  },
): string {
  const role = (value: string) => `'${checkName(POSTGRES_ROLE, "role", value)}'`;
  const groupRows = groups.map(({ group, heir, schema, connectionLimit }) =>
    [
      role(group),
      role(heir),
      schemaLiteral(schema),
      Token.isUnresolved(connectionLimit) ? Token.asString(connectionLimit) : String(connectionLimit),
    ].join(", "),
  );
  const values: Readonly<Record<string, string>> = {
    // A list of values has a row at least.
    ":groups": list(groupRows, "NULL::pg_catalog.text, NULL, NULL, NULL"),
    ":further": furtherSchemas
      .map((schema) => `, ', ', pg_catalog.quote_ident(${schemaLiteral(schema)})`)
      .join(""),
    ":logins": list(logins.map(role), "NULL::pg_catalog.text"),
    ":'leased'": `'${LEASED}'`,
    ":'caller'": role(caller),
    ":'mark'": literal("mark", mark),
  };
  return read(`functions/body/${name}.sql`)
    .replace(/:(groups|further|logins|'leased'|'caller'|'mark')/g, (placeholder) => values[placeholder]!)
    .trim();
}

const schemaLiteral = (schema: string) => `'${checkName(POSTGRES_IDENTIFIER, "schema", schema)}'`;

const list = (rows: readonly string[], none: string) =>
  (rows.length > 0 ? [...rows].sort() : [none]).map((row) => `(${row})`).join(", ");

function read(file: string): string {
  return readFileSync(join(SQL_FOLDER, file), "utf8");
}

function literal(key: string, text: string): string {
  if (!Token.isUnresolved(text) && !PLAIN_TEXT.test(text))
    throw new DeclarationError(`${key} (${JSON.stringify(text)}) must be plain text`);
  return `'${text}'`;
}

function fill(file: string, text: string, values: Values): string {
  const value = (placeholder: string, key: string) => {
    if (values[key] === undefined) throw new Error(`sql/${file} wants a value for ${placeholder}`);
    return values[key];
  };
  return text
    .replace(/:"([a-z]+)"/g, (placeholder, key: string) =>
      [value(placeholder, key)]
        .flat()
        .map((name) => `"${checkName(POSTGRES_IDENTIFIER, key, String(name))}"`)
        .join(", "),
    )
    .replace(/:'([a-z]+)'/g, (placeholder, key: string) => literal(key, String(value(placeholder, key))))
    .replace(/(?<!:):([a-z]+)\b/g, (placeholder, key: string) => {
      const number = Number(value(placeholder, key));
      if (Token.isUnresolved(number)) return Token.asString(number);
      if (!Number.isSafeInteger(number))
        throw new DeclarationError(`${key} (${String(values[key])}) must be a whole number`);
      return String(number);
    });
}
