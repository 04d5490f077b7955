import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { maintainRoleOf, ownersOf } from "../../manifest/names";
import { OBJECT_KINDS } from "../../manifest/object-kinds";
import { maintains, privilegesIn } from "../../manifest/privileges";
import { probeName, probePrefix } from "../session/probes";
import { DATABASE_OWNER } from "./declared";
import {
  attributeRow,
  columnRows,
  heldOnTable,
  onOthers,
  ownerRows,
  privilegeRow,
  probeRow,
  roleRow,
  tableRow,
  type MatrixRow,
} from "./row";

const idents = (names: readonly string[]) => names.map((name) => ident(name)).join(", ");

const PG17 = 170_000;
const DUPLICATE_DATABASE = "42P04";
const UNDEFINED_OBJECT = "42704";
const NOT_IN_STATE = "55000";

/** Its statement is the login itself, so connect.ts makes its cell. */
export const CONNECT: MatrixRow = {
  ...privilegeRow("database", "CONNECT", () => undefined),
  proves:
    "A persona has CONNECT on its database exactly where that is declared: by the catalogs and by a login.",
};

/** The owner's default privileges do not reach them. They are there for this row alone. */
export const OF_ANOTHER_ROLE: MatrixRow = {
  ...{ kind: "tables", name: "of another role" },
  proves: "A persona has nothing on tables in the schemas that a role other than the owner made.",
  declared: () => false,
  targets: ({ targets }) => targets.ofAnotherRole,
  held: () => OBJECT_KINDS.tables.privileges.map((name) => heldOnTable(name, true)).join(" OR "),
  also: OBJECT_KINDS.tables.privileges,
  statements: ({ name }) => [
    `SELECT * FROM ${name}`,
    `INSERT INTO ${name} VALUES (1)`,
    `UPDATE ${name} SET id = DEFAULT WHERE true`,
    `DELETE FROM ${name} WHERE true`,
    `TRUNCATE ${name}`,
  ],
  says: ({ name }) => `a privilege on ${name}, which a role other than the owner made,`,
};

const OF_SCHEMAS: readonly MatrixRow[] = [
  privilegeRow("schema", "USAGE", ({ name }, { targets }) => {
    // Looking a name up needs USAGE on its schema and no privilege on the object.
    const table = targets.tables.find(({ schema }) => schema?.name === name);
    return table && `SELECT ${literal(table.name)}::pg_catalog.regclass`;
  }),
  privilegeRow("schema", "CREATE", ({ schema }, { run, readOnly }) =>
    readOnly ? undefined : `CREATE UNLOGGED TABLE ${probeName(run, schema!, "made")} (id integer)`,
  ),
];

const OF_TABLES: readonly MatrixRow[] = [
  tableRow("SELECT", ({ name, probe }) => `SELECT * FROM ${name}${probe ? "" : " LIMIT 0"}`),
  tableRow("INSERT", ({ name, probe }) =>
    probe ? `INSERT INTO ${name} (id) VALUES (2)` : `INSERT INTO ${name} SELECT WHERE false`,
  ),
  tableRow(
    "UPDATE",
    ({ name, probe, column }) => `UPDATE ${name} SET ${ident(column!)} = DEFAULT WHERE ${String(probe)}`,
  ),
  tableRow("DELETE", ({ name, probe }) => `DELETE FROM ${name} WHERE ${String(probe)}`),
  tableRow("TRUNCATE", ({ name, probe }) => (probe ? `TRUNCATE ${name}` : undefined)),
  tableRow("REFERENCES", ({ name, probe, schema }, { persona, run }) =>
    // Without CREATE on the schema there is no table that could refer to another.
    probe && privilegesIn(persona, schema!.name).schema.includes("CREATE")
      ? `CREATE UNLOGGED TABLE ${probeName(run, schema!, "refers")} (id integer REFERENCES ${name})`
      : undefined,
  ),
  tableRow("TRIGGER", ({ name, probe }) =>
    probe
      ? `CREATE TRIGGER leasehold_probe BEFORE UPDATE ON ${name} FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()`
      : undefined,
  ),
];

/** The owner of a table has it; others by a role of their own, since the provider can't grant it. */
const MAINTAIN = {
  ...tableRow("MAINTAIN", ({ name, probe }) => (probe ? `REINDEX TABLE ${name}` : undefined)),
  since: PG17,
};

const OF_COLUMNS: readonly MatrixRow[] = [
  ...columnRows("SELECT", (table, columns) => `SELECT ${idents(columns)} FROM ${table} LIMIT 0`),
  ...columnRows("INSERT", (table, columns, { written }) => {
    const given = columns.filter((column) => written!.includes(column));
    const values = given.map(() => "NULL").join(", ");
    return given.length === 0
      ? undefined
      : `INSERT INTO ${table} (${idents(given)}) SELECT ${values} WHERE false`;
  }),
  ...columnRows("UPDATE", (table, columns) => {
    const set = columns.map((column) => `${ident(column)} = DEFAULT`).join(", ");
    return `UPDATE ${table} SET ${set} WHERE false`;
  }),
  ...columnRows("REFERENCES", () => undefined),
];

