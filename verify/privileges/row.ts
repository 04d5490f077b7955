import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import {
  OBJECT_KINDS,
  ROLE_ATTRIBUTES,
  type ColumnPrivilege,
  type NamedTable,
  type ObjectKind,
  type SchemaObjectKind,
} from "../../manifest/object-kinds";
import { privilegesIn, privilegeSetsOf } from "../../manifest/privileges";
import type { ManifestPersona } from "../../manifest/schema";
import type { LeasedContext } from "../context";
import type { RowDescription } from "../report/check";
import type { Target } from "../session/targets";
import { SET_OR_MEMBER } from "./access";

/** A row of the matrix: how a privilege is declared, what the catalogs say, and the statements that use it. */
export interface MatrixRow extends RowDescription {
  readonly kind: ObjectKind | "columns" | "set role" | "attributes";
  /** What is granted. @default - the row's name */
  readonly privilege?: string;
  /** PostgreSQL's server_version_num. @default - every version */
  readonly since?: number;
  declared(persona: ManifestPersona): boolean;
  /** Where it is declared; where it is nowhere, all there are. */
  targets(context: LeasedContext): readonly Target[];
  /**
   * SQL over the columns `role` and `target`: whether the catalogs let the role do it.
   * @param declared where it is not, a privilege on a single column of a table is one too many
   */
  held(declared: boolean, persona: ManifestPersona, target: Target): string;
  /** Privileges with which the statements work as well. */
  readonly also?: readonly string[];
  /** Empty where only the catalogs can tell without touching what is the users'. */
  statements(target: Target, context: LeasedContext): readonly string[];
  /** SQLSTATEs of errors that come after the check of the privilege. */
  readonly passed?: readonly string[];
  /** It can't stand in a transaction block. */
  readonly alone?: boolean;
  /** @default - `DELETE on example.users` */
  readonly says?: (target: Target) => string;
}

/** Whether a view that can't be read is without it. */
export function readsWhole({ kind, name }: Pick<MatrixRow, "kind" | "name">): boolean {
  return kind === "tables" && name === "SELECT";
}

/** The statement that uses a privilege. */
type Use = (target: Target, context: LeasedContext) => string | undefined;

function statementsOf(use: Use): MatrixRow["statements"] {
  return (target, context) => {
    const sql = use(target, context);
    return sql === undefined ? [] : [sql];
  };
}

/** What a privilege is on, in a sentence. */
const ON: Readonly<Record<ObjectKind, string>> = {
  database: "its database",
  schema: "the schemas",
  tables: "the schemas' tables",
  sequences: "the schemas' sequences",
  functions: "the schemas' functions",
};

/** A table that a persona has privileges on by its name. A probe is none. */
export function namedTable(
  persona: ManifestPersona,
  { schema, relation }: Pick<Target, "schema" | "relation">,
): NamedTable | undefined {
  if (schema === undefined || relation === undefined) return undefined;
  return privilegesIn(persona, schema.name).namedTables.find((table) => table.name === relation);
}

/** The columns on which alone a persona has a privilege. */
export function columnsOf(persona: ManifestPersona, target: Target, privilege: string): readonly string[] {
  return namedTable(persona, target)?.columns[privilege as ColumnPrivilege] ?? [];
}

/** Whether a persona has a privilege on the whole of an object. */
function isDeclaredOn(persona: ManifestPersona, kind: ObjectKind, name: string, target: Target): boolean {
  const { schema } = target;
  const all: readonly string[] =
    kind === "database" ? persona.privileges[kind] : privilegesIn(persona, schema!.name)[kind];
  const named: readonly string[] = kind === "tables" ? (namedTable(persona, target)?.privileges ?? []) : [];
  return all.includes(name) || named.includes(name);
}

/** Whether a persona has it on any. */
function isDeclared(persona: ManifestPersona, kind: ObjectKind, name: string): boolean {
  if (kind === "database") return (persona.privileges[kind] as readonly string[]).includes(name);
  return privilegeSetsOf(persona).some((set) =>
    [set[kind], ...(kind === "tables" ? set.namedTables.map(({ privileges }) => privileges) : [])].some(
      (list: readonly string[]) => list.includes(name),
    ),
  );
}

/** Those with columns have rows of their own. */
function targetsOf({ database, targets, persona }: LeasedContext, kind: ObjectKind, name: string): Target[] {
  if (kind === "database") return [{ name: database.name, probe: false }];
  if (kind === "schema")
    return database.schemas.map((schema) => ({ name: schema.name, probe: false, schema }));
  return targets[kind].filter((target) => columnsOf(persona, target, name).length === 0);
}

/** A privilege that can be granted. */
export function privilegeRow(kind: ObjectKind, name: string, use: Use): MatrixRow {
  return {
    ...{ kind, name },
    proves: `A persona has ${name} on ${ON[kind]} exactly where that is declared: by the catalogs, and by a statement where one can be tried.`,
    declared: (persona) => isDeclared(persona, kind, name),
    targets: (context) => {
      const { persona } = context;
      const all = targetsOf(context, kind, name);
      if (!isDeclared(persona, kind, name)) return all;
      return all.filter((target) => isDeclaredOn(persona, kind, name, target));
    },
    held: () => `has_${OBJECT_KINDS[kind].keyword.toLowerCase()}_privilege(role, target, '${name}')`,
    statements: statementsOf(use),
  };
}

