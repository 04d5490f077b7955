import type { SchemaPrivilegeSet } from "./object-kinds";
import type { ManifestPersona } from "./schema";

const NONE: SchemaPrivilegeSet = { schema: [], tables: [], sequences: [], functions: [], namedTables: [] };

/** What a persona has, once for each schema where they differ. */
export function privilegeSetsOf({
  privileges,
}: Pick<ManifestPersona, "privileges">): readonly SchemaPrivilegeSet[] {
  return privileges.schemas ?? [privileges];
}

/** Whether a persona has MAINTAIN on any table by what is declared for it. */
export function maintains(persona: Pick<ManifestPersona, "privileges">): boolean {
  return privilegeSetsOf(persona).some(setMaintains);
}

/** The same of what it has in one schema. */
export function setMaintains({
  tables,
  namedTables,
}: Pick<SchemaPrivilegeSet, "tables" | "namedTables">): boolean {
  return [tables, ...namedTables.map(({ privileges }) => privileges)].some((list) =>
    list.includes("MAINTAIN"),
  );
}

/** What a persona has in a schema of its database. */
export function privilegesIn(
  { privileges }: Pick<ManifestPersona, "privileges">,
  schema: string,
): SchemaPrivilegeSet {
  const { schemas } = privileges;
  return schemas ? (schemas.find(({ name }) => name === schema) ?? NONE) : privileges;
}
