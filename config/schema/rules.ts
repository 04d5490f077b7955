import {
  isName,
  POSTGRES_IDENTIFIER,
  POSTGRES_ROLE,
  VAULT_LOWER_NAME,
  VAULT_NAME,
} from "../../constructs/names";
import { roleOf as spelledRole, schemasOf } from "./database";
import { mounted, serverOf, type DatabaseConfig, type Environment } from "./environment";
import { mountOf, spelledAt, type Breach, type Rule } from "./fields";
import { pathText, valueAt } from "./messages";
import { declaresMaintain } from "./persona";
import {
  isTrustPolicy,
  LEASE_SCHEMA,
  maintainRoleOf,
  managerPasswordVariable,
  probeDatabaseRoles,
  probeRoleNames,
  trustPolicyNames,
} from "../../manifest/names";

const forEachDatabase = (
  rule: (database: DatabaseConfig, environment: Environment) => Iterable<Breach>,
): Rule<Environment> =>
  function* (environment) {
    for (const [d, database] of environment.databases.entries())
      for (const { path, allowed } of rule(database, environment))
        yield { path: ["databases", d, ...path], allowed };
  };

const inVault = ({ databases }: Environment) => ({ databases: databases.map(mounted) });

function* containersForAllOrNone({ servers, vault }: Environment): Iterable<Breach> {
  for (const [i, { container }] of servers.entries())
    if (!container !== !vault.container)
      yield {
        path: ["servers", i, "container"],
        allowed: "a container for each server and for Vault, or for none of them",
      };
}

function* nameLeavesRoomForPolicies(environment: Environment): Iterable<Breach> {
  const { deliverer: longest } = trustPolicyNames(environment);
  if (isName(VAULT_LOWER_NAME, environment.name) && !isName(VAULT_NAME, longest))
    yield {
      path: ["name"],
      allowed: `a name that leaves room for the policy ${longest}, at most ${String(VAULT_NAME.maxBytes)} bytes`,
    };
}

function* operatorPolicyIsItsOwn(environment: Environment): Iterable<Breach> {
  const { operator, ...others } = trustPolicyNames(environment);
  const names: string[] = Object.values(others);
  if (names.includes(operator))
    yield {
      path: ["vault", "operatorPolicy"],
      allowed: `a policy other than the stack's own, ${names.join(", ")}`,
    };
}

function* prefixTakesInNoTrustPolicy(environment: Environment): Iterable<Breach> {
  const { namePrefix } = environment.vault;
  if (namePrefix === undefined) return;
  for (const [who, policy] of Object.entries(trustPolicyNames(environment)))
    if (policy.startsWith(namePrefix)) {
      yield {
        path: ["vault", "namePrefix"],
        allowed: `a prefix that the ${who}'s policy, ${policy}, does not start with, since the operator may write what does`,
      };
      return;
    }
}

function* functionsHaveASuperuser({ leases, servers }: Environment): Iterable<Breach> {
  if (leases !== "functions") return;
  for (const [i, { bootstrap }] of servers.entries())
    if (bootstrap !== "superuser")
      yield {
        path: ["servers", i, "bootstrap"],
        allowed: `"superuser", which owns the functions of leases: "functions"; without one the environment has leases: "createrole"`,
      };
}

function* schemaIsNotTheFunctions(database: DatabaseConfig, { leases }: Environment): Iterable<Breach> {
  const schema = schemasOf(database).find(({ name }) => name === LEASE_SCHEMA);
  if (leases === "functions" && schema)
    yield {
      path: schema.at.name,
      allowed: `a schema other than ${LEASE_SCHEMA}, which holds the functions of leases: "functions"`,
    };
}

function* sslModeIsOfTls(database: DatabaseConfig, environment: Environment): Iterable<Breach> {
  const { name, tls } = serverOf(environment, database);
  if (database.vault.sslMode !== undefined && !tls)
    yield { path: ["vault", "sslMode"], allowed: `no sslMode, since the server ${name} has no tls` };
}

function* nobodyActsAsASuperuser(database: DatabaseConfig, environment: Environment): Iterable<Breach> {
  const { superuser } = serverOf(environment, database);
  if (!schemasOf(database).some(({ owner }) => owner === superuser)) return;
  for (const [p, { actsAsOwner }] of database.personas.entries())
    if (actsAsOwner)
      yield {
        path: ["personas", p, "actsAsOwner"],
        allowed: `false, since an owner of the schemas is ${superuser}, the superuser`,
      };
}