/** The same on what it is not declared for, of a persona that has it on others: by schema, or by the names of tables. */
export function onOthers(row: MatrixRow): MatrixRow {
  const { name: privilege, proves: _, ...rest } = row;
  const kind = row.kind as ObjectKind;
  return {
    ...rest,
    ...{ name: `${privilege} on others`, privilege },
    proves: `A persona that has ${privilege} on some of ${ON[kind]} has it on no others.`,
    declared: () => false,
    targets: (context) => {
      const { persona } = context;
      if (!isDeclared(persona, kind, privilege)) return [];
      return targetsOf(context, kind, privilege).filter(
        (target) => !isDeclaredOn(persona, kind, privilege, target),
      );
    },
    says: ({ name }) => `${privilege} on ${name}`,
  };
}

/** A privilege on single columns of named tables, and the same on their other columns. */
export function columnRows(
  privilege: ColumnPrivilege,
  use: (table: string, columns: readonly string[], target: Target) => string | undefined,
): MatrixRow[] {
  const held = (target: Target, all: boolean) =>
    target
      .columns!.map((column) => `has_column_privilege(role, target, ${literal(column)}, '${privilege}')`)
      .join(all ? " AND " : " OR ");
  const row = { kind: "columns", privilege } as const;
  const says = ({ name, columns = [] }: Target) => `${privilege} on ${columns.join(", ")} of ${name}`;
  /** Of each table with declared columns, those or the others. */
  const targets = ({ targets: { tables }, persona }: LeasedContext, declared: boolean) =>
    tables.flatMap((target) => {
      const own = columnsOf(persona, target, privilege);
      const columns = declared ? own : target.columns?.filter((column) => !own.includes(column));
      return own.length > 0 && columns && columns.length > 0 ? { ...target, columns } : [];
    });
  const statement = (target: Target, columns: readonly string[]) =>
    (target.column === undefined ? undefined : use(target.name, columns, target)) ?? [];
  return [
    {
      ...{ ...row, name: privilege, says },
      proves: `A persona has ${privilege} on the columns for which it is declared: by the catalogs, and by a statement where one can be tried.`,
      declared: (persona) =>
        privilegeSetsOf(persona).some(({ namedTables }) =>
          namedTables.some(({ columns }) => columns[privilege] !== undefined),
        ),
      targets: (context) => targets(context, true),
      held: (_, __, target) => held(target, true),
      statements: (target) => [statement(target, target.columns!)].flat(),
    },
    {
      ...{ ...row, name: `${privilege} on others`, says },
      proves: `A persona that has ${privilege} on some columns of a table has it on none of the others.`,
      declared: () => false,
      targets: (context) => targets(context, false),
      held: (_, __, target) => held(target, false),
      statements: (target) => target.columns!.flatMap((column) => statement(target, [column])),
    },
  ];
}

/** SQL over `role` and `target`. @param anyColumn where a privilege on a single column counts as well */
export function heldOnTable(name: string, anyColumn: boolean): string {
  const columns: readonly string[] = anyColumn ? OBJECT_KINDS.tables.columns : [];
  return `has_${columns.includes(name) ? "any_column" : "table"}_privilege(role, target, '${name}')`;
}

export function tableRow(name: string, use: Use): MatrixRow {
  return {
    ...privilegeRow("tables", name, (target, context) =>
      target.column === undefined ? undefined : use(target, context),
    ),
    held: (declared) => heldOnTable(name, !declared),
  };
}

/** A statement that a probe alone is touched with. */
export function probeRow(kind: SchemaObjectKind, name: string, use: Use): MatrixRow {
  return privilegeRow(kind, name, (target, context) => (target.probe ? use(target, context) : undefined));
}

/** What takes the owner: no privilege stands for it. Dropping is the schema's owner's as well. */
export function ownerRows(kind: SchemaObjectKind, alter: (name: string) => string): MatrixRow[] {
  const { keyword, regtype, catalog, owner, schema } = OBJECT_KINDS[kind];
  const holds = (column: string, joined = "") =>
    `pg_has_role(role, (SELECT ${column} FROM ${catalog} o${joined} WHERE o.oid = target::${regtype}), 'USAGE')`;
  const row = (name: string, held: string, sql: (name: string) => string): MatrixRow => ({
    ...probeRow(kind, name, (target) => sql(target.name)),
    proves: `A persona can ${name} ${ON[kind]} exactly where it acts as their owner.`,
    declared: ({ actsAsOwner }) => actsAsOwner,
    held: () => held,
  });
  const isSchemasOwner = holds("nspowner", ` JOIN pg_namespace n ON n.oid = ${schema}`);
  return [
    row("ALTER", holds(owner), alter),
    row("DROP", `${holds(owner)} OR ${isSchemasOwner}`, (name) => `DROP ${keyword} ${name}`),
  ];
}

export function roleRow(
  name: string,
  proves: string,
  declared: MatrixRow["declared"],
  roles: (context: LeasedContext) => readonly string[],
): MatrixRow {
  return {
    ...{ kind: "set role", name, proves, declared },
    targets: (context) => roles(context).map((role) => ({ name: role, probe: false })),
    held: () => `pg_has_role(role, target::name, ${SET_OR_MEMBER})`,
    statements: statementsOf(({ name: role }) => `SET LOCAL ROLE ${ident(role)}`),
    says: ({ name: role }) => `SET ROLE ${role}`,
  };
}

/** Attributes are not inherited, but a session may change to a role that has them. */
export function attributeRow(
  name: keyof typeof ROLE_ATTRIBUTES,
  use: (context: LeasedContext) => string | undefined,
): MatrixRow {
  return {
    ...{ kind: "attributes", name },
    proves: `No role that a persona's session can act as has ${name}.`,
    declared: () => false,
    targets: ({ lease }) => [{ name: lease.username, probe: false }],
    held: () => `(SELECT ${ROLE_ATTRIBUTES[name]} FROM pg_roles WHERE rolname = role)`,
    statements: statementsOf((_, context) => (context.readOnly ? undefined : use(context))),
    says: ({ name: login }) => `${name} of ${login}`,
  };
}
