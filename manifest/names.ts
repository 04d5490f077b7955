import { maintains } from "./privileges";
import type { ManifestDatabase, ManifestPersona } from "./schema";

/** The policies of the trust model, written by whoever initialises Vault. */
export function trustPolicyNames({ name, vault }: { name: string; vault: { operatorPolicy?: string } }) {
  return {
    operator: vault.operatorPolicy ?? `leasehold-${name}-operator`,
    planner: `leasehold-${name}-planner`,
    deliverer: `leasehold-${name}-deliverer`,
    verifier: `leasehold-${name}-verifier`,
  } as const;
}

/** Who has a token of the trust model. */
export const TRUST_TOKENS = ["operator", "planner", "deliverer", "verifier"] as const;
export type TrustToken = (typeof TRUST_TOKENS)[number];

/** Whether a policy has a name that one of an environment's trust model has, where the config does not name it otherwise. */
export function isTrustPolicy(name: string): boolean {
  return name.startsWith("leasehold-") && TRUST_TOKENS.some((who) => name.endsWith(`-${who}`));
}

/** The Terraform variable with the password of Vault's own login. */
export function managerPasswordVariable(
  { servers }: { readonly servers: readonly { readonly name: string }[] },
  { server, manager }: { readonly server?: string; readonly manager: { readonly name: string } },
): string {
  // Role names are unique on a server alone.
  const prefix = server === undefined || server === servers[0]!.name ? "" : `${server}_`;
  return `${prefix}${manager.name.replaceAll("-", "_")}_manager_password`;
}

/**
 * The first line of each policy that we write, without its `#`: whose it is. A connection of a Vault is one environment's.
 * @param database the persona's; of the trust model's policies, the first
 */
export function policyMark(
  environment: string,
  {
    vault: { mount, connection },
  }: { readonly vault: { readonly mount: string; readonly connection: string } },
): string {
  return `leasehold ${environment} ${mount}/${connection}`;
}

interface MountedDatabase {
  readonly name: string;
  readonly vault: { readonly mount: string; readonly mountExists?: boolean; readonly connection: string };
}

/**
 * The probes' database roles in Vault. Each database of a mount has its own; the first one's have the plain names, unless other
 * environments may have theirs in the mount.
 */
export function probeDatabaseRoles(
  { databases }: { databases: readonly MountedDatabase[] },
  database: MountedDatabase,
): { owner: string; short: string } {
  const first = databases.find(({ vault }) => vault.mount === database.vault.mount)!;
  const { mountExists, connection } = database.vault;
  const own = first.name === database.name ? "" : `-${database.name}`;
  const suffix = mountExists ? `-${connection}` : own;
  return { owner: `verify-owner${suffix}`, short: `verify-short${suffix}` };
}

/** The group roles of the verifier's probes; roles are global to a server, so the database's name is part of theirs. */
export function probeRoleNames(database: { readonly name: string }): { owner: string; short: string } {
  return { owner: `${database.name}_verify_owner`, short: `${database.name}_verify_short` };
}

/** Of the schemas, each once. */
export function ownersOf({ schemas }: Pick<ManifestDatabase, "schemas">): string[] {
  return [...new Set(schemas.map(({ owner }) => owner))];
}

/** Whether what the verifier makes is the owners'; else it is its own group's, since a superuser is nobody to act as. */
export function probesActAsOwner({
  schemas,
}: {
  readonly schemas: readonly Pick<ManifestDatabase["schemas"][number], "ownerIsSuperuser">[];
}): boolean {
  return !schemas.some(({ ownerIsSuperuser }) => ownerIsSuperuser);
}

/** Of the owners, those that the stack makes. */
export function madeOwnersOf({ schemas }: Pick<ManifestDatabase, "schemas">): string[] {
  return ownersOf({ schemas: schemas.filter(({ ownerExists }) => !ownerExists) });
}