/** They are named in default privileges before any role of the config's is made, but for owners. */
function* creatorsExist(database: DatabaseConfig, environment: Environment): Iterable<Breach> {
  const server = serverOf(environment, database);
  const made = environment.databases
    .filter((other) => serverOf(environment, other) === server)
    .flatMap((other) => [
      other.manager.name,
      ...other.personas.flatMap((persona) => [
        persona.groupRole,
        ...(declaresMaintain(persona.privileges) ? [maintainRoleOf(persona)] : []),
      ]),
      ...other.staticRoles.flatMap(({ login }) => (spelledRole(login).exists ? [] : spelledRole(login).name)),
      ...(environment.verification ? Object.values(probeRoleNames(other)) : []),
      ...(other === database ? [] : schemasOf(other).map(({ owner }) => owner)),
    ]);
  for (const { creators, at } of schemasOf(database))
    for (const [i, creator] of creators.entries())
      if (made.includes(creator))
        yield {
          path: [...at.creators, i],
          allowed: "a role that exists already, or an owner of this database",
        };
}

/** What the stack grants, and what makes a token one of the trust model's or another persona's, is not to be had beside. */
function* grantsBesideAreOthers({ personas }: DatabaseConfig, environment: Environment): Iterable<Breach> {
  const mounts = environment.databases.map((each) => mounted(each).vault.mount);
  const { namePrefix } = environment.vault;
  const ours: string[] = [
    ...Object.values(trustPolicyNames(environment)),
    ...environment.databases.flatMap((each) => each.personas.map(policyOf)),
  ];
  for (const [p, { vault }] of personas.entries()) {
    for (const [i, { path }] of vault.paths.entries()) {
      const [beginning = ""] = path.split(/[*+]/);
      if (beginning === "") continue;
      const mount = mounts.find(
        (each) => beginning.startsWith(`${each}/`) || `${each}/`.startsWith(beginning),
      );
      if (mount !== undefined)
        yield {
          path: ["personas", p, "vault", "paths", i, "path"],
          allowed: `a path outside of ${mount}/, where a persona has its own credentials alone`,
        };
    }
    for (const [i, policy] of vault.policies.entries())
      if (
        ours.includes(policy) ||
        (namePrefix === undefined ? isTrustPolicy(policy) : policy.startsWith(namePrefix))
      )
        yield {
          path: ["personas", p, "vault", "policies", i],
          allowed: "a policy that is neither of the trust model nor a persona's (vault.namePrefix)",
        };
  }
}

function* isOnAServer({ server }: DatabaseConfig, { servers }: Environment): Iterable<Breach> {
  const names = servers.map(({ name }) => name);
  if (server !== undefined && !names.includes(server))
    yield { path: ["server"], allowed: `one of ${names.join(", ")}` };
}

function* makesNoDatabasePostgres(database: DatabaseConfig, environment: Environment): Iterable<Breach> {
  if (database.name === "postgres" && serverOf(environment, database).database !== "postgres")
    yield {
      path: ["name"],
      allowed:
        "a database other than postgres, which each server has from the start, unless it is its server's database",
    };
}

function* schemaIsNoLogins(database: DatabaseConfig, environment: Environment): Iterable<Breach> {
  const server = serverOf(environment, database);
  const managers = environment.databases
    .filter((other) => serverOf(environment, other) === server)
    .map(({ manager }) => manager.name);
  for (const { name, at } of schemasOf(database))
    if ([server.superuser, ...managers].includes(name))
      yield {
        path: at.name,
        allowed:
          'a schema without the name of the superuser or of Vault\'s login, whose sessions would look there first ("$user")',
      };
}

/** Where its path is spelled, below the database. */
function mountAt({ vault: { mount } }: DatabaseConfig): readonly string[] {
  return ["vault", ...spelledAt("mount", mount, "path")];
}

function* mountIsNoAuthMount(database: DatabaseConfig, { vault }: Environment): Iterable<Breach> {
  if (mounted(database).vault.mount === mountOf(vault.authMount).path)
    yield { path: mountAt(database), allowed: "a path other than vault.authMount" };
}

