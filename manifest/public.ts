import type { ObjectKind } from "./object-kinds";
import type { ManifestDatabase } from "./schema";

/**
 * Whether PUBLIC may have a privilege on the database, its schemas or what is in them.
 * @param schema the one that it is on, by its name
 */
export function publicMay(
  { public: kept, schemas }: Pick<ManifestDatabase, "public" | "schemas">,
  kind: ObjectKind,
  privilege: string,
  schema?: string,
): boolean {
  if (kept === "keep") return true;
  const inSchema = kind === "schema" ? schemas.find(({ name }) => name === schema)?.public : [];
  const lists: Partial<Record<ObjectKind, readonly string[]>> = kept === "take" ? {} : kept;
  return [...(inSchema ?? []), ...(lists[kind] ?? [])].includes(privilege);
}
