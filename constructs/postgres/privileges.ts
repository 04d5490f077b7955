import {
  OBJECT_KINDS,
  privilegesOn,
  type ColumnPrivilege,
  type NamedTable,
  type Privilege,
  type SchemaPrivilegeSet,
} from "../../manifest/object-kinds";
import type { AccessManifestInput } from "../../manifest/schema";
import { checkName, POSTGRES_IDENTIFIER } from "../names";

/** On a table: a list; or by privilege, with `true` for the whole table and a list for those columns alone. */
export type TablePrivileges =
  | readonly Privilege<"tables">[]
  | {
      readonly [Name in Privilege<"tables">]?:
        true | (Name extends ColumnPrivilege ? readonly string[] : never);
    };

/** The privileges of a persona on a schema and its objects. */
export interface SchemaPrivileges {
  /**
   * On the schema.
   * @default - none
   */
  readonly schema?: readonly Privilege<"schema">[];
  /**
   * On all tables and views, those that exist and those that come; or by the name of a table that exists, on no others.
   * @default - none
   */
  readonly tables?: readonly Privilege<"tables">[] | Readonly<Record<string, TablePrivileges>>;
  /**
   * On all sequences, those that exist and those that come.
   * @default - none
   */
  readonly sequences?: readonly Privilege<"sequences">[];
  /**
   * On all functions and procedures, those that exist and those that come.
   * @default - none
   */
  readonly functions?: readonly Privilege<"functions">[];
}

/**
 * The privileges of a persona on its database, its schemas and their objects, the same in each schema or by schema. `ALL` is
 * left out on purpose: on PostgreSQL 17 and later it includes MAINTAIN, which the provider reads back as a difference
 * (https://www.postgresql.org/docs/18/ddl-priv.html). Where MAINTAIN is declared the stack makes a role for it beside the group, and
 * whoever deploys grants it (manifest/maintain.ts).
 */
export interface Privileges extends SchemaPrivileges {
  /** On the database. */
  readonly database: readonly Privilege<"database">[];
  /**
   * By schema, in place of those above.
   * @default - the same in each
   */
  readonly schemas?: Readonly<Record<string, SchemaPrivileges>>;
}

/** Ready-made ones of a schema. */
export const SchemaPrivileges = {
  /** Reads all tables and sequences, and calls functions. */
  READ: { schema: ["USAGE"], tables: ["SELECT"], sequences: ["SELECT"], functions: ["EXECUTE"] },
  /** Writes rows too, and draws from sequences. */
  READ_WRITE: {
    schema: ["USAGE"],
    tables: ["SELECT", "INSERT", "UPDATE", "DELETE"],
    sequences: ["USAGE", "SELECT", "UPDATE"],
    functions: ["EXECUTE"],
  },
  /** What the owner of a schema can do in any case. */
  OWNER: {
    schema: OBJECT_KINDS.schema.privileges,
    tables: OBJECT_KINDS.tables.privileges,
    sequences: OBJECT_KINDS.sequences.privileges,
    functions: OBJECT_KINDS.functions.privileges,
  },
} satisfies Record<string, SchemaPrivileges>;

const CONNECT = { database: ["CONNECT"] } satisfies Privileges;

/** Ready-made ones, the same in each schema. */
export const Privileges = {
  /** Logs in, and may do nothing there. */
  CONNECT: { ...CONNECT, schema: [], tables: [], sequences: [], functions: [] },
  /** {@link SchemaPrivileges.READ} */
  READ: { ...CONNECT, ...SchemaPrivileges.READ },
  /** {@link SchemaPrivileges.READ_WRITE} */
  READ_WRITE: { ...CONNECT, ...SchemaPrivileges.READ_WRITE },
  /** What the owner of a schema can do in any case, on a database on which it may CREATE. */
  OWNER: { database: ["CONNECT", "CREATE"], ...SchemaPrivileges.OWNER },
} satisfies Record<string, Privileges>;

/** What a persona has in a schema. */
export function privilegesIn(privileges: Privileges, schemaName: string): SchemaPrivilegeSet {
  const { schemas } = privileges;
  const own = schemas ? (schemas[schemaName] ?? {}) : privileges;
  const { schema = [], tables = [], sequences = [], functions = [] } = own;
  return isList(tables)
    ? { schema, tables, sequences, functions, namedTables: [] }
    : { schema, tables: [], sequences, functions, namedTables: Object.entries(tables).map(namedTable) };
}

function namedTable([name, given]: [string, TablePrivileges]): NamedTable {
  checkName(POSTGRES_IDENTIFIER, "table", name);
  if (isList(given)) return { name, privileges: given, columns: {} };
  const columns = OBJECT_KINDS.tables.columns.flatMap((privilege) => {
    const list = given[privilege];
    if (list === undefined || list === true) return [];
    for (const column of list) checkName(POSTGRES_IDENTIFIER, "column", column);
    return [[privilege, list] as const];
  });
  return {
    name,
    privileges: privilegesOn("tables").filter((privilege) => given[privilege] === true),
    columns: Object.fromEntries(columns),
  };
}

function isList<Item>(value: readonly Item[] | object): value is readonly Item[] {
  return Array.isArray(value);
}

type Declared = AccessManifestInput["databases"][number]["personas"][number]["privileges"];

/** As the manifest has them. */
export function declaredPrivileges(
  privileges: Privileges,
  schemas: readonly [{ readonly name: string }, ...{ readonly name: string }[]],
): Declared {
  const inSchema = (name: string) => {
    const { namedTables, ...all } = privilegesIn(privileges, name);
    return { ...all, ...(namedTables.length > 0 && { namedTables: [...namedTables] }) };
  };
  return {
    database: privileges.database,
    ...inSchema(schemas[0].name),
    ...(privileges.schemas && { schemas: schemas.map(({ name }) => ({ name, ...inSchema(name) })) }),
  };
}
