import { privilegeSetsOf } from "../manifest/privileges";
import type { ManifestPersona } from "../manifest/schema";
import type { DatabaseContext, LeasedContext, LoggedInContext, SessionContext } from "./context";
import { clocksAgree } from "./lifecycle/clocks";
import { outliveLease, type ExpiryContext } from "./lifecycle/expiry";
import { expectGone, nothingLeft, ownLeaseGone, type OwnLease } from "./lifecycle/gone";
import { expectConnectionLimit, expectMaximum, expectValidUntil, leaseLogin } from "./lifecycle/lease";
import { forEach, type LifecycleContext } from "./lifecycle/logged-in";
import { revokeWhileReconnecting } from "./lifecycle/reconnect";
import { renewTokensAndLeases } from "./lifecycle/renewal";
import { endToken, handOver, revokeInTransaction, revokeWithSession } from "./lifecycle/revocation";
import { LOGIN_METHODS } from "./login/login";
import { memberships } from "./privileges/access";
import { beyondMatrix } from "./privileges/beyond-matrix";
import { schemasToLeaveIn } from "./privileges/declared";
import { groupMembers, groupRoles, schemaOwner } from "./privileges/groups";
import { creatorsDefaults } from "./privileges/creators";
import { leaseFunctions } from "./privileges/lease-functions";
import { leasedLogins } from "./privileges/leased-logins";
import { managerLogin } from "./privileges/manager-login";
import { overloads } from "./privileges/overloads";
import { namedTablesExist } from "./privileges/named-tables";
import { closedToPublic, otherDatabases } from "./privileges/other-databases";
import { probeLeases } from "./privileges/probe-leases";
import { publicAccess } from "./privileges/public";
import { roleChanges } from "./privileges/role-changes";
import { MATRIX_ROWS } from "./privileges/rows";
import { startsAs } from "./privileges/session-start";
import { undeclaredRoles } from "./privileges/undeclared-roles";
import type { CheckDefinition, CheckDescription, CheckGroup, RowDescription } from "./report/check";
import { rowId } from "./report/recorder";
import { dropStaleProbes } from "./session/probes";
import { VAULT_ROWS } from "./vault/paths";
import { policiesAsDeclared } from "./vault/policies";
import {
  mintSecretId,
  rotateStaticRoles,
  staticRolesOf,
  useStaticRoles,
  useUpSecretId,
  type AppRoleContext,
} from "./workloads/approle-tutorial";
import type { WorkloadContext, WorkloadKind } from "./workloads/context";
import {
  leaseAndList,
  refuseOthersPrefix,
  renewToMaximum,
  revokeById,
  revokeByPrefix,
  type LeasesContext,
} from "./workloads/leases";
import { expectLeasedAnew, expectRenewals, serve, stopApplication, type PoolContext } from "./workloads/pool";
import { insertPeople, listPeople, prepareTable, type UsersContext } from "./workloads/users";

// Every check there is, in the order in which they are made. A function of a room makes each.