function* mountIsBelowNoOther(database: DatabaseConfig, { databases }: Environment): Iterable<Breach> {
  const { mount } = mounted(database).vault;
  const above = databases
    .map((other) => mounted(other).vault)
    .find((other) => mount.startsWith(`${other.mount}/`));
  if (above)
    yield {
      path: mountAt(database),
      allowed: `a path that is not below another mount, ${above.mount}`,
    };
}

function* mountExistsOrNot(database: DatabaseConfig, { databases }: Environment): Iterable<Breach> {
  const { mount, mountExists } = mounted(database).vault;
  const first = databases.map(mounted).find((other) => other.vault.mount === mount)!;
  if (first.vault.mountExists !== mountExists)
    yield { path: mountAt(database), allowed: `a mount that is spelled as for ${first.name}` };
}

function* nameLeavesRoomForProbes(database: DatabaseConfig, environment: Environment): Iterable<Breach> {
  if (!environment.verification) return;
  const { owner: group } = probeRoleNames(database);
  if (isName(POSTGRES_IDENTIFIER, database.name) && !isName(POSTGRES_ROLE, group))
    yield {
      path: ["name"],
      allowed: `a name that leaves room for the probe role ${group}, at most ${String(POSTGRES_ROLE.maxBytes)} bytes`,
    };
  const here = mounted(database);
  const { owner: role } = probeDatabaseRoles(inVault(environment), here);
  if (isName(VAULT_NAME, role) || !isName(VAULT_NAME, here.vault.connection)) return;
  yield here.vault.mountExists
    ? {
        path: ["vault", "connection"],
        allowed: `a name that leaves room for Vault's role ${role}, at most ${String(VAULT_NAME.maxBytes)} bytes`,
      }
    : {
        path: ["name"],
        allowed: `a name that does not end with -, since Vault's role ${role} ends with it`,
      };
}

type PersonaConfig = DatabaseConfig["personas"][number];

function policyOf({ appRole, policy = appRole }: PersonaConfig): string {
  return policy;
}

function* namesHaveThePrefix({ personas }: DatabaseConfig, { vault }: Environment): Iterable<Breach> {
  const { namePrefix } = vault;
  if (namePrefix === undefined) return;
  for (const [p, persona] of personas.entries())
    for (const field of ["appRole", "policy"] as const)
      if (persona[field]?.startsWith(namePrefix) === false)
        yield {
          path: ["personas", p, field],
          allowed: `a name that starts with vault.namePrefix, ${namePrefix}`,
        };
}

/** Nor another environment's: its operator could not write it, but ours could delete it. With a prefix none starts with that. */
function* policiesAreNoTrustPolicies(
  { personas }: DatabaseConfig,
  environment: Environment,
): Iterable<Breach> {
  if (environment.vault.namePrefix !== undefined) return;
  const names: string[] = Object.values(trustPolicyNames(environment));
  for (const [p, persona] of personas.entries())
    if (names.includes(policyOf(persona)) || isTrustPolicy(policyOf(persona)))
      yield {
        path: ["personas", p, persona.policy === undefined ? "appRole" : "policy"],
        allowed:
          "a policy that is not of the trust model (leasehold-<environment>-<who>, vault.operatorPolicy)",
      };
}

/** What a field takes for itself: the first that is taken already is told. */
interface Claim {
  readonly path: readonly PropertyKey[];
  /** Of what there is one of each value, and the value. */
  readonly taken: readonly (readonly [what: string, value: unknown])[];
}

