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
    // MAINTAIN (17 and later) is not here: the provider can't grant it.
    privileges: ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"],
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

export type ObjectKind = keyof typeof OBJECT_KINDS;
/** Of objects that stand in a schema. */
export type SchemaObjectKind = Exclude<ObjectKind, "database" | "schema">;
export type Privilege<Kind extends ObjectKind> = (typeof OBJECT_KINDS)[Kind]["privileges"][number];
/** A persona's privileges, by kind of object. */
export type PrivilegeSet = { readonly [Kind in ObjectKind]: readonly Privilege<Kind>[] };