/** The roles whose later objects are the personas': the schemas' owners, and who else creates in them. */
export function makersOf({ schemas }: Pick<ManifestDatabase, "schemas">): string[] {
  return [...new Set(schemas.flatMap(({ owner, creators = [] }) => [owner, ...creators]))];
}

/** The role that gets what a persona's login owns, when it is revoked. */
export function heirOf(
  { owner }: Pick<ManifestDatabase, "owner">,
  { actsAsOwner, groupRole }: Pick<ManifestPersona, "actsAsOwner" | "groupRole">,
): string {
  return actsAsOwner ? owner : groupRole;
}

/** A role beside a persona's group, which is its one member, for MAINTAIN alone (maintain.ts). */
export function maintainRoleOf({ groupRole }: Pick<ManifestPersona, "groupRole">): string {
  return `${groupRole}_maintain`;
}

/** The role that holds a privilege of a persona's. */
export function holderOf(persona: Pick<ManifestPersona, "groupRole">, privilege: string): string {
  return privilege === "MAINTAIN" ? maintainRoleOf(persona) : persona.groupRole;
}

/** Of a database's personas that declare MAINTAIN. */
export function maintainRolesOf({ personas }: Pick<ManifestDatabase, "personas">): string[] {
  return personas.filter(maintains).map(maintainRoleOf);
}

/** Roles that cannot log in and hold what leased logins inherit. */
export function groupRolesOf({
  personas,
  probeGroups,
}: Pick<ManifestDatabase, "personas" | "probeGroups">): string[] {
  return [...personas.map(({ groupRole }) => groupRole), ...Object.values(probeGroups ?? {})];
}

/** Vault's database roles of a database: the personas' and the probes'. */
export function databaseRolesOf(
  manifest: { databases: readonly MountedDatabase[] },
  database: Pick<ManifestDatabase, "name" | "vault" | "personas" | "probes">,
): string[] {
  const probes = database.probes ?? probeDatabaseRoles(manifest, database);
  return [...database.personas.map(({ databaseRole }) => databaseRole.name), ...Object.values(probes)];
}

/** What the name of a leased login starts with, and no declared role's does. */
export const LEASED_PREFIX = "v-";

/** Of what stands in such a name for who asked and for the role: no quote, since it stands in statements. */
const SHORTENED = `[^[:cntrl:]"'']{0,8}`;

/**
 * The whole of such a name, as a regular expression of PostgreSQL's, as it stands between the quotes of a literal: v-, who asked,
 * the role, twenty letters, the time.
 */
export const LEASED = `^${LEASED_PREFIX}${SHORTENED}-${SHORTENED}-[A-Za-z0-9]{20}-[0-9]{10}$`;

/** A login's name, the same for each lease of one database role: what differs from lease to lease is an asterisk. */
export function lastingName(login: string): string {
  return login.startsWith(LEASED_PREFIX) ? login.replace(/-[A-Za-z0-9]{20}-[0-9]{10}$/, "-*") : login;
}

/**
 * The comment on each role that Vault leases for a database, written as it is made. Its holder can't write one, so it tells
 * a leased login from a forged one. A revocation that could not drop the role adds {@link REVOKED} and the SQLSTATE.
 */
export function leaseMark(environment: string, database: string): string {
  return `leasehold ${environment} ${database}`;
}

/** What follows the mark of a role that is closed and waits for a deploy to drop it (sql/). */
export const REVOKED = ": revoked, not dropped";

/** Vault's own login keeps one, whatever the way to lease: in a server that is full it can still revoke. */
export const RESERVED_SLOTS = "pg_use_reserved_connections";

/** The schema of the functions through which Vault's login leases, in each database that has them. */
export const LEASE_SCHEMA = "leasehold";

/** Those functions with their arguments, all of them text. */
export const LEASE_FUNCTIONS = {
  open: ["login", "group_role", "secret", "valid_until"],
  renew: ["login", "valid_until"],
  close: ["login"],
  drop: ["login", "group_role"],
  set_password: ["login", "secret"],
} as const;
