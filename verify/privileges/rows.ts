import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import type { ManifestDatabase, ManifestPersona } from "../../manifest/schema";
import type { Target, Targets } from "../session/probes";

/** Where a persona's statements go. */
export interface Place {
  readonly database: ManifestDatabase;
  readonly persona: ManifestPersona;
  readonly targets: Targets;
  readonly prefix: string;
  /** The leased login's name. */
  readonly login: string;
  /** PostgreSQL's server_version_num. */
  readonly version: number;
  /** Every role of the server that is not a leased login. */
  readonly roles: readonly OtherRole[];
  /** Nothing is made, not even in a transaction that is rolled back. */
  readonly readOnly: boolean;
}

export interface OtherRole {
  readonly name: string;
  /** Declared, or a superuser: worth a statement. For the others the catalogs tell. */
  readonly tried: boolean;
}

/** A row of the matrix: how a privilege is declared, what the catalogs say, and the statement that uses it. */
export interface Column {
  /** As in the manifest where it can be granted; otherwise a kind and a name, such as `tables.DROP`. */
  readonly privilege: string;
  /** @default - every version */
  readonly since?: number;
  declared(persona: ManifestPersona): boolean;
  on(place: Place): readonly Target[];
  /**
   * SQL over the columns `role` and `target`: whether the catalogs let the role do it.
   * @param declared where it is not, a privilege on a single column of a table is one too many
   */
  held(declared: boolean, persona: ManifestPersona): string;
  /** Privileges with which the statement works as well. */
  readonly also?: readonly string[];
  /** The statements, or undefined where only the catalogs can tell without touching what is the users'. */
  use(target: Target, place: Place): string | readonly string[] | undefined;
  /** SQLSTATEs of errors that come after the check of the privilege. */
  readonly passed?: readonly string[];
  /** It can't stand in a transaction block. */
  readonly alone?: boolean;
  /** @default - `DELETE on example.users` */
  readonly says?: (target: Target) => string;
}

type Kind = "tables" | "sequences" | "functions";
type Use = Column["use"];

/** Catalog, name type and owner of what a kind of object is. */
const KINDS = {
  tables: {
    keyword: "TABLE",
    regtype: "regclass",
    catalog: "pg_class",
    owner: "relowner",
    schema: "relnamespace",
  },
  sequences: {
    keyword: "SEQUENCE",
    regtype: "regclass",
    catalog: "pg_class",
    owner: "relowner",
    schema: "relnamespace",
  },
  functions: {
    keyword: "FUNCTION",
    regtype: "regprocedure",
    catalog: "pg_proc",
    owner: "proowner",
    schema: "pronamespace",
  },
} as const;

const PG17 = 170_000;
const PG16 = 160_000;
const DUPLICATE_DATABASE = "42P04";
const UNDEFINED_OBJECT = "42704";
const NOT_IN_STATE = "55000";

/** The matrix's columns, but for those of PostgreSQL versions that come later. CONNECT is recorded by the login. */
export function columnsOf(version: number): readonly Column[] {
  return COLUMNS.filter(({ since = 0 }) => version >= since);
}

