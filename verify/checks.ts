import type { DatabaseContext } from "./context";
import { groupMembers, groupRoles, schemaOwner } from "./privileges/groups";
import { leasedLogins } from "./privileges/leased-logins";
import { managerLogin } from "./privileges/manager-login";
import { overloads } from "./privileges/overloads";
import { probeLeases } from "./privileges/probe-leases";
import { publicAccess } from "./privileges/public";
import { MATRIX_ROWS } from "./privileges/rows";
import { undeclaredRoles } from "./privileges/undeclared-roles";
import type { CheckDefinition, CheckDescription, CheckGroup, RowDescription } from "./report/check";
import { rowId } from "./report/recorder";
import { dropStaleProbes } from "./session/probes";

// Every check there is, in the order in which they are made. A function of a room makes each.

/** Before anything is made. */
export const BEFORE: readonly CheckDefinition<DatabaseContext>[] = [
  {
    id: "vault-login",
    title: "Vault's own login: attributes, memberships, settings",
    proves:
      "Vault's own login has the attributes, memberships and settings that the stack gives it, owns nothing and is granted nothing else.",
    group: "Vault's own login",
    run: managerLogin,
  },
  {
    id: "schema-owner",
    title: "the schema is the owner's",
    proves: "Each schema belongs to the declared owner, whose default privileges reach what is made in it.",
    group: "roles and PUBLIC",
    run: schemaOwner,
  },
  {
    id: "stale-probes",
    title: "nothing left of runs that were killed",
    proves: "Probe objects of earlier runs that were killed are dropped.",
    group: "nothing left",
    applies: ({ readOnly }) => !readOnly,
    run: dropStaleProbes,
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
    run: publicAccess,
  },
  {
    id: "undeclared-roles",
    title: "roles that are not declared have nothing",
    proves:
      "No role outside the config holds anything on the schema, or on what the owner owns, now or later.",
    group: "roles and PUBLIC",
    run: undeclaredRoles,
  },
  {
    id: "overloads",
    title: "nothing has the name of PostgreSQL's own",
    proves:
      "No function, operator, cast or schema on the search path of a persona or of Vault's login could be taken for PostgreSQL's own.",
    group: "roles and PUBLIC",
    run: overloads,
  },
  {
    id: "group-roles",
    title: "group roles as declared",
    proves:
      "The owner and the group roles can't log in, and have no attribute, setting or membership beyond what is declared.",
    group: "roles and PUBLIC",
    run: groupRoles,
  },
  {
    id: "group-members",
    title: "group roles hold leased logins alone",
    proves:
      "Members of the group roles are leased logins that are still valid, declared static logins and Vault's own login, and nobody else.",
    group: "roles and PUBLIC",
    run: groupMembers,
  },
  {
    id: "leased-logins",
    title: "leased logins as a lease makes them",
    proves:
      "Every leased login of the database's has the mark, attributes, memberships and settings that a lease gives it.",
    group: "roles and PUBLIC",
    run: leasedLogins,
  },
  {
    id: "probe-leases",
    title: "probe leases and their logins agree",
    proves:
      "Vault has a lease for each login of the probe roles, and PostgreSQL a login for each of their leases.",
    group: "roles and PUBLIC",
    run: probeLeases,
  },
];

/** What each check is, and each row of the matrix. */
export function describeChecks(): CheckDescription[] {
  return [...BEFORE, ...ROLES, ...MATRIX_ROWS.map((row) => describeRow(row, "session"))];
}

function describeRow({ kind, name, proves }: RowDescription, group: CheckGroup): CheckDescription {
  return { id: rowId({ kind, name }), title: `${kind}.${name}`, proves, group };
}
