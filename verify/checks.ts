import type { DatabaseContext } from "./context";
import { groupMembers, groupRoles, probeLeases, schemaOwner } from "./privileges/groups";
import { leasedLogins } from "./privileges/leased-logins";
import { managerLogin } from "./privileges/manager-login";
import { overloads } from "./privileges/overloads";
import { grantsToUndeclared, publicAccess } from "./privileges/undeclared";
import type { Check, CheckDefinition, CheckDescription } from "./report/check";
import { listed } from "./report/check";
import { dropStaleProbes } from "./session/probes";

// Every check there is, in the order in which they are made. A function of a room makes each.

/** Turns a function that returns its finding into one that tells the check. */
function finding<Context>(make: (context: Context, check: Check) => Promise<string | undefined>) {
  return async (context: Context, check: Check): Promise<void> => {
    check.find(await make(context, check));
  };
}

/** Before anything is made. */
export const BEFORE: readonly CheckDefinition<DatabaseContext>[] = [
  {
    id: "vault-login",
    title: "Vault's own login: attributes, memberships, settings",
    proves:
      "Vault's own login has the attributes, memberships and settings that the stack gives it, owns nothing and is granted nothing else.",
    group: "Vault's own login",
    run: finding(({ owner, database }, check) => managerLogin(owner, database, check)),
  },
  {
    id: "schema-owner",
    title: "the schema is the owner's",
    proves: "The schema belongs to the declared owner, whose default privileges reach what is made in it.",
    group: "roles and PUBLIC",
    run: finding(({ owner, database }, check) => schemaOwner(owner, database, check)),
  },
  {
    id: "stale-probes",
    title: "nothing left of runs that were killed",
    proves: "Probe objects of earlier runs that were killed are dropped.",
    group: "nothing left",
    applies: ({ readOnly }) => !readOnly,
    run: finding(async ({ owner, database }, check) => listed(await dropStaleProbes(owner, database), check)),
  },
];

/** On the roles of the server and what they hold in the database. */
export const ROLES: readonly CheckDefinition<DatabaseContext>[] = [
  {
    id: "public",
    title: "PUBLIC has nothing",
    proves:
      "PUBLIC holds nothing on the database, the schema and its objects, now or by default privileges, and nothing elsewhere but what PostgreSQL gives it from the start.",
    group: "roles and PUBLIC",
    run: finding(({ owner, database, acceptance }, check) =>
      publicAccess(owner, database, acceptance, check),
    ),
  },
  {
    id: "undeclared-roles",
    title: "roles that are not declared have nothing",
    proves:
      "No role outside the config holds anything on the schema, or on what the owner owns, now or later.",
    group: "roles and PUBLIC",
    run: finding(({ owner, database, acceptance }, check) =>
      grantsToUndeclared(owner, database, acceptance, check),
    ),
  },
  {
    id: "overloads",
    title: "nothing has the name of PostgreSQL's own",
    proves:
      "No function, operator, cast or schema on the search path of a persona or of Vault's login could be taken for PostgreSQL's own.",
    group: "roles and PUBLIC",
    run: finding(({ owner, database, acceptance }, check) => overloads(owner, database, acceptance, check)),
  },
  {
    id: "group-roles",
    title: "group roles as declared",
    proves:
      "The owner and the group roles can't log in, and have no attribute, setting or membership beyond what is declared.",
    group: "roles and PUBLIC",
    run: finding(({ owner, database }, check) => groupRoles(owner, database, check)),
  },
  {
    id: "group-members",
    title: "group roles hold leased logins alone",
    proves:
      "Members of the group roles are leased logins that are still valid, declared static logins and Vault's own login, and nobody else.",
    group: "roles and PUBLIC",
    run: finding(({ owner, database }, check) => groupMembers(owner, database, check)),
  },
  {
    id: "leased-logins",
    title: "leased logins as a lease makes them",
    proves:
      "Every leased login of the database's has the mark, attributes, memberships and settings that a lease gives it.",
    group: "roles and PUBLIC",
    run: finding(({ owner, environment, database }, check) =>
      leasedLogins(owner, environment, database, check),
    ),
  },
  {
    id: "probe-leases",
    title: "probe leases and their logins agree",
    proves:
      "Vault has a lease for each login of the probe roles, and PostgreSQL a login for each of their leases.",
    group: "roles and PUBLIC",
    run: finding(({ owner, vault, database }, check) => probeLeases(owner, vault, database, check)),
  },
];

/** What each check is, and each row of the matrix. */
export function describeChecks(): CheckDescription[] {
  return [...BEFORE, ...ROLES];
}