const COLUMNS: readonly Column[] = [
  databaseColumn("TEMPORARY", () => "CREATE TEMPORARY TABLE leasehold_probe (id integer)"),
  databaseColumn("CREATE", ({ prefix }) => `CREATE SCHEMA ${ident(`${prefix}schema`)}`),
  // Looking a name up needs USAGE on its schema and no privilege on the object.
  schemaColumn("USAGE", ({ targets }) => {
    const [table] = targets.tables;
    return table && `SELECT ${literal(table.name)}::pg_catalog.regclass`;
  }),
  schemaColumn("CREATE", ({ database: { schema }, prefix, readOnly }) =>
    readOnly ? undefined : `CREATE TABLE ${ident(schema)}.${ident(`${prefix}made`)} (id integer)`,
  ),

  tableColumn("SELECT", ({ name, probe }) => `SELECT * FROM ${name}${probe ? "" : " LIMIT 0"}`),
  tableColumn("INSERT", ({ name, probe }) =>
    probe ? `INSERT INTO ${name} (id) VALUES (2)` : `INSERT INTO ${name} SELECT WHERE false`,
  ),
  tableColumn(
    "UPDATE",
    ({ name, probe, column }) =>
      `UPDATE ${name} SET ${ident(column!)} = DEFAULT${probe ? "" : " WHERE false"}`,
  ),
  tableColumn("DELETE", ({ name, probe }) => `DELETE FROM ${name}${probe ? "" : " WHERE false"}`),
  tableColumn("TRUNCATE", ({ name, probe }) => (probe ? `TRUNCATE ${name}` : undefined)),
  tableColumn("REFERENCES", ({ name, probe }, { persona, database: { schema }, prefix }) =>
    // Without CREATE on the schema there is no table that could refer to another.
    probe && persona.privileges.schema.includes("CREATE")
      ? `CREATE TABLE ${ident(schema)}.${ident(`${prefix}refers`)} (id integer REFERENCES ${name})`
      : undefined,
  ),
  tableColumn("TRIGGER", ({ name, probe }) =>
    probe
      ? `CREATE TRIGGER leasehold_probe BEFORE UPDATE ON ${name} FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()`
      : undefined,
  ),
  {
    // The provider can't grant it: who has it has it as the owner.
    ...tableColumn("MAINTAIN", ({ name, probe }) => (probe ? `REINDEX TABLE ${name}` : undefined)),
    since: PG17,
    declared: ({ actsAsOwner }) => actsAsOwner,
  },
  ...ownerColumns("tables", (name) => `ALTER TABLE ${name} ADD COLUMN leasehold_probe integer`),
  {
    ...sequenceColumn("USAGE", ({ name }, { persona }) => {
      // nextval takes USAGE or UPDATE, currval USAGE or SELECT: each shows USAGE only where the other is not declared.
      const declared: readonly string[] = persona.privileges.sequences;
      if (declared.includes("USAGE") || !declared.includes("UPDATE"))
        return `SELECT pg_catalog.nextval(${literal(name)})`;
      return declared.includes("SELECT") ? undefined : `SELECT pg_catalog.currval(${literal(name)})`;
    }),
    held: (declared, { privileges: { sequences } }) =>
      `has_sequence_privilege(role, target, '${declared || sequences.includes("UPDATE") ? "USAGE" : "USAGE, UPDATE"}')`,
    also: ["UPDATE"],
  },
  sequenceColumn("SELECT", ({ name }) => `SELECT last_value FROM ${name}`),
  sequenceColumn("UPDATE", ({ name }) => `SELECT pg_catalog.setval(${literal(name)}, 1)`),
  ...ownerColumns("sequences", (name) => `ALTER SEQUENCE ${name} CACHE 2`),

  column("functions", "EXECUTE", ({ name, probe }) => (probe ? `SELECT ${name}` : undefined)),
  ...ownerColumns("functions", (name) => `ALTER FUNCTION ${name} COST 2`),

  roleColumn(
    "its group",
    () => true,
    ({ persona }) => [persona.groupRole],
  ),
  roleColumn(
    "the owner",
    ({ actsAsOwner }) => actsAsOwner,
    ({ database }) => [database.owner],
  ),
  {
    ...roleColumn(
      "another",
      () => false,
      ({ roles, persona, database }) =>
        roles.map(({ name }) => name).filter((name) => name !== persona.groupRole && name !== database.owner),
    ),
    use: ({ name }, { roles }) =>
      roles.some((role) => role.name === name && role.tried) ? `SET LOCAL ROLE ${ident(name)}` : undefined,
  },

  // Says what is so already: it would change nothing, and who is no superuser is refused for naming the attribute.
  attributeColumn("SUPERUSER", "rolsuper", ({ login }) => `ALTER ROLE ${ident(login)} NOSUPERUSER`),
  attributeColumn("CREATEROLE", "rolcreaterole", ({ prefix }) => `CREATE ROLE ${ident(`${prefix}role`)}`),
  {
    // It can't be rolled back, so it names a database that exists: PostgreSQL checks the privilege first and the name
    // before it copies anything (createdb() in src/backend/commands/dbcommands.c).
    ...attributeColumn(
      "CREATEDB",
      "rolcreatedb",
      ({ database }) => `CREATE DATABASE ${ident(database.name)}`,
    ),
    passed: [DUPLICATE_DATABASE],
    alone: true,
  },
  {
    // There is no such slot: PostgreSQL checks the attribute before it looks for one.
    ...attributeColumn(
      "REPLICATION",
      "rolreplication",
      () => "SELECT pg_catalog.pg_drop_replication_slot('leasehold_probe')",
    ),
    passed: [UNDEFINED_OBJECT, NOT_IN_STATE],
  },
  attributeColumn(
    "BYPASSRLS",
    "rolbypassrls",
    ({ targets: { guarded } }) =>
      // Refused with 42501 where a policy would apply to the session, and the table's forces one on its owner as well.
      guarded && `SET LOCAL row_security = off; SELECT * FROM ${guarded.name}`,
  ),
];

/** Its statement is the login itself, so it is recorded there. */
export const CONNECT: Column = { ...databaseColumn("CONNECT", () => ""), use: () => undefined };

