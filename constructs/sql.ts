import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Token } from "cdktf";
import { LEASED } from "../manifest/names";
import { DeclarationError } from "./declaration-error";
import { checkName, POSTGRES_IDENTIFIER, POSTGRES_ROLE, type NameRule } from "./names";

const SQL_FOLDER = join(__dirname, "../sql");

/** Letters, digits, spaces and what names are made of: nothing that ends a literal or that Vault's templates take. */
const PLAIN_TEXT = /^[A-Za-z0-9 _-]+$/;

type Values = Readonly<Record<string, string | number | readonly string[]>>;

/** PostgreSQL's name of a setting that a role may have, but for those that each leased login has in any case. */
export const SETTING: NameRule = {
  pattern: /^(?!(search_path|role|session_authorization)$)[a-z_][a-z0-9_]*$/,
  maxBytes: 63,
  allowed:
    "a setting that a role may have, such as statement_timeout, in lowercase letters; search_path and role are set in any case",
};

/** A setting's value: nothing that ends a literal or a statement, or that Vault's templates take. */
export const SETTING_VALUE: NameRule = {
  pattern: /^[A-Za-z0-9 _.,:/+@-]+$/,
  maxBytes: 255,
  allowed: 'a value such as "30s", of letters, digits, blanks and _ . , : / + @ -',
};

/** A setting as ALTER ROLE … SET has it, and as pg_db_role_setting. */
export function settingTexts(
  settings: Readonly<Record<string, string>> = {},
): { readonly name: string; readonly value: string }[] {
  return Object.entries(settings).map(([name, value]) => ({
    name: checkName(SETTING, "setting", name),
    value: checkName(SETTING_VALUE, `setting ${name}`, value),
  }));
}

/** A group role that may be leased, as the functions know it. */
export interface LeasedGroup {
  readonly group: string;
  /** The role that gets what a login makes. */
  readonly heir: string;
  /** The first schema of its logins' search path. */
  readonly schema: string;
  /** How many sessions a login may have at a time. */
  readonly connectionLimit: number;
  /**
   * In place of that schema and the further ones.
   * @default - these
   */
  readonly searchPath?: readonly string[];
  /**
   * What its logins have set beside.
   * @default - nothing
   */
  readonly settings?: Readonly<Record<string, string>>;
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
    ":path": ownPaths(groups, `pg_catalog.quote_ident(declared.schema)${further(furtherSchemas)}`),
    ":settings": ownSettings(groups),
    ":logins": list(logins.map(role), "NULL::pg_catalog.text"),
    ":'leased'": `'${LEASED}'`,
    ":'caller'": role(caller),
    ":'mark'": literal("mark", mark),
  };
  return read(`functions/body/${name}.sql`)
    .replace(
      /:(groups|path|settings|logins|'leased'|'caller'|'mark')/g,
      (placeholder) => values[placeholder]!,
    )
    .trim();
}

const schemaLiteral = (schema: string) => `'${checkName(POSTGRES_IDENTIFIER, "schema", schema)}'`;

/** Schemas after another one, in a concatenation. */
function further(schemas: readonly string[]): string {
  return schemas.map((schema) => `, ', ', pg_catalog.quote_ident(${schemaLiteral(schema)})`).join("");
}

/** Of groups with a search path of their own each has its case. */
function ownPaths(groups: readonly LeasedGroup[], otherwise: string): string {
  const own = cases(groups, ({ searchPath: [first, ...others] = [] }) =>
    first === undefined
      ? undefined
      : `pg_catalog.concat(pg_catalog.quote_ident(${schemaLiteral(first)})${further(others)})`,
  );
  return own === "" ? otherwise : `CASE ${own} ELSE pg_catalog.concat(${otherwise}) END`;
}

function ownSettings(groups: readonly LeasedGroup[]): string {
  const own = cases(groups, ({ settings }) => {
    const texts = settingTexts(settings).map(({ name, value }) => `'${name}=${value}'`);
    return texts.length === 0 ? undefined : `ARRAY[${texts.join(", ")}]`;
  });
  return own === "" ? "" : ` OPERATOR(pg_catalog.||) CASE ${own} ELSE ARRAY[]::pg_catalog.text[] END`;
}

function cases(groups: readonly LeasedGroup[], valueOf: (group: LeasedGroup) => string | undefined): string {
  return groups
    .flatMap((group) => {
      const value = valueOf(group);
      const is = `declared.role OPERATOR(pg_catalog.=) '${checkName(POSTGRES_ROLE, "role", group.group)}'`;
      return value === undefined ? [] : [`WHEN ${is} THEN ${value}`];
    })
    .sort()
    .join(" ");
}

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
