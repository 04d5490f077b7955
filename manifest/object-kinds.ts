/** The kinds of objects on which a persona has privileges, in the order in which they are shown and synthesized. */
export const OBJECT_KINDS = {
  database: {
    privileges: ["CONNECT", "TEMPORARY", "CREATE"],
    keyword: "DATABASE",
    /** Kinds of an entry in an access control list. */
    grants: ["database"],
    catalog: "pg_database",
    name: "datname",
    owner: "datdba",
  },
  schema: {
    privileges: ["USAGE", "CREATE"],
    keyword: "SCHEMA",
    grants: ["schema"],
    catalog: "pg_namespace",
    name: "nspname",
    owner: "nspowner",
  },
  tables: {
    privileges: ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"],
    /** Of PostgreSQL 17 and later: the provider can't grant them (maintain.ts). */
    since17: ["MAINTAIN"],
    keyword: "TABLE",
    grants: ["table", "column"],
    /** Those that can be granted on single columns. */
    columns: ["SELECT", "INSERT", "UPDATE", "REFERENCES"],
    catalog: "pg_class",
    regtype: "regclass",
    owner: "relowner",
    schema: "relnamespace",
  },
  sequences: {
    privileges: ["USAGE", "SELECT", "UPDATE"],
    keyword: "SEQUENCE",
    grants: ["sequence"],
    catalog: "pg_class",
    regtype: "regclass",
    owner: "relowner",
    schema: "relnamespace",
  },
  functions: {
    privileges: ["EXECUTE"],
    keyword: "FUNCTION",
    grants: ["function"],
    catalog: "pg_proc",
    regtype: "regprocedure",
    owner: "proowner",
    schema: "pronamespace",
  },
} as const;

/** What a role may have beside privileges, each with its column of pg_roles. */
export const ROLE_ATTRIBUTES = {
  SUPERUSER: "rolsuper",
  CREATEROLE: "rolcreaterole",
  CREATEDB: "rolcreatedb",
  REPLICATION: "rolreplication",
  BYPASSRLS: "rolbypassrls",
} as const;

/** SQL over pg_roles: an array of the names of those that a role has. @param attributes each with its column */
export function attributesHeld(attributes: Readonly<Record<string, string>>): string {
  const names = Object.entries(attributes).map(([name, column]) => `CASE WHEN ${column} THEN '${name}' END`);
  return `array_remove(ARRAY[${names.join(", ")}], NULL)`;
}

/**
 * SQL over pg_proc: by which a statement about a function or procedure finds it and no other. Of two procedures that differ in their
 * OUT arguments, regprocedure fits both.
 * @param alias of pg_proc
 */
export function routineName(alias: string): string {
  return `format('%I.%I(%s)', ${alias}.pronamespace::regnamespace::name, ${alias}.proname, pg_get_function_identity_arguments(${alias}.oid))`;
}

export type ObjectKind = keyof typeof OBJECT_KINDS;
/** Of objects that stand in a schema. */
export type SchemaObjectKind = Exclude<ObjectKind, "database" | "schema">;
export type Privilege<Kind extends ObjectKind> =
  | (typeof OBJECT_KINDS)[Kind]["privileges"][number]
  | (Kind extends "tables" ? (typeof OBJECT_KINDS)["tables"]["since17"][number] : never);

/** Those that can be declared on a kind, in the order in which they are shown. */
export function privilegesOn<Kind extends ObjectKind>(kind: Kind): readonly Privilege<Kind>[] {
  const of: { readonly privileges: readonly string[]; readonly since17?: readonly string[] } =
    OBJECT_KINDS[kind];
  return [...of.privileges, ...(of.since17 ?? [])] as Privilege<Kind>[];
}

/** Those that can be granted on single columns. */
export type ColumnPrivilege = (typeof OBJECT_KINDS.tables.columns)[number];

/** A table, or whatever else is granted on as one, on which a persona has privileges by its name. */
export interface NamedTable {
  readonly name: string;
  /** On all of it. */
  readonly privileges: readonly Privilege<"tables">[];
  /** On columns of it alone. */
  readonly columns: Readonly<Partial<Record<ColumnPrivilege, readonly string[]>>>;
}

/** A persona's privileges on a schema, and by kind on all objects there, those that come too. */
export type SchemaPrivilegeSet = {
  readonly [Kind in Exclude<ObjectKind, "database">]: readonly Privilege<Kind>[];
} & {
  /** On tables that were there before, and on no others. */
  readonly namedTables: readonly NamedTable[];
};