/** Each name, or what is derived from one, that nothing else of its kind may have. */
function* claims(environment: Environment): Iterable<Claim> {
  const { servers, vault, databases } = environment;
  const roleOf = (server: string | undefined) => `a PostgreSQL role of server ${server ?? servers[0]!.name}`;
  if (vault.container)
    yield { path: ["vault", "container", "hostPort"], taken: [["a port", vault.container.hostPort]] };
  for (const [i, { name, superuser, container }] of servers.entries()) {
    const at = ["servers", i];
    yield { path: [...at, "name"], taken: [["a server", name]] };
    yield { path: [...at, "superuser"], taken: [[roleOf(name), superuser]] };
    if (container) yield { path: [...at, "container", "hostPort"], taken: [["a port", container.hostPort]] };
  }
  for (const [i, { id }] of environment.accepted.entries())
    yield { path: ["accepted", i, "id"], taken: [["a finding", id]] };

  /** Owners of no environment's making, who may own something in several databases. */
  const existing = new Set<string>();
  for (const [d, database] of databases.entries()) {
    const at = ["databases", d];
    const role = roleOf(database.server);
    const { mount, connection } = mounted(database).vault;
    const databaseRole = `a database role of mount ${mount}`;
    yield { path: [...at, "name"], taken: [["a database", database.name]] };
    const owners = new Set<string>();
    for (const { name, owner, ownerExists, at: parts } of schemasOf(database)) {
      yield { path: [...at, ...parts.name], taken: [[`a schema of ${database.name}`, name]] };
      // One role may own several schemas of its database, and the superuser is there in any case.
      const isOthersToo =
        ownerExists &&
        (existing.has(`${role} ${owner}`) || owner === serverOf(environment, database).superuser);
      if (ownerExists) existing.add(`${role} ${owner}`);
      if (!owners.has(owner) && !isOthersToo) yield { path: [...at, ...parts.owner], taken: [[role, owner]] };
      owners.add(owner);
    }
    yield {
      path: [...at, "manager", "name"],
      taken: [
        [role, database.manager.name],
        ["a password variable", managerPasswordVariable(environment, database)],
      ],
    };
    yield { path: [...at, "vault", "connection"], taken: [[`a connection of mount ${mount}`, connection]] };
    if (environment.verification) {
      const groups = Object.values(probeRoleNames(database)).map((name) => [role, name] as const);
      const probes = Object.values(probeDatabaseRoles(inVault(environment), mounted(database)));
      yield {
        path: [...at, "name"],
        taken: [...groups, ...probes.map((name) => [databaseRole, name] as const)],
      };
    }
    for (const [p, { name, groupRole, appRole, policy, privileges }] of database.personas.entries()) {
      const here = [...at, "personas", p];
      yield { path: [...here, "name"], taken: [[`a persona of ${database.name}`, name]] };
      yield {
        path: [...here, "groupRole"],
        taken: [
          [role, groupRole],
          [databaseRole, groupRole],
          ...(declaresMaintain(privileges) ? [[role, maintainRoleOf({ groupRole })] as const] : []),
        ],
      };
      const own = ["a policy", policy ?? appRole] as const;
      yield {
        path: [...here, "appRole"],
        taken: [["an AppRole", appRole], ...(policy === undefined ? [own] : [])],
      };
      if (policy !== undefined) yield { path: [...here, "policy"], taken: [own] };
    }
    for (const [i, { name, login }] of database.staticRoles.entries()) {
      yield { path: [...at, "staticRoles", i, "name"], taken: [[databaseRole, name]] };
      const part = spelledAt("login", login, "name");
      yield { path: [...at, "staticRoles", i, ...part], taken: [[role, spelledRole(login).name]] };
    }
  }
}

function* eachNameOnce(environment: Environment): Iterable<Breach> {
  const first = new Map<string, { at: string; isDerived: boolean }>();
  for (const { path, taken } of claims(environment)) {
    for (const [what, value] of taken) {
      const key = `${what}\0${String(value)}`;
      const isDerived = valueAt(environment, path) !== value;
      const other = first.get(key);
      if (other === undefined) {
        first.set(key, { at: pathText(path, environment), isDerived });
        continue;
      }
      const allowed = isDerived
        ? `a name that does not lead to ${what.replace(/^an?/, "the")} ${String(value)}, which is already used at ${other.at}`
        : `${what} that is not already used at ${other.at}${other.isDerived ? ", which leads to it" : ""}`;
      yield { path, allowed };
      break;
    }
  }
}

/** What has to hold between the parts of an environment. */
export const RULES: readonly Rule<Environment>[] = [
  containersForAllOrNone,
  nameLeavesRoomForPolicies,
  operatorPolicyIsItsOwn,
  prefixTakesInNoTrustPolicy,
  functionsHaveASuperuser,
  ...[
    isOnAServer,
    makesNoDatabasePostgres,
    schemaIsNoLogins,
    schemaIsNotTheFunctions,
    nobodyActsAsASuperuser,
    creatorsExist,
    sslModeIsOfTls,
    mountIsNoAuthMount,
    mountIsBelowNoOther,
    mountExistsOrNot,
    nameLeavesRoomForProbes,
    namesHaveThePrefix,
    policiesAreNoTrustPolicies,
    grantsBesideAreOthers,
  ].map(forEachDatabase),
  eachNameOnce,
];
