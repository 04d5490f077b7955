import { escapeLiteral as literal } from "pg";
import { groupRolesOf, maintainRoleOf, maintainRolesOf, ownersOf } from "../../manifest/names";
import { maintains, privilegesIn } from "../../manifest/privileges";
import type { ManifestDatabase, ManifestPersona, ManifestSchema } from "../../manifest/schema";
import type { LeasedContext } from "../context";

/** PostgreSQL's, whose one member is the owner of the session's database. */
export const DATABASE_OWNER = "pg_database_owner";

// What a database's roles, schemas and memberships are to be, by its manifest.

export function schemaNames({ schemas }: ManifestDatabase): string[] {
  return schemas.map(({ name }) => name);
}

/** Where a persona may create, and the verifier can drop what it leaves: as its owner, or as the schema's. */
export function schemasToLeaveIn({ schemas }: ManifestDatabase, persona: ManifestPersona): ManifestSchema[] {
  return schemas.filter(
    ({ name, exists }) =>
      privilegesIn(persona, name).schema.includes("CREATE") && (persona.actsAsOwner || !exists),
  );
}

/** Every role of the database but logins. */
export function rolesOf(database: ManifestDatabase): string[] {
  const { manager } = database;
  return [
    ...[...ownersOf(database), ...(manager === undefined ? [] : [manager])],
    ...[...groupRolesOf(database), ...maintainRolesOf(database)],
  ];
}

/** The schemas in which a persona's sessions look names up. */
export function searchPathOfPersona(database: ManifestDatabase, { databaseRole }: ManifestPersona): string[] {
  return databaseRole.searchPath ?? schemaNames(database);
}

/** SQL that gives a search path of schemas as PostgreSQL spells it. @param names default: those of the database's roles */
export function searchPathOf(database: ManifestDatabase, names = schemaNames(database)): string {
  return names.map((name) => `quote_ident(${literal(name)})`).join(" || ', ' || ");
}

/** Its group, and its role for MAINTAIN where it has one. */
export function ownRoles(persona: ManifestPersona): string[] {
  return [persona.groupRole, ...(maintains(persona) ? [maintainRoleOf(persona)] : [])];
}

type PersonasLogin = Pick<LeasedContext, "database" | "persona" | "access">;

/** Roles that a persona's session may act as. */
export function actingRoles({ database, persona, access }: PersonasLogin): string[] {
  return [access.login, ...ownRoles(persona), ...(persona.actsAsOwner ? ownersOf(database) : [])];
}

/** From the leased login upwards: in its group, and for a persona that acts as the owner from there in the owner. */
export function declaredMemberships({ database, persona, access }: PersonasLogin) {
  const [group, ...further] = ownRoles(persona);
  const above = [...(persona.actsAsOwner ? ownersOf(database) : []), ...further];
  return [{ member: access.login, role: group! }, ...above.map((role) => ({ member: group!, role }))];
}

export function isDeclaredMembership(
  context: PersonasLogin,
  { member, role }: { readonly member: string; readonly role: string },
): boolean {
  return declaredMemberships(context).some(
    (declared) => declared.member === member && declared.role === role,
  );
}
