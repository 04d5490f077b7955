import { escapeLiteral as literal } from "pg";
import { grantText, membershipText, PUBLIC, type Access, type Grant } from "./catalogs";
import type { Column, Place } from "./rows";
import type { ManifestPersona } from "../../manifest/schema";
import type { Target } from "../session/probes";
import type { Session } from "../session/session";

/** Kinds of the manifest, and of an ACL's entry. */
const KIND_OF_GRANT: Readonly<Record<string, readonly string[]>> = {
  database: ["database"],
  schema: ["schema"],
  tables: ["table", "column"],
  sequences: ["sequence"],
  functions: ["function"],
};

interface Case {
  readonly column: Column;
  readonly target: Target;
  readonly place: Place;
  readonly access: Access;
  readonly asker: Session;
}

/** The grants, memberships or attributes behind something that is held and was not declared. */
export async function causesOfHeld({ column, target, place, access, asker }: Case): Promise<string[]> {
  const { persona, database } = place;
  const [kind, name] = column.privilege.split(".") as [string, string];
  const holders = await rolesThatHold(asker, column, target, access, persona);
  const declared = [access.login, persona.groupRole, ...(persona.actsAsOwner ? [database.owner] : [])];
  const ways = access.memberships
    .filter(({ role, member }) => holders.has(role) && !isDeclaredMembership(place, access, role, member))
    .map((membership) => `through ${membershipText(membership)}`);
  if (kind === "set role") return ways;
  if (kind === "attributes") {
    return [...[...holders].map((role) => `${role} has ${name}`), ...ways];
  }

  const found = await find(asker, kind, target);
  const later = access.grants.filter((grant) => isLater(grant, kind, column, database.owner));
  const granted = access.grants
    .filter(
      (grant) => isAbout(grant, kind, found?.oid, column) && [PUBLIC, ...declared].includes(grant.grantee),
    )
    // Behind what a probe was given stands what later objects are given.
    .map(
      (grant) => (target.probe ? later.find(({ grantee }) => grantee === grant.grantee) : undefined) ?? grant,
    )
    .map(grantText);
  const owner = found?.owner;
  const owned = owner !== undefined && owner !== database.owner && access.roles.includes(owner);
  const causes = [...new Set(granted), ...(owned ? [`it belongs to ${owner}`] : []), ...ways];
  if (causes.length > 0) return causes;
  const superusers = await asker.query<{ rolname: string }>(
    `SELECT rolname FROM pg_roles WHERE rolsuper AND rolname IN (${list(access.roles)})`,
  );
  return superusers.map(({ rolname }) => `${rolname} is a superuser`);
}

/** Why something declared is not held. */
export async function causesOfMissing({ column, target, place, access, asker }: Case): Promise<string[]> {
  const { persona, database } = place;
  const [kind, name] = column.privilege.split(".") as [string, string];
  if (kind === "set role") return [`${access.login} is no member of ${target.name}`];
  const found = await find(asker, kind, target);
  const misplaced = kind !== "database" && found !== undefined && found.owner !== database.owner;
  const causes = misplaced ? [`it belongs to ${found.owner}, not to ${database.owner}`] : [];
  // The owner's session has what its objects give it; nothing is granted to it.
  if (misplaced && persona.actsAsOwner) return causes;
  const granted = access.grants.some(
    (grant) =>
      isAbout(grant, kind, found?.oid, column) &&
      grant.grantee === persona.groupRole &&
      grant.kind !== "column",
  );
  if (granted) {
    const way = access.memberships.find(
      ({ member, role }) => member === access.login && role === persona.groupRole,
    );
    const inside = kind !== "database" && kind !== "schema";
    const [usage] = await asker.query<{ held: boolean }>(
      "SELECT has_schema_privilege($1, $2, 'USAGE') AS held",
      [access.login, database.schema],
    );
    const without = !way
      ? `${access.login} is no member of it`
      : !way.inherits
        ? `${membershipText(way)} is without INHERIT`
        : inside && usage?.held === false
          ? `without USAGE on the schema ${database.schema}`
          : "the session has not got it";
    return [...causes, `granted to ${persona.groupRole}, but ${without}`];
  }
  const later = access.grants.some((grant) => isLater(grant, kind, column, database.owner));
  return [
    ...causes,
    target.probe && !later
      ? `no default privileges of ${database.owner} grant ${persona.groupRole} ${name} on ${kind}`
      : `no grant of ${name} to ${persona.groupRole}`,
  ];
}

export function isDeclaredMembership(
  { persona, database }: Pick<Place, "persona" | "database">,
  { login }: Access,
  role: string,
  member: string,
): boolean {
  if (member === login && role === persona.groupRole) return true;
  return persona.actsAsOwner && member === persona.groupRole && role === database.owner;
}

function isAbout(grant: Grant, kind: string, oid: number | undefined, column: Column): boolean {
  if (!KIND_OF_GRANT[kind]?.includes(grant.kind) || grant.oid !== oid) return false;
  return serves(grant.privilege, column);
}

function isLater(grant: Grant, kind: string, column: Column, owner: string): boolean {
  return (
    grant.kind === "default privileges" &&
    grant.owner === owner &&
    grant.object.startsWith(`${kind} of `) &&
    serves(grant.privilege, column)
  );
}

/** A row that is no privilege's is about any. */
function serves(granted: string, { privilege, also = [] }: Column): boolean {
  const name = privilege.split(".")[1]!;
  return granted === name || also.includes(granted) || !/^[A-Z]+$/.test(name);
}

async function rolesThatHold(
  asker: Session,
  column: Column,
  target: Target,
  access: Access,
  persona: ManifestPersona,
): Promise<Set<string>> {
  const rows = await asker.query<{ role: string }>(
    `SELECT role FROM unnest(ARRAY[${list([...access.roles, ...access.memberships.map(({ role }) => role)])}]::name[]) role, (VALUES (${literal(target.name)})) t(target) WHERE ${column.held(false, persona)}`,
  );
  return new Set(rows.map(({ role }) => role));
}

/** SQL that finds an object's row in its catalog. */
const CATALOGS: Readonly<Record<string, (name: string) => { from: string; owner: string }>> = {
  database: (name) => ({ from: `pg_database WHERE datname = ${name}`, owner: "datdba" }),
  schema: (name) => ({ from: `pg_namespace WHERE nspname = ${name}`, owner: "nspowner" }),
  tables: (name) => ({ from: `pg_class WHERE oid = ${name}::regclass`, owner: "relowner" }),
  sequences: (name) => ({ from: `pg_class WHERE oid = ${name}::regclass`, owner: "relowner" }),
  functions: (name) => ({ from: `pg_proc WHERE oid = ${name}::regprocedure`, owner: "proowner" }),
};

async function find(
  asker: Session,
  kind: string,
  { name }: Target,
): Promise<{ oid: number; owner: string } | undefined> {
  const catalog = CATALOGS[kind]?.(literal(name));
  if (!catalog) return undefined;
  const [row] = await asker.query<{ oid: number; owner: string }>(
    `SELECT oid::int8::float8 AS oid, pg_get_userbyid(${catalog.owner}) AS owner FROM ${catalog.from}`,
  );
  return row;
}

function list(names: readonly string[]): string {
  return names.map((name) => literal(name)).join(", ");
}