/** Tables that a role other than the owner made: the owner's default privileges do not reach them. */
export const OF_ANOTHER_ROLE: Column = {
  ...column("tables", "of another role", () => undefined),
  declared: () => false,
  on: ({ targets }) => targets.stray,
  held: () =>
    ["SELECT", "INSERT", "UPDATE", "REFERENCES"]
      .map((name) => `has_any_column_privilege(role, target, '${name}')`)
      .concat(["DELETE", "TRUNCATE", "TRIGGER"].map((name) => `has_table_privilege(role, target, '${name}')`))
      .join(" OR "),
  use: ({ name }) => [
    `SELECT * FROM ${name}`,
    `INSERT INTO ${name} VALUES (1)`,
    `UPDATE ${name} SET id = DEFAULT`,
    `DELETE FROM ${name}`,
    `TRUNCATE ${name}`,
  ],
  says: ({ name }) => `a privilege on ${name}, which a role other than the owner made,`,
};

function databaseColumn(name: string, use: (place: Place) => string): Column {
  return {
    privilege: `database.${name}`,
    declared: ({ privileges }) => (privileges.database as readonly string[]).includes(name),
    on: ({ database }) => [{ name: database.name, probe: false }],
    held: () => `has_database_privilege(role, target, '${name}')`,
    use: (_target, place) => (place.readOnly ? undefined : use(place)),
  };
}

function schemaColumn(name: string, use: (place: Place) => string | undefined): Column {
  return {
    privilege: `schema.${name}`,
    declared: ({ privileges }) => (privileges.schema as readonly string[]).includes(name),
    on: ({ database }) => [{ name: database.schema, probe: false }],
    held: () => `has_schema_privilege(role, target, '${name}')`,
    use: (_target, place) => use(place),
  };
}

function column(kind: Kind, name: string, use: Use): Column {
  const { keyword } = KINDS[kind];
  return {
    privilege: `${kind}.${name}`,
    declared: ({ privileges }) => (privileges[kind] as readonly string[]).includes(name),
    on: ({ targets }) => targets[kind],
    held: () => `has_${keyword.toLowerCase()}_privilege(role, target, '${name}')`,
    use,
  };
}

/** Privileges that can be granted on single columns of a table. */
const OF_COLUMNS = ["SELECT", "INSERT", "UPDATE", "REFERENCES"];

function tableColumn(name: string, use: Use): Column {
  return {
    ...column("tables", name, (target, place) =>
      target.column === undefined ? undefined : use(target, place),
    ),
    held: (declared) =>
      `has_${!declared && OF_COLUMNS.includes(name) ? "any_column" : "table"}_privilege(role, target, '${name}')`,
  };
}

function sequenceColumn(name: string, use: Use): Column {
  return column("sequences", name, (target, place) => (target.probe ? use(target, place) : undefined));
}

/** What takes the owner: no privilege stands for it. Dropping is the schema's owner's as well. */
function ownerColumns(kind: Kind, alter: (name: string) => string): Column[] {
  const { keyword, regtype, catalog, owner, schema } = KINDS[kind];
  const holder = (joined: string, of: string) =>
    `pg_has_role(role, (SELECT ${of} FROM ${catalog}${joined} WHERE ${catalog}.oid = target::${regtype}), 'USAGE')`;
  const common = {
    declared: ({ actsAsOwner }: ManifestPersona) => actsAsOwner,
    on: ({ targets }: Place) => targets[kind],
  };
  return [
    {
      ...common,
      privilege: `${kind}.ALTER`,
      held: () => holder("", owner),
      use: ({ name, probe }) => (probe ? alter(name) : undefined),
    },
    {
      ...common,
      privilege: `${kind}.DROP`,
      held: () =>
        `${holder("", owner)} OR ${holder(` JOIN pg_namespace n ON n.oid = ${schema}`, "nspowner")}`,
      use: ({ name, probe }) => (probe ? `DROP ${keyword} ${name}` : undefined),
    },
  ];
}

function roleColumn(name: string, declared: Column["declared"], names: (place: Place) => string[]): Column {
  return {
    privilege: `set role.${name}`,
    declared,
    on: (place) => names(place).map((role) => ({ name: role, probe: false })),
    // Before 16 a membership always lets its holder change to the role.
    held: () => `pg_has_role(role, target::name, ${SET_OR_MEMBER})`,
    use: ({ name: role }) => `SET LOCAL ROLE ${ident(role)}`,
    says: ({ name: role }) => `SET ROLE ${role}`,
  };
}

/** The kind of membership that SET ROLE asks for. */
export const SET_OR_MEMBER = `CASE WHEN current_setting('server_version_num')::int >= ${String(PG16)} THEN 'SET' ELSE 'MEMBER' END`;

function attributeColumn(name: string, attribute: string, use: (place: Place) => string | undefined): Column {
  return {
    privilege: `attributes.${name}`,
    // Nobody can declare one: attributes are not inherited, but a session may change to a role that has them.
    declared: () => false,
    on: ({ login }) => [{ name: login, probe: false }],
    held: () => `(SELECT ${attribute} FROM pg_roles WHERE rolname = role)`,
    use: (_target, place) => (place.readOnly ? undefined : use(place)),
    says: ({ name: login }) => `${name} of ${login}`,
  };
}
