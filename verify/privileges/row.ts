import { escapeIdentifier as ident } from "pg";
import {
  OBJECT_KINDS,
  ROLE_ATTRIBUTES,
  type ObjectKind,
  type SchemaObjectKind,
} from "../../manifest/object-kinds";
import type { ManifestPersona } from "../../manifest/schema";
import type { LeasedContext } from "../context";
import type { RowDescription } from "../report/check";
import type { Target } from "../session/targets";
import { SET_OR_MEMBER } from "./access";

/** A row of the matrix: how a privilege is declared, what the catalogs say, and the statements that use it. */
export interface MatrixRow extends RowDescription {
  readonly kind: ObjectKind | "set role" | "attributes";
  /** PostgreSQL's server_version_num. @default - every version */
  readonly since?: number;
  declared(persona: ManifestPersona): boolean;
  targets(context: LeasedContext): readonly Target[];
  /**
   * SQL over the columns `role` and `target`: whether the catalogs let the role do it.
   * @param declared where it is not, a privilege on a single column of a table is one too many
   */
  held(declared: boolean, persona: ManifestPersona): string;
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

/** A privilege that can be granted. */
export function privilegeRow(kind: ObjectKind, name: string, use: Use): MatrixRow {
  return {
    ...{ kind, name },
    proves: `A persona has ${name} on ${ON[kind]} exactly where that is declared: by the catalogs, and by a statement where one can be tried.`,
    declared: ({ privileges }) => (privileges[kind] as readonly string[]).includes(name),
    targets: ({ database, targets }) => {
      if (kind === "database") return [{ name: database.name, probe: false }];
      if (kind !== "schema") return targets[kind];
      return database.schemas.map((schema) => ({ name: schema.name, probe: false, schema }));
    },
    held: () => `has_${OBJECT_KINDS[kind].keyword.toLowerCase()}_privilege(role, target, '${name}')`,
    statements: statementsOf(use),
  };
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
