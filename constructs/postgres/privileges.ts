import { OBJECT_KINDS, type PrivilegeSet } from "../../manifest/object-kinds";

/**
 * The privileges of a persona on its database, schema and the schema's objects, those that exist and those that come.
 * `ALL` is left out on purpose: on PostgreSQL 17 and later it includes MAINTAIN, which the provider reads back as a
 * difference (https://www.postgresql.org/docs/18/ddl-priv.html).
 */
export type Privileges = PrivilegeSet;

const NONE: Privileges = { database: ["CONNECT"], schema: [], tables: [], sequences: [], functions: [] };

export const Privileges = {
  /** Logs in, and may do nothing there. */
  CONNECT: NONE,
  /** Reads all tables and sequences, and calls functions. */
  READ: { ...NONE, schema: ["USAGE"], tables: ["SELECT"], sequences: ["SELECT"], functions: ["EXECUTE"] },
  /** Writes rows too, and draws from sequences. */
  READ_WRITE: {
    ...NONE,
    schema: ["USAGE"],
    tables: ["SELECT", "INSERT", "UPDATE", "DELETE"],
    sequences: ["USAGE", "SELECT", "UPDATE"],
    functions: ["EXECUTE"],
  },
  /** What the owner of a schema can do in any case, on a database on which it may CREATE. */
  OWNER: {
    database: ["CONNECT", "CREATE"],
    schema: OBJECT_KINDS.schema.privileges,
    tables: OBJECT_KINDS.tables.privileges,
    sequences: OBJECT_KINDS.sequences.privileges,
    functions: OBJECT_KINDS.functions.privileges,
  },
} satisfies Record<string, Privileges>;