const OF_SEQUENCES: readonly MatrixRow[] = [
  {
    ...probeRow("sequences", "USAGE", ({ name, schema }, { persona }) => {
      // nextval takes USAGE or UPDATE, currval USAGE or SELECT: each shows USAGE only where the other is not declared.
      const declared: readonly string[] = privilegesIn(persona, schema!.name).sequences;
      if (declared.includes("USAGE") || !declared.includes("UPDATE"))
        return `SELECT pg_catalog.nextval(${literal(name)})`;
      return declared.includes("SELECT") ? undefined : `SELECT pg_catalog.currval(${literal(name)})`;
    }),
    held: (declared, persona, { schema }) =>
      `has_sequence_privilege(role, target, '${declared || privilegesIn(persona, schema!.name).sequences.includes("UPDATE") ? "USAGE" : "USAGE, UPDATE"}')`,
    also: ["UPDATE"],
  },
  probeRow("sequences", "SELECT", ({ name }) => `SELECT last_value FROM ${name}`),
  probeRow("sequences", "UPDATE", ({ name }) => `SELECT pg_catalog.setval(${literal(name)}, 1)`),
];

const OF_FUNCTIONS: readonly MatrixRow[] = [probeRow("functions", "EXECUTE", ({ name }) => `SELECT ${name}`)];

/** Those that a session is tried with, in the order of the matrix. */
const SESSION_ROWS: readonly MatrixRow[] = [
  privilegeRow("database", "TEMPORARY", (_, { readOnly }) =>
    readOnly ? undefined : "CREATE TEMPORARY TABLE leasehold_probe (id integer)",
  ),
  privilegeRow("database", "CREATE", (_, { run, readOnly }) =>
    readOnly ? undefined : `CREATE SCHEMA ${ident(`${probePrefix(run)}schema`)}`,
  ),
  ...OF_SCHEMAS,
  ...OF_SCHEMAS.map(onOthers),

  ...OF_TABLES,
  {
    ...MAINTAIN,
    proves:
      "A persona has MAINTAIN on the schemas' tables exactly where it acts as their owner or that is declared.",
    declared: (persona) => persona.actsAsOwner || MAINTAIN.declared(persona),
    targets: (context) => (context.persona.actsAsOwner ? context.targets.tables : MAINTAIN.targets(context)),
  },
  ...ownerRows("tables", (name) => `ALTER TABLE ${name} ADD COLUMN leasehold_probe integer`),
  ...OF_TABLES.map(onOthers),
  onOthers(MAINTAIN),
  ...OF_COLUMNS,

  ...OF_SEQUENCES,
  ...ownerRows("sequences", (name) => `ALTER SEQUENCE ${name} CACHE 2`),
  ...OF_SEQUENCES.map(onOthers),

  ...OF_FUNCTIONS,
  ...ownerRows("functions", (name) => `ALTER FUNCTION ${name} COST 2`),
  ...OF_FUNCTIONS.map(onOthers),

  roleRow(
    "its group",
    "A persona's session can SET ROLE to its group role.",
    () => true,
    ({ persona }) => [persona.groupRole],
  ),
  roleRow(
    "the owner",
    "A persona's session can SET ROLE to the schemas' owner exactly where it acts as the owner.",
    ({ actsAsOwner }) => actsAsOwner,
    ({ database }) => ownersOf(database),
  ),
  {
    ...roleRow(
      "another",
      "A persona's session can SET ROLE to no other role of the server.",
      () => false,
      ({ roles, persona, database }) => {
        const own = [persona.groupRole, ...ownersOf(database)];
        if (maintains(persona)) own.push(maintainRoleOf(persona));
        // One that exists may be the owner's.
        if (database.exists && persona.actsAsOwner) own.push(DATABASE_OWNER);
        return roles.map(({ name }) => name).filter((name) => !own.includes(name));
      },
    ),
    statements: ({ name }, { roles }) =>
      roles.some((role) => role.name === name && role.tried) ? [`SET LOCAL ROLE ${ident(name)}`] : [],
  },

  // Says what is so already: it would change nothing, and a role that is no superuser is refused for naming the attribute.
  attributeRow("SUPERUSER", ({ lease }) => `ALTER ROLE ${ident(lease.username)} NOSUPERUSER`),
  attributeRow("CREATEROLE", ({ run }) => `CREATE ROLE ${ident(`${probePrefix(run)}role`)}`),
  {
    // It can't be rolled back, so it names a database that exists: PostgreSQL checks the privilege first and the name
    // before it copies anything (createdb() in src/backend/commands/dbcommands.c).
    ...attributeRow("CREATEDB", ({ database }) => `CREATE DATABASE ${ident(database.name)}`),
    passed: [DUPLICATE_DATABASE],
    alone: true,
  },
  {
    // There is no such slot: PostgreSQL checks the attribute before it looks for one.
    ...attributeRow("REPLICATION", () => "SELECT pg_catalog.pg_drop_replication_slot('leasehold_probe')"),
    passed: [UNDEFINED_OBJECT, NOT_IN_STATE],
  },
  attributeRow(
    "BYPASSRLS",
    ({ targets: { guarded } }) =>
      // Refused with 42501 where a policy would apply to the session, and the table's forces one on its owner as well.
      guarded && `SET LOCAL row_security = off; SELECT * FROM ${guarded.name}`,
  ),
];

/** All there are, in the order of the matrix. */
export const MATRIX_ROWS: readonly MatrixRow[] = [CONNECT, ...SESSION_ROWS, OF_ANOTHER_ROLE];

/** Those that a session is tried with, but for those of later versions of PostgreSQL. */
export function sessionRows(version: number): readonly MatrixRow[] {
  return SESSION_ROWS.filter(({ since = 0 }) => version >= since);
}
