import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import type { SchemaObjectKind } from "../../manifest/object-kinds";
import type { ManifestSchema } from "../../manifest/schema";
import type { DatabaseContext } from "../context";
import { constructorOf, isOwn, procedureOf } from "./sql";

/** What the catalogs know of an object of the users'. */
export interface UsersObject {
  readonly oid: number;
  readonly owner: string;
  /** Why no statement is sent: planning or running one would evaluate something of the users', or wait for a lock. */
  readonly untried?: string;
  /** The same for objects of which PostgreSQL can't but answer alike: of one owner, with one list of privileges. */
  readonly alike: string;
}

/** What the names of the verifier's objects in a schema start with. */
export const PROBE_PREFIX = "leasehold_probe_";

/** What a privilege is tried on: an object of a schema, its name quoted and qualified; or a schema, a database or a role. */
export interface Target {
  readonly name: string;
  /** Made by the verifier: its rows may be touched. Otherwise the users' own. */
  readonly probe: boolean;
  /** Where it stands, or which it is. @default - it is a database or a role */
  readonly schema?: ManifestSchema;
  /** Of an object of the users': what the catalogs know of it. */
  readonly users?: UsersObject;
  /** A procedure, as a statement about it names it. */
  readonly procedure?: string;
  /** For a table that can be written: a column that takes DEFAULT. */
  readonly column?: string;
  /** Of the users' own tables: the name alone. */
  readonly relation?: string;
  /** Its columns, or those that are meant. */
  readonly columns?: readonly string[];
  /** Of its columns, those that PostgreSQL does not write itself. */
  readonly written?: readonly string[];
}

/** Objects of the database's schemas. */
export interface Targets extends Readonly<Record<SchemaObjectKind, readonly Target[]>> {
  /** Tables of a role other than the schema's owner. */
  readonly ofAnotherRole: readonly Target[];
  /** A table with row level security, on its owner as well. */
  readonly guarded?: Target;
}

export const NO_TARGETS: Targets = { tables: [], sequences: [], functions: [], ofAnotherRole: [] };

export function join(...parts: readonly Targets[]): Targets {
  return {
    tables: parts.flatMap(({ tables }) => tables),
    sequences: parts.flatMap(({ sequences }) => sequences),
    functions: parts.flatMap(({ functions }) => functions),
    ofAnotherRole: parts.flatMap(({ ofAnotherRole }) => ofAnotherRole),
    guarded: parts.find(({ guarded }) => guarded)?.guarded,
  };
}

/** SQL over an alias `c` of pg_class. */
function columnsSql(condition: string): string {
  return `ARRAY(
    SELECT attname::text FROM pg_attribute
    WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ${condition}
    ORDER BY attnum
  )`;
}

/** The users' own objects in the schemas, as they are now; an extension's are the extension's. */
export async function ownObjects({ owner, database }: Pick<DatabaseContext, "owner" | "database">) {
  const parts: Targets[] = [];
  for (const schema of database.schemas) {
    const qualifier = literal(`${ident(schema.name)}.`);
    const oid = `${literal(ident(schema.name))}::regnamespace`;
    const found = await owner.query<{
      kind: SchemaObjectKind;
      name: string;
      relation: string | null;
      columns: readonly string[] | null;
      written: readonly string[] | null;
      column: string | null;
      procedure: string | null;
    }>(
      `SELECT CASE relkind WHEN 'S' THEN 'sequences' ELSE 'tables' END AS kind,
         ${qualifier} || quote_ident(relname) AS name, relname::text AS relation,
         ${columnsSql("")} AS columns, ${columnsSql("AND attgenerated = '' AND attidentity <> 'a'")} AS written,
         CASE WHEN relkind IN ('r', 'p') THEN (
           SELECT attname FROM pg_attribute
           WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
           ORDER BY attnum LIMIT 1
         ) END AS column, NULL AS procedure
       FROM pg_class c
       WHERE relnamespace = ${oid} AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
         AND NOT starts_with(relname, '${PROBE_PREFIX}')
         AND ${isOwn("pg_class", "c", "relowner")}
       UNION ALL
       SELECT 'functions', ${qualifier} || quote_ident(proname) || '(' || oidvectortypes(proargtypes) || ')',
         NULL, NULL, NULL, NULL, (${procedureOf("p.oid")})
       FROM pg_proc p
       WHERE pronamespace = ${oid}
         AND NOT starts_with(proname, '${PROBE_PREFIX}')
         AND ${isOwn("pg_proc", "p", "proowner")}
         AND NOT EXISTS (${constructorOf("p.oid")})
       ORDER BY name`,
    );
    const of = (kind: SchemaObjectKind): Target[] =>
      found
        .filter((object) => object.kind === kind)
        .map(({ name, column, procedure, relation, columns, written }) => ({
          ...{ name, probe: false, schema, column: column ?? undefined, procedure: procedure ?? undefined },
          ...(kind === "tables" && { relation: relation!, columns: columns!, written: written! }),
        }));
    parts.push({
      ...NO_TARGETS,
      tables: of("tables"),
      sequences: of("sequences"),
      functions: of("functions"),
    });
  }
  return join(...parts);
}
