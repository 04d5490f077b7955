import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { holderOf, makersOf } from "../../manifest/names";
import { publicMay } from "../../manifest/public";
import { OBJECT_KINDS, privilegesOn, type ObjectKind } from "../../manifest/object-kinds";
import type { LeasedContext } from "../context";
import type { Mend } from "../report/mend";
import { literals } from "../session/sql";
import { probeOwnerOf } from "../session/probes";
import type { Target } from "../session/targets";
import { membershipText } from "./access";
import { actingRoles, DATABASE_OWNER, isDeclaredMembership } from "./declared";
import { grantText, objectText, PUBLIC, type Grant } from "./grants";
import { givingTo, granting, revoking, revokingMembership } from "./mends";
import { readsWhole, type MatrixRow } from "./row";

/** Why something is not as declared. */
export interface Causes {
  readonly causes: readonly string[];
  /** Words of theirs that are about this target alone. */
  readonly about?: string;
  /** Statements that would change it. */
  readonly mends: readonly Mend[];
}

/** What is behind something that is held and was not declared, PUBLIC's grants apart. */
interface Ways {
  readonly ofPublic: readonly Grant[];
  /** Other grants. */
  readonly granted: readonly Grant[];
  /** Ownership, memberships or attributes. */
  readonly others: readonly string[];
  /** Statements that end the others. */
  readonly mends: readonly string[];
}

export async function causesOfHeld(context: LeasedContext, row: MatrixRow, target: Target): Promise<Causes> {
  const { ofPublic, granted, others, mends } = await waysToHold(context, row, target);
  const grants = [...ofPublic, ...granted];
  const one = grants.find(({ later }) => !later);
  const causes = [...textsOf(grants), ...others];
  if (causes.length > 0 || !(row.kind in OBJECT_KINDS))
    return {
      causes,
      about: one && objectText(one),
      mends: [...grants.map(revoking), ...mends],
    };
  const superusers = await context.owner.query<{ rolname: string }>(
    `SELECT rolname FROM pg_roles WHERE rolsuper AND rolname IN (${literals(context.access.roles)})`,
  );
  return {
    causes: superusers.map(({ rolname }) => `${rolname} is a superuser`),
    mends: superusers.map(({ rolname }) => `ALTER ROLE ${ident(rolname)} NOSUPERUSER`),
  };
}

function textsOf(grants: readonly Grant[]): string[] {
  return [...new Set(grants.map(grantText))];
}

/**
 * PUBLIC's grants, where they are what a persona holds something by that is not declared, PUBLIC may keep it, and nothing else
 * is behind it.
 */
export async function heldByPublicAlone(
  context: LeasedContext,
  row: MatrixRow,
  target: Target,
): Promise<string | undefined> {
  const { owner: catalogs, database, persona } = context;
  const { kind, privilege: name = row.name, also = [] } = row;
  if (!isObjectKind(kind)) return undefined;
  // What takes the owner, such as DROP, is nobody's by a grant.
  const grantable: readonly string[] = privilegesOn(kind);
  const privileges = [name, ...also].filter((privilege) => grantable.includes(privilege));
  const schema = target.schema?.name;
  if (!privileges.every((privilege) => publicMay(database, kind, privilege, schema))) return undefined;
  if (privileges.length === 0) return undefined;
  const [found] = await catalogs.query<{ held: boolean }>(
    `SELECT ${row.held(false, persona, target)} AS held FROM (VALUES ('public'::name, ${literal(target.name)})) t(role, target)`,
  );
  const { ofPublic, granted, others } = await waysToHold(context, row, target);
  if (!found!.held || granted.length + others.length > 0) return undefined;
  return textsOf(ofPublic).join("; ") || "PUBLIC has it from the start";
}

function isObjectKind(kind: string): kind is ObjectKind {
  return kind in OBJECT_KINDS;
}

