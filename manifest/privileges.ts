import type { SchemaPrivilegeSet } from "./object-kinds";
import type { ManifestPersona } from "./schema";

const NONE: SchemaPrivilegeSet = { schema: [], tables: [], sequences: [], functions: [], namedTables: [] };

/** What a persona has, once for each schema where they differ. */
export function privilegeSetsOf({
  privileges,
}: Pick<ManifestPersona, "privileges">): readonly SchemaPrivilegeSet[] {
  return privileges.schemas ?? [privileges];
}

/** What a persona has in a schema of its database. */
export function privilegesIn(
  { privileges }: Pick<ManifestPersona, "privileges">,
  schema: string,
): SchemaPrivilegeSet {
  const { schemas } = privileges;
  return schemas ? (schemas.find(({ name }) => name === schema) ?? NONE) : privileges;
}
