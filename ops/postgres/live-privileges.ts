import { few } from "../../clients/text";
import { holderOf, maintainRoleOf } from "../../manifest/names";
import {
  OBJECT_KINDS,
  privilegesOn,
  type NamedTable,
  type ObjectKind,
  type Privilege,
  type SchemaObjectKind,
} from "../../manifest/object-kinds";
import type { ManifestPersona } from "../../manifest/schema";
import type { Attributes } from "../deployment/deployment";
import type { Catalogs, HeldPrivilege } from "./catalogs";

export interface LivePrivileges {
  readonly privileges: ManifestPersona["privileges"];
  /** What is there and no list of a manifest stands for. */
  readonly notes: readonly string[];
}

/** Object types of Terraform's provider, by the manifest's kinds. */
const TYPES: Readonly<Record<ObjectKind, readonly string[]>> = {
  database: ["database"],
  schema: ["schema"],
  tables: ["table"],
  sequences: ["sequence"],
  functions: ["function", "procedure", "routine"],
};

/**
 * What a group role has by grants. With what is made later a privilege is on all tables, sequences or functions, and a note names
 * those that lack it; otherwise it is on those tables that have it.
 * @param grants of the stack and its state in the database: what they are on a deploy sets to what is declared. Undefined of a
 *   persona that goes, with all that it has
 */
export function livePrivileges(
  { held: entries, later, objects, schemas }: Catalogs,
  role: string,
  grants: readonly Attributes[] | undefined,
): LivePrivileges {
  const notes: string[] = [];
  const isOwn = (one: { readonly role: string | null; readonly privilege: string }) =>
    one.role === holderOf({ groupRole: role }, one.privilege);
  const entriesOfRole = entries.filter((one) => one.role === role || isOwn(one));
  // A deploy sets what the role for MAINTAIN has without Terraform.
  const held = grants
    ? entriesOfRole.filter(
        (one) =>
          one.role === maintainRoleOf({ groupRole: role }) || grants.some((grant) => covers(grant, one)),
      )
    : entriesOfRole;
  const stays = entriesOfRole.filter((one) => !held.includes(one)).map(text);
  if (stays.length > 0) notes.push(`${role} also has ${few(stays)}, which no deploy gave it: it stays`);

  const given = <Kind extends ObjectKind>(kind: Kind, schema: string | null) =>
    listed(
      kind,
      held.filter((one) => one.kind === kind && one.schema === schema),
    );
  const all = <Kind extends SchemaObjectKind>(kind: Kind, schema: string) => {
    const madeLater = listed(
      kind,
      later.filter((one) => isOwn(one) && one.schema === schema && one.kind === kind),
    );
    // Single tables can be named.
    const set = kind === "tables" ? madeLater : [...new Set([...madeLater, ...given(kind, schema)])];
    const lacking = new Map<string, string[]>();
    const here = objects.filter((one) => one.kind === kind && one.schema === schema);
    for (const privilege of set) {
      const having = held
        .filter((one) => one.kind === kind && one.schema === schema && one.privilege === privilege)
        .flatMap(({ object, column }) => (column === null ? (object ?? []) : []));
      const without = here.filter(({ object, owner }) => owner !== role && !having.includes(object));
      const parts = [
        ...(without.length > 0
          ? [
              `${String(without.length)} of ${String(here.length)} (${few(without.map(({ object }) => object))})`,
            ]
          : []),
        ...(madeLater.includes(privilege) ? [] : ["those that are made later"]),
      ].join(" and ");
      if (parts !== "") lacking.set(parts, [...(lacking.get(parts) ?? []), privilege]);
    }
    for (const [parts, list] of lacking)
      notes.push(`${role} has ${list.join(", ")} on ${kind} of the schema ${schema} but for ${parts}`);
    return set;
  };
  const sets = schemas.map(({ name }) => {
    const tables = all("tables", name);
    const onTables = held.filter(({ kind, schema }) => kind === "tables" && schema === name);
    return {
      ...{ name, schema: given("schema", name), tables, namedTables: namedTables(onTables, tables) },
      ...{ sequences: all("sequences", name), functions: all("functions", name) },
    };
  });
  const none = { schema: [], tables: [], sequences: [], functions: [], namedTables: [] };
  return { privileges: { ...(sets[0] ?? none), database: given("database", null), schemas: sets }, notes };
}

/** In the order in which a kind's privileges are listed. */
function listed<Kind extends ObjectKind>(
  kind: Kind,
  found: readonly { readonly privilege: string }[],
): Privilege<Kind>[] {
  return privilegesOn(kind).filter((name) => found.some(({ privilege }) => privilege === name));
}

function covers(grant: Attributes, { role, kind, schema, object, column }: HeldPrivilege): boolean {
  const { objects } = grant as { objects?: readonly string[] };
  return (
    grant["role"] === role &&
    (column === null ? TYPES[kind] : ["column"]).includes(String(grant["object_type"])) &&
    (schema === null || grant["schema"] === schema) &&
    (!objects?.length || objects.includes(object ?? ""))
  );
}

/** @param all what is on all tables */
function namedTables(held: readonly HeldPrivilege[], all: readonly string[]): NamedTable[] {
  const own = held.filter(({ privilege }) => !all.includes(privilege));
  return [...new Set(own.map(({ object }) => object!))].map((name) => {
    const here = own.filter(({ object }) => object === name);
    const privileges = listed(
      "tables",
      here.filter(({ column }) => column === null),
    );
    const columns = OBJECT_KINDS.tables.columns.flatMap((privilege) => {
      const list = here.flatMap((one) => (one.privilege === privilege ? (one.column ?? []) : []));
      return list.length > 0 && !privileges.includes(privilege) ? [[privilege, list] as const] : [];
    });
    return { name, privileges, columns: Object.fromEntries(columns) };
  });
}

function text({ privilege, kind, schema, object, column }: HeldPrivilege): string {
  if (kind === "database") return `${privilege} on the database`;
  if (kind === "schema") return `${privilege} on the schema ${schema!}`;
  const name = kind === "functions" ? object! : `${schema!}.${object!}`;
  return `${privilege} on ${column === null ? "" : `${column} of `}${name}`;
}