async function waysToHold(context: LeasedContext, row: MatrixRow, target: Target): Promise<Ways> {
  const { access } = context;
  const { kind, privilege: name = row.name } = row;
  const holders = await rolesThatHold(context, row, target);
  const through = access.memberships.filter(
    (membership) => holders.has(membership.role) && !isDeclaredMembership(context, membership),
  );
  const ways = through.map((membership) => `through ${membershipText(membership)}`);
  const ends = through.map((membership) => revokingMembership(membership));
  const none = { ofPublic: [], granted: [] };
  if (kind === "set role") {
    if (target.name === DATABASE_OWNER)
      ways.push(
        "whoever owns the database is a member: where that may be the schema's owner, the config says exists: true of the database",
      );
    return { ...none, others: ways, mends: ends };
  }
  if (kind === "attributes") {
    const having = [...holders];
    return {
      ...none,
      others: [...having.map((role) => `${role} has ${name}`), ...ways],
      mends: [...having.map((role) => `ALTER ROLE ${ident(role)} NO${name}`), ...ends],
    };
  }

  const object = await objectOf(context, kind, target);
  const grantees = [PUBLIC, ...actingRoles(context)];
  const granted = access.grants
    .filter((grant) => isAbout(grant, row, object, target) && grantees.includes(grant.grantee))
    .map((grant) => {
      if (!target.probe) return grant;
      // Behind what a probe was given stands what later objects are given.
      const later = access.grants.find(
        (other) => isLater(other, row, target) && other.grantee === grant.grantee,
      );
      return later ?? grant;
    });
  const owner = object?.owner;
  const isOwned = owner !== undefined && owner !== target.schema?.owner && access.roles.includes(owner);
  return {
    ofPublic: granted.filter(({ grantee }) => grantee === PUBLIC),
    granted: granted.filter(({ grantee }) => grantee !== PUBLIC),
    others: [...(isOwned ? [`it belongs to ${owner}`] : []), ...ways],
    mends: [...(isOwned && target.schema ? [givingTo(target.schema.owner, row, target)] : []), ...ends],
  };
}

/** Why something declared is not held. */
export async function causesOfMissing(
  context: LeasedContext,
  row: MatrixRow,
  target: Target,
): Promise<Causes> {
  const { persona, access } = context;
  const { kind, privilege: name = row.name } = row;
  const groupRole = holderOf(persona, name);
  // The login ends with its lease: the group is what can be mended.
  if (kind === "set role")
    return { causes: [`${access.login} is not a member of ${target.name}`], mends: [] };
  // No attribute is declared.
  if (kind === "attributes") return { causes: [], mends: [] };
  const broken = readsWhole(row) ? context.broken.get(target.name) : undefined;
  if (broken) return broken;
  const object = await objectOf(context, kind, target);
  const { schema } = target;
  const isMisplaced =
    schema !== undefined &&
    object !== undefined &&
    !makersOf({ schemas: [schema] }).includes(object.owner) &&
    !(target.probe && object.owner === probeOwnerOf(context.database, schema));
  const causes = isMisplaced ? [`it belongs to ${object.owner}, not to ${schema.owner}`] : [];
  // The owner's session has what its objects give it; nothing is granted to it.
  if (isMisplaced && persona.actsAsOwner) return { causes, mends: [givingTo(schema.owner, row, target)] };
  if (persona.actsAsOwner && object && !target.probe) {
    const holders = await rolesThatHold(context, row, target);
    if (!holders.has(object.owner))
      return {
        causes: [`${object.owner}, as which the session acts, has no ${name} on it`],
        mends: granting(row, target, object.owner),
      };
  }
  const grants = access.grants.filter(
    (grant) => isAbout(grant, row, object, target) && grant.grantee === groupRole,
  );
  const isOnAll = grants.some((grant) => grant.kind !== "column");
  const without = (target.columns ?? []).filter(
    (column) => !isOnAll && !grants.some((grant) => grant.column === column),
  );
  if (kind === "columns" && without.length > 0)
    return {
      causes: [...causes, `no grant of ${name} to ${groupRole} on ${without.join(", ")}`],
      mends: granting(row, { ...target, columns: without }, groupRole),
    };
  if (isOnAll || kind === "columns")
    return {
      causes: [...causes, `granted to ${groupRole}, but ${await whyWithout(context, kind, target)}`],
      mends: [],
    };
  const isProbeWithout = target.probe && !access.grants.some((grant) => isLater(grant, row, target));
  const why = isProbeWithout
    ? `no default privileges of ${schema!.owner} grant ${groupRole} ${name} on ${kind}`
    : `no grant of ${name} to ${groupRole}`;
  return { causes: [...causes, why], mends: granting(row, target, groupRole) };
}