/** Before anything is made. */
export const BEFORE: readonly CheckDefinition<DatabaseContext>[] = [
  {
    id: "vault-login",
    title: "Vault's own login: attributes, memberships, settings",
    proves:
      "Vault's own login has the attributes, memberships and settings that the stack gives it, owns nothing and is granted nothing else: without CREATEROLE and any membership but in pg_use_reserved_connections where it leases through functions.",
    group: "Vault's own login",
    run: managerLogin,
  },
  {
    id: "lease-functions",
    title: "the lease functions are as declared",
    proves:
      "The functions through which Vault's login leases have the declared bodies, belong to a superuser, as their schema does, and nobody but that login may call them; the schema has no others.",
    group: "Vault's own login",
    applies: ({ database }) => database.leases === "functions",
    run: leaseFunctions,
  },
  {
    id: "schema-owner",
    title: "the schema is the owner's",
    proves: "Each schema belongs to the declared owner.",
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
      "PUBLIC holds nothing on the database, the schema and its objects, now or by default privileges, but what the config lets it keep, and nothing elsewhere but what PostgreSQL gives it from the start.",
    group: "roles and PUBLIC",
    run: publicAccess,
  },
  {
    id: "closed-databases",
    title: "PUBLIC in other databases",
    proves:
      "Where the config closes the server's other databases, PUBLIC may connect to none of them; elsewhere the report says what PUBLIC may do there.",
    group: "roles and PUBLIC",
    // They are the server's.
    applies: ({ databases, database }) => databases[0]!.name === database.name,
    run: closedToPublic,
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
    id: "creators",
    title: "what creators make later is the personas'",
    proves:
      "What a creator of a schema makes there later gives each persona what is declared, by its default privileges.",
    group: "roles and PUBLIC",
    applies: ({ database }) => database.schemas.some(({ creators = [] }) => creators.length > 0),
    run: creatorsDefaults,
  },
  {
    id: "named-tables",
    title: "named tables and columns are there",
    proves: "Each table and column on which a persona has privileges by its name exists.",
    group: "roles and PUBLIC",
    applies: ({ database }) =>
      database.personas.some((persona) =>
        privilegeSetsOf(persona).some(({ namedTables }) => namedTables.length > 0),
      ),
    run: namedTablesExist,
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
      "Every leased login of the database has the mark, attributes, memberships and settings that a lease gives it, and has left no prepared transaction.",
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

/** Of a persona's token, once its paths were tried. */
export const POLICIES: readonly CheckDefinition<LoggedInContext>[] = [
  {
    id: "policies",
    title: "policies as declared",
    proves: "The token has the declared policies and no other, and their text in Vault is the declared one.",
    group: "Vault's paths",
    run: policiesAsDeclared,
  },
];

const hasLease = ({ lease }: LoggedInContext) => lease !== undefined;

/** Of a persona's lease. */
export const LEASE: readonly CheckDefinition<LoggedInContext>[] = [
  {
    id: "lease",
    title: "lease: login, id, duration",
    proves: "The persona's token leases a login for the declared time.",
    group: "lease",
    isStep: true,
    run: leaseLogin,
  },
  {
    id: "valid-until",
    title: "VALID UNTIL the lease's end",
    proves:
      "VALID UNTIL is the lease's end, give or take 10 s, so PostgreSQL refuses the login even if Vault never revokes it.",
    group: "lease",
    applies: hasLease,
    run: expectValidUntil,
  },
  {
    id: "connection-limit",
    title: "connection limit as declared",
    proves: "The login's CONNECTION LIMIT is the declared one.",
    group: "lease",
    applies: hasLease,
    run: expectConnectionLimit,
  },
  {
    id: "lease-max-ttl",
    title: "lease max TTL",
    proves: "No renewal takes the lease beyond the declared maximum.",
    group: "lease",
    // The row of the lease's renewal is made with it.
    isStep: true,
    applies: hasLease,
    run: expectMaximum,
  },
];

/** Of a leased login's roles, before it has a session. */
export const MEMBERSHIPS: readonly CheckDefinition<LeasedContext>[] = [
  {
    id: "memberships",
    title: "memberships as declared",
    proves:
      "The login is a member of its group, which is a member of the owner where the persona acts as it, and of nothing else.",
    group: "session",
    run: memberships,
  },
];

/** Of a leased login's session, as it was opened. */
export const SESSION_START: readonly CheckDefinition<SessionContext>[] = [
  {
    id: "session-start",
    title: "session: user, search path",
    proves:
      "The session starts as the declared role and with the declared settings, and finds names in the declared schemas alone.",
    group: "session",
    run: startsAs,
  },
];

/** Of the same session, once the matrix is filled. */
export const SESSION: readonly CheckDefinition<SessionContext>[] = [
  {
    id: "nothing-else",
    title: "nothing else granted or owned",
    proves:
      "The login and its group hold nothing beyond what is declared, own nothing, and can run no function as somebody else.",
    group: "session",
    run: beyondMatrix,
  },
  {
    id: "role-changes",
    title: "no more after a change of role",
    proves: "However the session changes its role, it can do nothing that is not declared.",
    group: "session",
    run: roleChanges,
  },
  {
    id: "other-databases",
    title: "other declared databases refused",
    proves:
      "The login is refused by the server's other databases that are in the manifest, unless PUBLIC may keep CONNECT there.",
    group: "session",
    run: otherDatabases,
  },
];

/** Of a lease's end by its id. */
export const REVOCATION: readonly CheckDefinition<LeasedContext>[] = [
  {
    id: "revoked-session",
    title: "revoked: open session ended",
    proves: "Revoking the lease ends a session that is open.",
    group: "revocation",
    isStep: true,
    run: revokeWithSession,
  },
  {
    id: "revoked-login",
    title: "revoked: login, role, lease gone",
    proves:
      "Once the lease is revoked, the login is refused, the role is dropped, and Vault does not know the lease.",
    group: "revocation",
    run: (context, check) => expectGone(context, context.lease, check),
  },
  {
    id: "handed-over",
    title: "its objects are handed over",
    proves: "What the login made belongs to its group, or to the owner where it acts as it, once it is gone.",
    group: "revocation",
    isStep: true,
    applies: ({ tablesLeft }) => tablesLeft.length > 0,
    run: handOver,
  },
];

const mayLeave =
  ({ database }: DatabaseContext) =>
  (persona: ManifestPersona) =>
    schemasToLeaveIn(database, persona).length > 0;

/** On the life of leases, over all personas of a database. */
export const LIFECYCLE: readonly CheckDefinition<LifecycleContext>[] = [
  {
    id: "clocks",
    title: "Vault's and PostgreSQL's clocks agree",
    proves:
      "Vault's clock and PostgreSQL's are at most 10 s apart, so that a login ends with its lease by either's.",
    group: "the life of a lease",
    // They are the server's.
    applies: ({ databases, database }) => databases[0]!.name === database.name,
    run: clocksAgree,
  },
  ...Object.values(LOGIN_METHODS).flatMap(({ lifecycle }) => lifecycle),
  {
    id: "renewed",
    title: "renewed: VALID UNTIL follows; cut at the maximum",
    proves:
      "A renewal of a token or a lease gives what is asked for up to the maximum, with a warning beyond it, and VALID UNTIL follows.",
    group: "the life of a lease",
    run: renewTokensAndLeases,
  },
  {
    id: "revoked-while-reconnecting",
    title: "revoked while clients reconnect: nobody stays",
    proves:
      "Clients that log in again and again are all refused once their lease is revoked, and no session is left.",
    group: "the life of a lease",
    run: (context, check) =>
      forEach(context.loggedIn, check, (persona, own) => revokeWhileReconnecting(context, persona, own)),
  },
  {
    id: "revoked-in-transaction",
    title: "revoked in a transaction: rolled back, objects handed over",
    proves:
      "What a session has not committed when its lease is revoked is rolled back; what it owns is handed over.",
    group: "the life of a lease",
    applies: (context) => !context.readOnly && context.loggedIn.some(mayLeave(context)),
    run: (context, check) =>
      forEach(context.loggedIn.filter(mayLeave(context)), check, (persona, own) =>
        revokeInTransaction(context, persona, own),
      ),
  },
  {
    id: "token-end",
    title: "a token's end is its lease's, session's and role's",
    proves: "When a persona's token is revoked, its leases end, and their sessions and logins with them.",
    group: "the life of a lease",
    run: (context, check) =>
      forEach(context.loggedIn, check, (persona, own) => endToken(context, persona, own)),
  },
];

/** On what ends by itself. */
export const EXPIRY: readonly CheckDefinition<ExpiryContext>[] = [
  {
    id: "lease-expired",
    title: "ended by itself: a lease, its session, its login",
    proves: "A lease that nobody revokes ends at its TTL, and its session and its login with it.",
    group: "the life of a lease",
    run: outliveLease,
  },
  ...Object.values(LOGIN_METHODS).flatMap(({ expiry }) => expiry),
];

const USERS: readonly CheckDefinition<UsersContext>[] = [
  {
    id: "users-table",
    title: "users example: the admin creates or empties the table",
    proves: "The persona that acts as the owner makes a table that is the owner's.",
    group: "workload",
    isStep: true,
    run: prepareTable,
  },
  {
    id: "users-insert",
    title: "users example: the writer inserts rows",
    proves: "The writing persona inserts into the table that the admin made.",
    group: "workload",
    isStep: true,
    applies: ({ isPrepared }) => isPrepared === true,
    run: insertPeople,
  },
  {
    id: "users-list",
    title: "users example: the reader lists them",
    proves: "The reading persona sees the rows that the writer inserted.",
    group: "workload",
    applies: ({ isPrepared }) => isPrepared === true,
    run: listPeople,
  },
];

const wasServed = ({ traffic }: PoolContext) => traffic?.dropped.length === 0;

const POOL: readonly CheckDefinition<PoolContext>[] = [
  {
    id: "pool-requests",
    title: "pool example: no request is dropped",
    proves: "An application with a connection pool answers every request while its leases change.",
    group: "workload",
    isStep: true,
    run: serve,
  },
  {
    id: "pool-renewed",
    title: "pool example: token and lease renewed",
    proves: "The application renews its token and its lease.",
    group: "workload",
    applies: wasServed,
    run: expectRenewals,
  },
  {
    id: "pool-leased-anew",
    title: "pool example: leased anew, the login before is gone",
    proves: "The application takes another lease in time, and the login before it is dropped.",
    group: "workload",
    applies: wasServed,
    run: expectLeasedAnew,
  },
  {
    id: "pool-ended",
    title: "pool example: ended, its logins and leases are gone",
    proves: "An application that ends leaves neither logins nor leases.",
    group: "workload",
    run: stopApplication,
  },
];

const LEASES: readonly CheckDefinition<LeasesContext>[] = [
  {
    id: "leases-renewed",
    title: "leases example: renewed, cut at the max TTL",
    proves: "A lease is renewed with its persona's token for as long as its maximum allows.",
    group: "workload",
    run: renewToMaximum,
  },
  {
    id: "leases-revoked",
    title: "leases example: revoked by its id",
    proves: "Revoking one lease ends its login, and no other lease of the role.",
    group: "workload",
    run: revokeById,
  },
  {
    id: "leases-listed",
    title: "leases example: listed by prefix",
    proves: "The verifier lists the leases of its probe role.",
    group: "workload",
    isStep: true,
    run: leaseAndList,
  },
  {
    id: "leases-revoked-by-prefix",
    title: "leases example: revoked by prefix",
    proves: "Revoking by prefix ends the leases of the probe role at once, and their logins.",
    group: "workload",
    run: revokeByPrefix,
  },
  {
    id: "leases-others-refused",
    title: "leases example: others' prefix refused",
    proves: "The verifier may neither list nor revoke an application's leases by prefix.",
    group: "workload",
    run: refuseOthersPrefix,
  },
];

const APPROLE: readonly CheckDefinition<AppRoleContext>[] = [
  {
    id: "approle-secret-id",
    title: "approle example: a secret id has the declared TTL and uses",
    proves: "A secret id that is minted without limits of its own has the AppRole's.",
    group: "workload",
    isStep: true,
    run: mintSecretId,
  },
  {
    id: "approle-uses",
    title: "approle example: it logs in as often as declared, and not once more",
    proves: "A secret id logs in the declared number of times, and is then refused.",
    group: "workload",
    applies: ({ secretId }) => secretId !== undefined,
    run: useUpSecretId,
  },
  {
    id: "approle-static-roles",
    title: "approle example: static roles are read and used",
    proves: "The persona reads the password of its static roles, and logs in with it.",
    group: "workload",
    isStep: true,
    applies: (context) => staticRolesOf(context).length > 0,
    run: useStaticRoles,
  },
  {
    id: "approle-rotated",
    title: "approle example: rotated, an old password is refused and the new one logs in",
    proves: "Rotating a static role ends its old password, and the persona reads the new one.",
    group: "workload",
    applies: ({ staticLogins = [] }) => staticLogins.length > 0,
    run: rotateStaticRoles,
  },
];

/** Of what a database's manifest declares beside the matrix. */
const WORKLOADS: Readonly<Record<WorkloadKind, readonly CheckDefinition<never>[]>> = {
  users: USERS,
  pool: POOL,
  leases: LEASES,
  approle: APPROLE,
};

export function workloadChecks(kind: WorkloadKind): readonly CheckDefinition<WorkloadContext>[] {
  // The workload of each kind's context is of that kind.
  return WORKLOADS[kind] as readonly CheckDefinition<WorkloadContext>[];
}

/** With everything taken away, while the owner's session is still there. */
export const NOTHING_LEFT: CheckDefinition<Parameters<typeof nothingLeft>[0]> = {
  id: "nothing-left",
  title: "nothing left: no probe object, leased role or lease",
  proves: "PostgreSQL has no probe object and no login of this run, and Vault no lease.",
  group: "nothing left",
  run: nothingLeft,
};

/** At the very end. */
export const OWN_LEASE_GONE: CheckDefinition<OwnLease> = {
  id: "own-lease-gone",
  title: "nothing left: the verifier's own lease",
  proves: "The login that the verifier leased for itself is refused, and Vault does not list its lease.",
  group: "nothing left",
  run: ownLeaseGone,
};

/** Every check of a persona and every row of its matrix, in the order in which they are made. */
export const OF_PERSONAS: readonly CheckDescription[] = [
  ...Object.values(LOGIN_METHODS).flatMap(({ persona }) => persona),
  ...VAULT_ROWS.map((row) => describeRow(row, "Vault's paths")),
  ...[...POLICIES, ...LEASE, ...MEMBERSHIPS, ...SESSION_START],
  ...MATRIX_ROWS.map((row) => describeRow(row, "privileges")),
  ...[...SESSION, ...REVOCATION],
];

/** Every check and every row of the matrix, in the order in which they are made. */
export function describeChecks(): CheckDescription[] {
  const all: readonly CheckDescription[] = [
    ...[...BEFORE, ...ROLES, ...Object.values(WORKLOADS).flat()],
    ...OF_PERSONAS,
    ...[...LIFECYCLE, ...EXPIRY, NOTHING_LEFT, OWN_LEASE_GONE],
  ];
  return all.map(({ id, title, proves, group }) => ({ id, title, proves, group }));
}

function describeRow({ kind, name, proves }: RowDescription, group: CheckGroup): CheckDescription {
  return { id: rowId({ kind, name }), title: `${kind}.${name}`, proves, group };
}