/** Why the login is without what its group has been granted. */
async function whyWithout(
  { owner: catalogs, access, persona }: LeasedContext,
  kind: ObjectKind | "columns",
  { schema }: Target,
): Promise<string> {
  const way = access.memberships.find(
    ({ member, role }) => member === access.login && role === persona.groupRole,
  );
  if (!way) return `${access.login} is not a member of it`;
  if (!way.inherits) return `${membershipText(way)} is without INHERIT`;
  if (schema && kind !== "schema") {
    const [usage] = await catalogs.query<{ held: boolean }>(
      "SELECT has_schema_privilege($1, $2, 'USAGE') AS held",
      [access.login, schema.name],
    );
    if (!usage!.held) return `without USAGE on the schema ${schema.name}`;
  }
  return "the session does not have it";
}

/** Whether a grant on an object is behind a row. */
function isAbout(
  grant: Grant,
  { kind: ofRow, ...row }: MatrixRow,
  object: CatalogObject | undefined,
  { columns = [] }: Target,
): boolean {
  if (ofRow === "columns" && grant.column !== null && !columns.includes(grant.column)) return false;
  const kind = ofRow === "columns" ? "tables" : ofRow;
  const grants: readonly string[] = kind in OBJECT_KINDS ? OBJECT_KINDS[kind as ObjectKind].grants : [];
  return grants.includes(grant.kind) && grant.oid === object?.oid && serves(grant, row);
}

/** Whether the schema's owner grants it on later objects of the kind. */
function isLater(grant: Grant, row: MatrixRow, { schema }: Target): boolean {
  return grant.later && grant.owner === schema?.owner && grant.kind === row.kind && serves(grant, row);
}

function serves(
  { privilege: granted }: Grant,
  { name, privilege = name, also = [] }: Pick<MatrixRow, "name" | "privilege" | "also">,
): boolean {
  return granted === privilege || also.includes(granted);
}

async function rolesThatHold(
  { owner: catalogs, access, persona }: LeasedContext,
  row: MatrixRow,
  target: Target,
): Promise<Set<string>> {
  const roles = [...access.roles, ...access.memberships.map(({ role }) => role)];
  const rows = await catalogs.query<{ role: string }>(
    `SELECT role
     FROM unnest(ARRAY[${literals(roles)}]::name[]) role, (VALUES (${literal(target.name)})) t(target)
     WHERE ${row.held(false, persona, target)}`,
  );
  return new Set(rows.map(({ role }) => role));
}

interface CatalogObject {
  readonly oid: number;
  readonly owner: string;
}

/** Of the users' objects it is known already. */
async function objectOf(
  context: LeasedContext,
  kind: ObjectKind | "columns",
  target: Target,
): Promise<CatalogObject | undefined> {
  return target.users ?? lookUp(context, kind, target);
}

async function lookUp(
  { owner: catalogs }: LeasedContext,
  kind: ObjectKind | "columns",
  { name }: Target,
): Promise<CatalogObject | undefined> {
  const about = OBJECT_KINDS[kind === "columns" ? "tables" : kind];
  const is =
    "regtype" in about ? `oid = ${literal(name)}::${about.regtype}` : `${about.name} = ${literal(name)}`;
  const [row] = await catalogs.query<CatalogObject>(
    `SELECT oid::int8::float8 AS oid, pg_get_userbyid(${about.owner}) AS owner
     FROM ${about.catalog} WHERE ${is}`,
  );
  return row;
}
