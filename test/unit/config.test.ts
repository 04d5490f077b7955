import local from "../../config/local";
import { environmentNames, loadEnvironment } from "../../config/load";
import { ConfigError, parseEnvironment } from "../../config/schema/schema";
import { privilegesIn } from "../../constructs/postgres/privileges";
import { SETTING, SETTING_VALUE } from "../../constructs/sql";
import {
  POSTGRES_IDENTIFIER,
  POSTGRES_ROLE,
  SERVER_NAME,
  VAULT_AUTH_PATH,
  VAULT_LOWER_NAME,
  VAULT_MOUNT_PATH,
  VAULT_NAME,
  VAULT_NAME_PREFIX,
  VAULT_POLICY_NAME,
} from "../../constructs/names";

/** A config file's content as a test changes it: deep, mutable, and not the real one. */
interface Draft {
  [field: string]: unknown;
  servers: DraftServer[];
  vault: { [field: string]: unknown; container: Record<string, unknown> };
  databases: DraftDatabase[];
}
interface DraftServer {
  [field: string]: unknown;
  container: Record<string, unknown>;
}
interface DraftDatabase {
  [field: string]: unknown;
  manager: Record<string, unknown>;
  vault: Record<string, unknown>;
  workload?: Record<string, unknown>;
  personas: DraftPersona[];
}
interface DraftPersona {
  [field: string]: unknown;
  privileges: Record<string, unknown>;
  lease: Record<string, unknown>;
  token: Record<string, unknown>;
  secretId: Record<string, unknown>;
}

/** Unlike structuredClone it shares nothing inside, as config files do. */
function copy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

function errors(change: (draft: Draft) => void): readonly string[] {
  const draft = copy(local) as unknown as Draft;
  change(draft);
  try {
    parseEnvironment("config/test.ts", draft);
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  return [];
}

const IDENTIFIER = POSTGRES_IDENTIFIER.allowed;
const ROLE = POSTGRES_ROLE.allowed;
const VAULT = VAULT_NAME.allowed;
const LOWER_NAME = VAULT_LOWER_NAME.allowed;
const POLICY_NAME = VAULT_POLICY_NAME.allowed;
const MOUNT_PATH = VAULT_MOUNT_PATH.allowed;
const NO_BACKEND_SECRET =
  "no secret, which is never written in a config file; Terraform takes a backend's from the environment, such as PG_CONN_STR";
const NO_LOGIN =
  'a schema without the name of the superuser or of Vault\'s login, whose sessions would look there first ("$user")';
const NO_FUNCTIONS =
  '"superuser", which owns the functions of leases: "functions"; without one the environment has leases: "createrole"';
const DURATION = 'a duration such as "30s", "20m", "24h" or "7d", at most 768h';
const RO = "databases[0] (nanvc).personas[2] (readonly)";

const database = (draft: Draft) => draft.databases[0]!;
const admin = (draft: Draft) => draft.databases[0]!.personas[0]!;
const readonly = (draft: Draft) => draft.databases[0]!.personas[2]!;

test("the environment local is allowed", () => {
  expect(errors(() => undefined)).toEqual([]);
});

test("without a superuser, and with a schema called leasehold, one leases by CREATEROLE", () => {
  expect(
    errors((draft) => {
      draft["leases"] = "createrole";
      draft.servers[0]!["bootstrap"] = "createrole";
      database(draft)["schema"] = "leasehold";
    }),
  ).toEqual([]);
});

test("mounts may exist already", () => {
  expect(
    errors((draft) => {
      database(draft).vault["mount"] = { path: "database", exists: true };
      draft.vault["authMount"] = { path: "approle", exists: true };
    }),
  ).toEqual([]);
});

test("without a prefix AppRoles and policies have any names, and a policy another one than its AppRole", () => {
  expect(
    errors((draft) => {
      delete draft.vault["namePrefix"];
      Object.assign(readonly(draft), { appRole: "myapp", policy: "app-policy" });
      Object.assign(admin(draft), { appRole: "admin", policy: "app" });
    }),
  ).toEqual([]);
});

test("what says nothing of leases leases through functions, and has a superuser", () => {
  const { leases: _, ...draft } = copy(local);
  const { leases, servers } = parseEnvironment("config/test.ts", draft);
  expect([leases, servers.map(({ bootstrap }) => bootstrap)]).toEqual(["functions", ["superuser"]]);
});

const SERVER = SERVER_NAME.allowed;
const STATIC = { name: "report", login: "report_login", persona: "readonly", rotationPeriod: "24h" };

describe.each<[string, (draft: Draft) => void, string]>([
  [
    "a prefix that takes in the trust model's policies",
    (d) => {
      d.vault["namePrefix"] = "leasehold-test-";
      d.databases[0]!.personas.forEach(
        (persona) => (persona["appRole"] = `leasehold-test-${String(persona["name"])}`),
      );
      d["name"] = "test";
      d.vault["operatorPolicy"] = "terraform";
      d["verification"] = true;
    },
    "vault.namePrefix: received 'leasehold-test-', allowed: a prefix that the planner's policy, leasehold-test-planner, does not start with, since the operator may write what does",
  ],
  [
    "a persona in capitals, whose AppRole Vault would store in lowercase letters",
    (d) => (readonly(d)["appRole"] = "db-Report"),
    `${RO}.appRole: received 'db-Report', allowed: ${POLICY_NAME}`,
  ],
  [
    "a group role that is no name of Vault's",
    (d) => (readonly(d)["groupRole"] = "_readonly"),
    `${RO}.groupRole: received '_readonly', allowed: ${VAULT}, since it also names a role in Vault`,
  ],
  [
    "a group role that is called like a probe role of Vault's",
    (d) => (readonly(d)["groupRole"] = "verify-owner"),
    `${RO}.groupRole: received 'verify-owner', allowed: a database role of mount database that is not already used at databases[0].name, which leads to it`,
  ],
  [
    "a lease that is longer than Vault's own limit",
    (d) => (readonly(d).lease["maxTtl"] = "60d"),
    `${RO}.lease.maxTtl: received '60d', allowed: ${DURATION}`,
  ],
  [
    "a secret id that serves more than a million times",
    (d) => (readonly(d).secretId["uses"] = 1_000_001),
    `${RO}.secretId.uses: received 1000001, allowed: a whole number from 1 to 1000000`,
  ],
  [
    "a password version beyond its bound",
    (d) => (database(d).manager["passwordVersion"] = 1_000_001),
    "databases[0] (nanvc).manager.passwordVersion: received 1000001, allowed: a whole number from 1 to 1000000",
  ],
  [
    "a Vault name of 129 bytes",
    (d) => (database(d).vault["connection"] = "c".repeat(129)),
    `databases[0] (nanvc).vault.connection: received '${"c".repeat(76)}..., allowed: ${VAULT}`,
  ],
  [
    "a verification that is a word",
    (d) => (d["verification"] = "yes"),
    "verification: received 'yes', allowed: true or false",
  ],
  [
    "an accepted finding without a reason",
    (d) => (d["accepted"] = [{ id: "definer:example.f():readonly_role", reason: " " }]),
    "accepted[0].reason: received ' ', allowed: a reason, in words",
  ],
  [
    "an accepted finding without an id",
    (d) => (d["accepted"] = [{ id: "", reason: "reports need it" }]),
    "accepted[0].id: received '', allowed: the id of a finding, as verify prints it",
  ],
  [
    "a finding accepted twice",
    (d) => (d["accepted"] = [1, 2].map(() => ({ id: "definer:example.f():readonly_role", reason: "meant" }))),
    "accepted[1].id: received 'definer:example.f():readonly_role', allowed: a finding that is not already used at accepted[0].id",
  ],
  [
    "acting as the owner, as a word",
    (d) => (readonly(d)["actsAsOwner"] = "no"),
    `${RO}.actsAsOwner: received 'no', allowed: true or false`,
  ],
  [
    "personas that are no list",
    (d) => (database(d)["personas"] = {} as never),
    "databases[0] (nanvc).personas: received {}, allowed: a list of personas",
  ],
  [
    "databases that are no list",
    (d) => (d["databases"] = {} as never),
    "databases: received {}, allowed: a list of databases",
  ],
  [
    "leases by who knows what",
    (d) => (d["leases"] = "superuser"),
    "leases: received 'superuser', allowed: one of functions, createrole",
  ],
  [
    "functions without a superuser who would own them",
    (d) => {
      d["leases"] = "functions";
      d.servers[0]!["bootstrap"] = "createrole";
    },
    `servers[0] (postgres).bootstrap: received 'createrole', allowed: ${NO_FUNCTIONS}`,
  ],
  [
    "no superuser, and nothing said of leases",
    (d) => {
      delete d["leases"];
      d.servers[0]!["bootstrap"] = "createrole";
    },
    `servers[0] (postgres).bootstrap: received 'createrole', allowed: ${NO_FUNCTIONS}`,
  ],
  [
    "closed databases without a superuser who would close them",
    (d) => {
      d["leases"] = "createrole";
      d.servers[0]!["bootstrap"] = "createrole";
      d.servers[0]!["otherDatabases"] = "close";
    },
    'servers[0] (postgres).otherDatabases: received \'close\', allowed: "keep" where bootstrap is "createrole", since databases of others can\'t be closed without a superuser',
  ],
  [
    "a schema with the name of the functions'",
    (d) => {
      d["leases"] = "functions";
      database(d)["schema"] = "leasehold";
    },
    "databases[0] (nanvc).schema: received 'leasehold', allowed: a schema other than leasehold, which holds the functions of leases: \"functions\"",
  ],
  ["no server", (d) => (d.servers = []), "servers: received [], allowed: at least one server"],
  [
    "a server's name that no variable can start with",
    (d) => (d.servers[0]!["name"] = "main-1"),
    `servers[0].name: received 'main-1', allowed: ${SERVER}`,
  ],
  [
    "a server that is called vault",
    (d) => (d.servers[0]!["name"] = "vault"),
    `servers[0].name: received 'vault', allowed: ${SERVER}`,
  ],
  [
    "a server twice",
    (d) =>
      d.servers.push({
        ...d.servers[0]!,
        superuser: "other",
        container: { image: "postgres:18.4", hostPort: 1 },
      }),
    "servers[1].name: received 'postgres', allowed: a server that is not already used at servers[0].name",
  ],
  [
    "a container for a server and none for Vault",
    (d) => delete (d.vault as Partial<Draft["vault"]>).container,
    "servers[0] (postgres).container: received { image: 'postgres:18.4', hostPort: 35432 }, allowed: a container for each server and for Vault, or for none of them",
  ],
  [
    "a container with TLS",
    (d) => (d.servers[0]!["tls"] = true),
    "servers[0] (postgres).tls: received true, allowed: false, since containers are reached on this machine alone",
  ],
  [
    "a Vault container with TLS",
    (d) => (d.vault["tls"] = true),
    "vault.tls: received true, allowed: false, since containers are reached on this machine alone",
  ],
  [
    "a mode that Vault does not have",
    (d) => (d.vault.container["mode"] = "prod"),
    "vault.container.mode: received 'prod', allowed: one of server, dev",
  ],
  [
    "a storage that is not known",
    (d) => (d.vault.container["storage"] = "raft"),
    "vault.container.storage: received 'raft', allowed: one of memory, file",
  ],
  [
    "a dev mode that stores",
    (d) => Object.assign(d.vault.container, { mode: "dev", storage: "file" }),
    "vault.container.storage: received 'file', allowed: memory in dev mode",
  ],
  [
    "a dev mode that locks its memory",
    (d) => Object.assign(d.vault.container, { mode: "dev", lockMemory: true }),
    "vault.container.lockMemory: received true, allowed: false in dev mode, which never locks memory",
  ],
  [
    "more unseal keys wanted than there are",
    (d) => (d.vault["unsealKeys"] = { shares: 3, threshold: 4 }),
    "vault.unsealKeys.threshold: received 4, allowed: from 2 to the number of shares, 3",
  ],
  [
    "one of several unseal keys, which Vault refuses",
    (d) => (d.vault["unsealKeys"] = { shares: 3, threshold: 1 }),
    "vault.unsealKeys.threshold: received 1, allowed: from 2 to the number of shares, 3",
  ],
  [
    "two of one unseal key",
    (d) => (d.vault["unsealKeys"] = { shares: 1, threshold: 2 }),
    "vault.unsealKeys.threshold: received 2, allowed: 1, as there is one share",
  ],
  [
    "more than 255 unseal keys",
    (d) => (d.vault["unsealKeys"] = { shares: 256, threshold: 2 }),
    "vault.unsealKeys.shares: received 256, allowed: a whole number from 1 to 255",
  ],
  [
    "an operator's policy that the operator may write",
    (d) => (d.vault["operatorPolicy"] = "db-admin"),
    "vault.namePrefix: received 'db-', allowed: a prefix that the operator's policy, db-admin, does not start with, since the operator may write what does",
  ],
  [
    "a backend whose states would be one",
    (d) => (d["backend"] = { type: "s3", arguments: { bucket: "b", key: "state" } }),
    "backend.arguments: received { bucket: 'b', key: 'state' }, allowed: an argument that contains {stack}, such as a key or schema_name, since each stack has a state of its own",
  ],
  [
    "a backend that is no name",
    (d) => (d["backend"] = { type: "S3!", arguments: { key: "{stack}" } }),
    "backend.type: received 'S3!', allowed: a Terraform backend, such as pg or s3",
  ],
  [
    "a database on a server that is not there",
    (d) => (database(d)["server"] = "elsewhere"),
    "databases[0] (nanvc).server: received 'elsewhere', allowed: one of postgres",
  ],
  [
    "a name that leaves no room for the probe roles",
    (d) => (database(d)["name"] = "n".repeat(51)),
    `databases[0].name: received '${"n".repeat(51)}', allowed: a name that leaves room for the probe role ${"n".repeat(51)}_verify_owner, at most 63 bytes`,
  ],
  [
    "an address range that is none",
    (d) => (readonly(d).secretId["boundCidrs"] = ["10.0.0.0"]),
    `${RO}.secretId.boundCidrs[0]: received '10.0.0.0', allowed: an address range such as "10.0.0.0/8"`,
  ],
  [
    "an address range that Vault writes otherwise",
    (d) => (readonly(d).token["boundCidrs"] = ["fd00::/8", "FD00:0::/8"]),
    `${RO}.token.boundCidrs[1]: received 'FD00:0::/8', allowed: an IPv6 range in its shortest form, in lowercase letters, such as "fd00::/8"`,
  ],
  [
    "an empty list of address ranges, which would bind to nothing",
    (d) => (readonly(d).token["boundCidrs"] = []),
    `${RO}.token.boundCidrs: received [], allowed: at least one range`,
  ],
  [
    "a static role of a persona that is not there",
    (d) => (database(d)["staticRoles"] = [{ ...STATIC, persona: "writer" }]),
    "databases[0] (nanvc).staticRoles[0] (report).persona: received 'writer', allowed: the name of a persona of this database",
  ],
  [
    "a static role whose login is a group role",
    (d) => (database(d)["staticRoles"] = [{ ...STATIC, login: "readonly_role" }]),
    `databases[0] (nanvc).staticRoles[0] (report).login: received 'readonly_role', allowed: a PostgreSQL role of server postgres that is not already used at ${RO}.groupRole`,
  ],
  [
    "a static role twice",
    (d) => (database(d)["staticRoles"] = [STATIC, { ...STATIC, login: "another" }]),
    "databases[0] (nanvc).staticRoles[1].name: received 'report', allowed: a database role of mount database that is not already used at databases[0] (nanvc).staticRoles[0].name",
  ],
  [
    "a rotation period that Vault refuses",
    (d) => (database(d)["staticRoles"] = [{ ...STATIC, rotationPeriod: "4s" }]),
    "databases[0] (nanvc).staticRoles[0] (report).rotationPeriod: received '4s', allowed: at least 5s, the shortest that Vault allows",
  ],
  [
    "a rotation period of eleven years",
    (d) => (database(d)["staticRoles"] = [{ ...STATIC, rotationPeriod: "4015d" }]),
    `databases[0] (nanvc).staticRoles[0] (report).rotationPeriod: received '4015d', allowed: a duration such as "30s", "20m", "24h" or "7d", at most 3650d`,
  ],
  [
    "a persona that acts as the superuser",
    (d) => (database(d)["owner"] = { name: "nanvc", exists: true }),
    "databases[0] (nanvc).personas[0] (schema-admin).actsAsOwner: received true, allowed: false, since an owner of the schemas is nanvc, the superuser",
  ],
  [
    "a users table that no identifier names",
    (d) => (database(d).workload!["table"] = "pg_users"),
    `databases[0] (nanvc).workload.table: received 'pg_users', allowed: ${POSTGRES_IDENTIFIER.allowed}`,
  ],
  [
    "a workload of no kind",
    (d) => (database(d).workload = { kind: "chess" }),
    `databases[0] (nanvc).workload.kind: received 'chess', allowed: one of the kinds "users", "pool", "leases", "approle", with its personas`,
  ],
  ["a name with a slash", (d) => (d["name"] = "a/b"), `name: received 'a/b', allowed: ${LOWER_NAME}`],
  [
    "a missing field",
    (d) => delete d.servers[0]!["superuser"],
    `servers[0] (postgres).superuser: received nothing, allowed: ${ROLE}`,
  ],
  [
    "a field that does not exist",
    (d) => (database(d)["colour"] = "red"),
    "databases[0] (nanvc).colour: no such field",
  ],
  [
    "a missing object",
    (d) => delete (d as Partial<Draft>).vault,
    "vault: received nothing, allowed: the Vault server, an object with authMount",
  ],
  [
    "a missing object of a persona",
    (d) => delete (readonly(d) as Partial<DraftPersona>).lease,
    `${RO}.lease: received nothing, allowed: a lease's TTLs, an object with defaultTtl, maxTtl`,
  ],
  [
    "a workload without one of its personas",
    (d) => delete database(d).workload!["writer"],
    "databases[0] (nanvc).workload.writer: received nothing, allowed: the name of a persona of this database",
  ],
  [
    "a database's server by its index",
    (d) => (database(d)["server"] = 0),
    "databases[0] (nanvc).server: received 0, allowed: the name of one of the servers",
  ],
  [
    "a list where an object belongs",
    (d) => (d["vault"] = [] as never),
    "vault: received [], allowed: the Vault server, an object with authMount",
  ],
  [
    "an identifier that starts with a digit",
    (d) => (database(d)["schema"] = "1st"),
    `databases[0] (nanvc).schema: received '1st', allowed: ${IDENTIFIER}`,
  ],
  [
    "an identifier of 64 bytes",
    (d) => (database(d)["schema"] = "s".repeat(64)),
    `databases[0] (nanvc).schema: received '${"s".repeat(64)}', allowed: ${IDENTIFIER}`,
  ],
  [
    "an identifier with a quote",
    (d) => (database(d)["schema"] = 'a"b'),
    `databases[0] (nanvc).schema: received 'a"b', allowed: ${IDENTIFIER}`,
  ],
  [
    "a dollar quote",
    (d) => (database(d)["owner"] = "a$revocation$b"),
    `databases[0] (nanvc).owner: received 'a$revocation$b', allowed: ${ROLE}`,
  ],
  [
    "a Terraform expression",
    (d) => (database(d)["owner"] = "${var.x}"),
    `databases[0] (nanvc).owner: received '\${var.x}', allowed: ${ROLE}`,
  ],
  [
    "a template of Vault's",
    (d) => (readonly(d)["appRole"] = "db-{{name}}"),
    `${RO}.appRole: received 'db-{{name}}', allowed: ${POLICY_NAME}`,
  ],
  [
    "a letter beyond ASCII",
    (d) => (database(d)["schema"] = "schéma"),
    `databases[0] (nanvc).schema: received 'schéma', allowed: ${IDENTIFIER}`,
  ],
  [
    "a line break",
    (d) => (database(d)["schema"] = "a\nb"),
    `databases[0] (nanvc).schema: received 'a\\nb', allowed: ${IDENTIFIER}`,
  ],
  [
    "a role that PostgreSQL keeps for itself",
    (d) => (database(d)["owner"] = "pg_owner"),
    `databases[0] (nanvc).owner: received 'pg_owner', allowed: ${ROLE}`,
  ],
  [
    "the role public",
    (d) => (readonly(d)["groupRole"] = "public"),
    `${RO}.groupRole: received 'public', allowed: ${ROLE}`,
  ],
  [
    "a mount that exists, with a slash at its end",
    (d) => (database(d).vault["mount"] = { path: "db/", exists: true }),
    `databases[0] (nanvc).vault.mount.path: received 'db/', allowed: ${MOUNT_PATH}`,
  ],
  [
    "a connection's name in a mount that exists",
    (d) => Object.assign(database(d).vault, { mount: { path: "db", exists: true }, connection: "c-" }),
    `databases[0] (nanvc).vault.connection: received 'c-', allowed: ${VAULT}`,
  ],
  [
    "a mount that does not exist",
    (d) => (d.vault["authMount"] = { path: "approle", exists: false }),
    `vault.authMount: received { path: 'approle', exists: false }, allowed: ${VAULT_AUTH_PATH.allowed}; or { path, exists: true }, of one that exists already`,
  ],
  [
    "a mount that exists at the auth mount's path",
    (d) => (database(d).vault["mount"] = { path: "approle", exists: true }),
    "databases[0] (nanvc).vault.mount.path: received 'approle', allowed: a path other than vault.authMount",
  ],
  [
    "a connection that leaves no room for the probes' roles in a mount of others'",
    (d) =>
      Object.assign(database(d).vault, { mount: { path: "db", exists: true }, connection: "c".repeat(116) }),
    `databases[0] (nanvc).vault.connection: received '${"c".repeat(76)}..., allowed: a name that leaves room for Vault's role verify-owner-${"c".repeat(116)}, at most 128 bytes`,
  ],
  [
    "a mount path with a slash at its end",
    (d) => (database(d).vault["mount"] = "db/"),
    `databases[0] (nanvc).vault.mount: received 'db/', allowed: ${MOUNT_PATH}`,
  ],
  [
    "two mounts at one path",
    (d) => (database(d).vault["mount"] = "approle"),
    "databases[0] (nanvc).vault.mount: received 'approle', allowed: a path other than vault.authMount",
  ],
  [
    "a prefix without its dash",
    (d) => (d.vault["namePrefix"] = "db"),
    `vault.namePrefix: received 'db', allowed: ${VAULT_NAME_PREFIX.allowed}`,
  ],
  [
    "a mount in what is Vault's own, whose policies would hold there",
    (d) => (database(d).vault["mount"] = "sys/policies"),
    `databases[0] (nanvc).vault.mount: received 'sys/policies', allowed: ${MOUNT_PATH}`,
  ],
  [
    "an auth mount where Vault has its tokens",
    (d) => (d.vault["authMount"] = "token"),
    `vault.authMount: received 'token', allowed: ${VAULT_AUTH_PATH.allowed}`,
  ],
  [
    "an operator's policy that nearly every token has",
    (d) => (d.vault["operatorPolicy"] = "default"),
    `vault.operatorPolicy: received 'default', allowed: ${POLICY_NAME}`,
  ],
  [
    "an operator's policy that the stack writes over",
    (d) => (d.vault["operatorPolicy"] = "leasehold-local-planner"),
    "vault.operatorPolicy: received 'leasehold-local-planner', allowed: a policy other than the stack's own, leasehold-local-planner, leasehold-local-deliverer, leasehold-local-verifier",
  ],
  [
    "an environment whose policies' names would be too long",
    (d) => (d["name"] = "n".repeat(109)),
    `name: received '${"n".repeat(76)}..., allowed: a name that leaves room for the policy leasehold-${"n".repeat(109)}-deliverer, at most 128 bytes`,
  ],
  [
    "an AppRole for which Vault has no path",
    (d) => (readonly(d)["appRole"] = "db-readonly-"),
    `${RO}.appRole: received 'db-readonly-', allowed: ${POLICY_NAME}`,
  ],
  [
    "a group role for which Vault has no path",
    (d) => (readonly(d)["groupRole"] = "readonly-"),
    `${RO}.groupRole: received 'readonly-', allowed: ${VAULT}, since it also names a role in Vault`,
  ],
  [
    "a role that looks like a leased login",
    (d) => (readonly(d)["groupRole"] = "v-approle-readonly-abcdefghijklmnopqrst-1700000000"),
    `${RO}.groupRole: received 'v-approle-readonly-abcdefghijklmnopqrst-1700000000', allowed: ${ROLE}`,
  ],
  [
    "a persona that every JavaScript object has",
    (d) => ((readonly(d)["name"] = "constructor"), delete database(d)["workload"]),
    `databases[0] (nanvc).personas[2].name: received 'constructor', allowed: a name other than constructor, which the tree of constructs has already`,
  ],
  [
    "a static role that is called like a leased one, which Vault refuses",
    (d) => (database(d)["staticRoles"] = [{ ...STATIC, name: "readonly_role" }]),
    `databases[0] (nanvc).staticRoles[0].name: received 'readonly_role', allowed: a database role of mount database that is not already used at ${RO}.groupRole`,
  ],
  [
    "the schema of PostgreSQL's own views",
    (d) => (database(d)["schema"] = "information_schema"),
    "databases[0] (nanvc).schema: received 'information_schema', allowed: a schema other than information_schema, which is PostgreSQL's own",
  ],
  [
    "a database that others are copied from",
    (d) => (database(d)["name"] = "template1"),
    `databases[0].name: received 'template1', allowed: ${IDENTIFIER}, other than template0 and template1`,
  ],
  [
    "a database that is there already, to be made",
    (d) => (database(d)["name"] = "postgres"),
    "databases[0].name: received 'postgres', allowed: a database other than postgres, which each server has from the start, unless it is its server's database",
  ],
  [
    "a backend's secret",
    (d) => (d["backend"] = { type: "http", arguments: { address: "{stack}", password: "hunter2" } }),
    `backend.arguments: received { address: '{stack}', password: '(not shown)' }, allowed: ${NO_BACKEND_SECRET}`,
  ],
  [
    "a backend's password in an address",
    (d) => (d["backend"] = { type: "pg", arguments: { conn_str: "postgres://u:hunter2@h/{stack}" } }),
    `backend.arguments: received { conn_str: '(not shown)' }, allowed: ${NO_BACKEND_SECRET}`,
  ],
  [
    "a token, or whatever it is",
    (d) => (readonly(d)["token"] = "hvs.hunter2" as never),
    `${RO}.token: received '(not shown)', allowed: a token's TTLs, an object with ttl, maxTtl`,
  ],
  [
    "an error, whose stack has lines of its own",
    (d) => (database(d)["schema"] = new Error("soon")),
    `databases[0] (nanvc).schema: received [object Error], allowed: ${IDENTIFIER}`,
  ],
  [
    "a field with a line break in its name",
    (d) => (database(d)["a\nb\u009b"] = 1),
    "databases[0] (nanvc).a\\nb\\u{9b}: no such field",
  ],
  [
    "a backend's key, which is no word of Terraform's",
    (d) => (d["backend"] = { type: "s3", arguments: { "Bucket\n": "{stack}" } }),
    "backend.arguments.Bucket\\n: received 'Bucket\\n', allowed: arguments by name, of lowercase letters, digits and _",
  ],
  [
    "a policy without the prefix",
    (d) => (readonly(d)["policy"] = "app-policy"),
    `${RO}.policy: received 'app-policy', allowed: a name that starts with vault.namePrefix, db-`,
  ],
  [
    "one policy for two",
    (d) => (readonly(d)["policy"] = "db-admin-schema-role"),
    `${RO}.policy: received 'db-admin-schema-role', allowed: a policy that is not already used at databases[0] (nanvc).personas[0] (schema-admin).appRole`,
  ],
  ...[
    ["appRole", "leasehold-local-operator"],
    ["appRole", "leasehold-production-planner"],
    ["policy", "leasehold-local-verifier"],
    ["policy", "terraform"],
  ].map(([field, name]): [string, (d: Draft) => unknown, string] => [
    `${name!}, a policy of the trust model's, as ${field!} without a prefix`,
    (d) => {
      delete d.vault["namePrefix"];
      if (name === "terraform") d.vault["operatorPolicy"] = name;
      readonly(d)[field!] = name;
    },
    `${RO}.${field!}: received '${name!}', allowed: a policy that is not of the trust model (leasehold-<environment>-<who>, vault.operatorPolicy)`,
  ]),
  ...["app-policy", "leasehold-production-verifier"].map(
    (policy): [string, (d: Draft) => unknown, string] => [
      `the policy ${policy} beside, without a prefix`,
      (d) => {
        delete d.vault["namePrefix"];
        admin(d)["policy"] = "app-policy";
        readonly(d)["vault"] = { policies: [policy] };
      },
      `${RO}.vault.policies[0]: received '${policy}', allowed: a policy that is neither of the trust model nor a persona's (vault.namePrefix)`,
    ],
  ),
  [
    "an AppRole without the prefix",
    (d) => (readonly(d)["appRole"] = "readonly"),
    `${RO}.appRole: received 'readonly', allowed: a name that starts with vault.namePrefix, db-`,
  ],
  ...[
    "auth/token/create",
    "sys/mounts",
    "secret",
    "+/data",
    "*",
    "secret/*/x",
    "/secret/x",
    "secret//x",
    'secret/"x',
  ].map((path): [string, (d: Draft) => unknown, string] => [
    `the path ${path} beside`,
    (d) => (readonly(d)["vault"] = { paths: [{ path, capabilities: ["read"] }] }),
    `${RO}.vault.paths[0].path: received '${path}', allowed: a path of an engine that is mounted already, such as "secret/data/app/*", outside of auth/, sys/, identity/ and cubbyhole/`,
  ]),
  ...["database/creds/readwrite_role", "database/*", "database/+/readwrite_role"].map(
    (path): [string, (d: Draft) => unknown, string] => [
      `${path}, another's credentials, beside`,
      (d) => (readonly(d)["vault"] = { paths: [{ path, capabilities: ["read"] }] }),
      `${RO}.vault.paths[0].path: received '${path}', allowed: a path outside of database/, where a persona has its own credentials alone`,
    ],
  ),
  [
    "a path beside with sudo",
    (d) => (readonly(d)["vault"] = { paths: [{ path: "secret/x", capabilities: ["sudo"] }] }),
    `${RO}.vault.paths[0].capabilities[0]: received 'sudo', allowed: one of create, read, update, patch, delete, list`,
  ],
  ...["db-readwrite-role", "leasehold-local-verifier"].map(
    (policy): [string, (d: Draft) => unknown, string] => [
      `the policy ${policy} beside`,
      (d) => (readonly(d)["vault"] = { policies: [policy] }),
      `${RO}.vault.policies[0]: received '${policy}', allowed: a policy that is neither of the trust model nor a persona's (vault.namePrefix)`,
    ],
  ),
  [
    "four policies beside",
    (d) => (readonly(d)["vault"] = { policies: ["a", "b", "c", "d"] }),
    `${RO}.vault.policies: received [ 'a', 'b', 'c', 'd' ], allowed: at most three policies`,
  ],
  [
    "more idle connections than open ones",
    (d) => Object.assign(database(d).vault, { maxIdleConnections: 3 }),
    "databases[0] (nanvc).vault.maxIdleConnections: received 3, allowed: at most vault.maxOpenConnections, 2",
  ],
  [
    "a host that is which it wants",
    (d) => Object.assign(database(d).vault, { targetSessionAttrs: "standby" }),
    "databases[0] (nanvc).vault.targetSessionAttrs: received 'standby', allowed: one of any, read-write, primary",
  ],
  [
    "a username template of another form",
    (d) => Object.assign(database(d).vault, { usernameTemplate: "app-{{random 8}}" }),
    "databases[0] (nanvc).vault.usernameTemplate: received 'app-{{random 8}}', allowed: a template such as v-shop-{{.RoleName | truncate 8}}-{{random 20}}-{{unix_time}}, with two parts of up to 8 letters in the middle",
  ],
  [
    "an sslMode without TLS",
    (d) => Object.assign(database(d).vault, { sslMode: "require" }),
    "databases[0] (nanvc).vault.sslMode: received 'require', allowed: no sslMode, since the server postgres has no tls",
  ],
  [
    "a client certificate without TLS",
    (d) => (d.servers[0]!["clientCertificate"] = true),
    "servers[0] (postgres).clientCertificate: received true, allowed: false where tls is false",
  ],
  [
    "port 0",
    (d) => (d.servers[0]!.container["hostPort"] = 0),
    "servers[0] (postgres).container.hostPort: received 0, allowed: a whole number from 1 to 65535",
  ],
  [
    "port 65536",
    (d) => (d.vault.container["hostPort"] = 65536),
    "vault.container.hostPort: received 65536, allowed: a whole number from 1 to 65535",
  ],
  [
    "a port as text",
    (d) => (d.vault.container["hostPort"] = "8200"),
    "vault.container.hostPort: received '8200', allowed: a whole number from 1 to 65535",
  ],
  [
    "one port for both",
    (d) => (d.vault.container["hostPort"] = 35432),
    "servers[0] (postgres).container.hostPort: received 35432, allowed: a port that is not already used at vault.container.hostPort",
  ],
  [
    "an image without a tag",
    (d) => (d.vault.container["image"] = "vault"),
    `vault.container.image: received 'vault', allowed: an image name with an exact tag or a digest, such as "postgres:18.4" or "postgres:18.4@sha256:…"`,
  ],
  [
    "the tag latest",
    (d) => (d.vault.container["image"] = "vault:latest"),
    "vault.container.image: received 'vault:latest', allowed: an exact tag or a digest, since what latest means can change while a plan shows no change",
  ],
  [
    "an image with half a digest",
    (d) => (d.vault.container["image"] = "vault:1@sha256:0123"),
    `vault.container.image: received 'vault:1@sha256:0123', allowed: an image name with an exact tag or a digest, such as "postgres:18.4" or "postgres:18.4@sha256:…"`,
  ],
  [
    "a schema that the superuser's search path would find",
    (d) => (database(d)["schema"] = d.servers[0]!["superuser"]),
    `databases[0] (nanvc).schema: received 'nanvc', allowed: ${NO_LOGIN}`,
  ],
  [
    "a schema that Vault's login would find",
    (d) => (database(d)["schema"] = "vault"),
    `databases[0] (nanvc).schema: received 'vault', allowed: ${NO_LOGIN}`,
  ],
  [
    "a schema that Vault's login in another database of the server would find",
    (d) => {
      const other = copy(database(d));
      Object.assign(other, { name: "other", schema: "vault", owner: "other_owner", workload: undefined });
      other.manager["name"] = "vault_other";
      other.vault["connection"] = "other";
      other.personas = [
        { ...admin(d), privileges: copy(admin(d).privileges), groupRole: "other_admin", appRole: "db-other" },
      ];
      d.databases.push(other);
    },
    `databases[1] (other).schema: received 'vault', allowed: ${NO_LOGIN}`,
  ],
  [
    "a duration without a unit",
    (d) => (readonly(d).token["ttl"] = "20"),
    `${RO}.token.ttl: received '20', allowed: ${DURATION}`,
  ],
  [
    "a duration of nothing",
    (d) => (readonly(d).token["ttl"] = "0s"),
    `${RO}.token.ttl: received '0s', allowed: ${DURATION}`,
  ],
  [
    "a negative duration",
    (d) => (readonly(d).token["ttl"] = "-5m"),
    `${RO}.token.ttl: received '-5m', allowed: ${DURATION}`,
  ],
  [
    "a duration as a number",
    (d) => (readonly(d).lease["maxTtl"] = 3600),
    `${RO}.lease.maxTtl: received 3600, allowed: ${DURATION}`,
  ],
  [
    "a lease's max below its default",
    (d) => (readonly(d).lease["maxTtl"] = "30m"),
    `${RO}.lease.maxTtl: received '30m', allowed: at least lease.defaultTtl, 1h`,
  ],
  [
    "a token's max below its TTL",
    (d) => (readonly(d).token["maxTtl"] = "10m"),
    `${RO}.token.maxTtl: received '10m', allowed: at least token.ttl, 20m`,
  ],
  [
    "a token that ends before its lease can, unsaid",
    (d) => {
      readonly(d)["leaseEndsWithToken"] = false;
      readonly(d).token["maxTtl"] = "2h";
    },
    `${RO}.token.maxTtl: received '2h', allowed: at least lease.maxTtl, 1d, since a lease ends with its token; or leaseEndsWithToken: true, to say that this is meant`,
  ],
  [
    "a secret id too short to deliver",
    (d) => (readonly(d).secretId["ttl"] = "30s"),
    `${RO}.secretId.ttl: received '30s', allowed: at least 1m, the time it takes to deliver it`,
  ],
  [
    "a secret id of no use",
    (d) => (readonly(d).secretId["uses"] = 0),
    `${RO}.secretId.uses: received 0, allowed: a whole number from 1 to 1000000`,
  ],
  [
    "a privilege that does not exist",
    (d) => (readonly(d).privileges["tables"] = ["READ"]),
    `${RO}.privileges.tables[0]: received 'READ', allowed: one of SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER, MAINTAIN`,
  ],
  [
    "ALL",
    (d) => (readonly(d).privileges["tables"] = ["ALL"]),
    `${RO}.privileges.tables[0]: received 'ALL', allowed: one of SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER, MAINTAIN`,
  ],
  [
    "a privilege twice",
    (d) => (readonly(d).privileges["tables"] = ["SELECT", "SELECT"]),
    `${RO}.privileges.tables: received [ 'SELECT', 'SELECT' ], allowed: each privilege once`,
  ],
  [
    "a privilege instead of a list",
    (d) => (readonly(d).privileges["tables"] = "SELECT"),
    `${RO}.privileges.tables: received 'SELECT', allowed: a list of SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER, MAINTAIN`,
  ],
  [
    "a table without privileges",
    (d) => (readonly(d).privileges["tables"] = { users: [] }),
    `${RO}.privileges.tables.users: received [], allowed: at least one privilege`,
  ],
  [
    "no table",
    (d) => (readonly(d).privileges["tables"] = {}),
    `${RO}.privileges.tables: received {}, allowed: at least one table`,
  ],
  [
    "a table's name that is none",
    (d) => (readonly(d).privileges["tables"] = { 'us"ers': ["SELECT"] }),
    `${RO}.privileges.tables.us"ers: received 'us"ers', allowed: as a name ${IDENTIFIER}`,
  ],
  [
    "a privilege of a table that does not exist",
    (d) => (readonly(d).privileges["tables"] = { users: { SELECT: true, READ: true } }),
    `${RO}.privileges.tables.users.READ: no such field`,
  ],
  [
    "a privilege that no column has",
    (d) => (readonly(d).privileges["tables"] = { users: { DELETE: ["id"] } }),
    `${RO}.privileges.tables.users.DELETE: received [ 'id' ], allowed: true, since it is on the whole table`,
  ],
  [
    "a column twice",
    (d) => (readonly(d).privileges["tables"] = { users: { SELECT: ["id", "id"] } }),
    `${RO}.privileges.tables.users.SELECT: received [ 'id', 'id' ], allowed: each column once`,
  ],
  [
    "no column",
    (d) => (readonly(d).privileges["tables"] = { users: { SELECT: [] } }),
    `${RO}.privileges.tables.users.SELECT: received [], allowed: at least one column`,
  ],
  [
    "privileges in a schema that is not the database's",
    (d) => (readonly(d).privileges = { database: ["CONNECT"], schemas: { other: { schema: ["USAGE"] } } }),
    `${RO}.privileges.schemas.other: received { schema: [ 'USAGE' ] }, allowed: privileges in a schema of this database: example`,
  ],
  [
    "tables of a schema without USAGE",
    (d) =>
      (readonly(d).privileges = {
        database: ["CONNECT"],
        schemas: { example: { tables: { users: ["SELECT"] } } },
      }),
    `${RO}.privileges.schemas.example.schema: received nothing, allowed: a list with USAGE, without which no object of the schema can be reached`,
  ],
  [
    "privileges by schema, and the same in each",
    (d) => (readonly(d).privileges["schemas"] = { example: { schema: ["USAGE"] } }),
    `${RO}.privileges.schema: received [ 'USAGE' ], allowed: nothing beside schemas, which has it for each schema`,
  ],
  [
    "an owner with privileges by schema",
    (d) => (admin(d).privileges = { database: ["CONNECT", "CREATE"], schemas: { example: {} } }),
    "databases[0] (nanvc).personas[0] (schema-admin).privileges.schemas: received { example: {} }, allowed: the same in each schema, since a persona that acts as the owner has all in each",
  ],
  [
    "a setting that each login has in any case",
    (d) => (readonly(d)["settings"] = { search_path: "public" }),
    `${RO}.settings.search_path: received 'search_path', allowed: as a name ${SETTING.allowed}`,
  ],
  [
    "a setting's value that ends its literal",
    (d) => (readonly(d)["settings"] = { work_mem: "8MB'; DROP ROLE x" }),
    `${RO}.settings.work_mem: received "8MB'; DROP ROLE x", allowed: ${SETTING_VALUE.allowed}`,
  ],
  [
    "a schema twice on a search path",
    (d) => (readonly(d)["searchPath"] = ["example", "example"]),
    `${RO}.searchPath: received [ 'example', 'example' ], allowed: each schema once`,
  ],
  [
    "a persona that can't connect",
    (d) => (readonly(d).privileges["database"] = []),
    `${RO}.privileges.database: received [], allowed: a list with CONNECT, without which no leased login can log in`,
  ],
  [
    "tables without USAGE",
    (d) => (readonly(d).privileges["schema"] = []),
    `${RO}.privileges.schema: received [], allowed: a list with USAGE, without which no object of the schema can be reached`,
  ],
  [
    "an owner that does not declare what it has",
    (d) => (admin(d).privileges["sequences"] = ["USAGE"]),
    "databases[0] (nanvc).personas[0] (schema-admin).privileges.sequences: received [ 'USAGE' ], allowed: a list with SELECT, UPDATE as well, which a persona that acts as the owner has in any case",
  ],
  [
    "no persona",
    (d) => ((database(d).personas = []), delete database(d)["workload"]),
    "databases[0] (nanvc).personas: received [], allowed: at least one persona",
  ],
  ["no database", (d) => (d.databases = []), "databases: received [], allowed: at least one database"],
  [
    "a persona's name twice",
    (d) => ((readonly(d)["name"] = "readwrite"), delete database(d)["workload"]),
    "databases[0] (nanvc).personas[2].name: received 'readwrite', allowed: a persona of nanvc that is not already used at databases[0] (nanvc).personas[1].name",
  ],
  [
    "a group role twice",
    (d) => (readonly(d)["groupRole"] = "readwrite_role"),
    `${RO}.groupRole: received 'readwrite_role', allowed: a PostgreSQL role of server postgres that is not already used at databases[0] (nanvc).personas[1] (readwrite).groupRole`,
  ],
  [
    "a group role that is the superuser",
    (d) => (readonly(d)["groupRole"] = "nanvc"),
    `${RO}.groupRole: received 'nanvc', allowed: a PostgreSQL role of server postgres that is not already used at servers[0] (postgres).superuser`,
  ],
  [
    "a group role that is a probe's",
    (d) => (readonly(d)["groupRole"] = "nanvc_verify_owner"),
    `${RO}.groupRole: received 'nanvc_verify_owner', allowed: a PostgreSQL role of server postgres that is not already used at databases[0].name, which leads to it`,
  ],
  [
    "an AppRole twice",
    (d) => (readonly(d)["appRole"] = "db-readwrite-role"),
    `${RO}.appRole: received 'db-readwrite-role', allowed: an AppRole that is not already used at databases[0] (nanvc).personas[1] (readwrite).appRole`,
  ],
  [
    "a workload for nobody",
    (d) => (database(d).workload!["reader"] = "ghost"),
    "databases[0] (nanvc).workload.reader: received 'ghost', allowed: the name of a persona of this database that does not act as the owner",
  ],
  [
    "a workload's admin that is no owner",
    (d) => (database(d).workload!["admin"] = "readonly"),
    "databases[0] (nanvc).workload.admin: received 'readonly', allowed: the name of a persona of this database that acts as the owner",
  ],
  [
    "a password version of 0, which is never sent",
    (d) => (database(d).manager["passwordVersion"] = 0),
    "databases[0] (nanvc).manager.passwordVersion: received 0, allowed: a whole number from 1 to 1000000",
  ],
])("%s", (_, change, line) => {
  test("gives one line: the path, the value, what is allowed", () => {
    const lines = errors(change);
    expect(lines).toEqual([`config/test.ts: ${line}`]);
  });
});

test("a password written as a literal is refused, and not repeated", () => {
  const lines = errors((d) => (database(d).manager["password"] = "hunter2"));
  expect(lines).toEqual([
    "config/test.ts: databases[0] (nanvc).manager.password: a secret is never written in a config file; set TF_VAR_<server>_superuser_password or TF_VAR_<manager>_manager_password",
  ]);
});

describe("names of two databases", () => {
  const second = (d: Draft, change: object) => {
    const copied = JSON.parse(
      JSON.stringify(database(d)).replace(/"(db-[a-z-]+-role)"/g, '"$1-b"'),
    ) as DraftDatabase;
    d.databases.push({ ...copied, name: "second", vault: { mount: "b", connection: "b" }, ...change });
  };
  const ROLES = [
    ["owner", "example_owner"],
    ["manager.name", "vault"],
    ["personas[0] (schema-admin).groupRole", "schema_admin_role"],
    ["personas[1] (readwrite).groupRole", "readwrite_role"],
    ["personas[2] (readonly).groupRole", "readonly_role"],
  ] as const;

  test("a role's name used twice on one server is refused, wherever it is used", () => {
    expect(
      errors((d) => {
        second(d, {});
      }),
    ).toEqual(
      ROLES.map(
        ([path, role]) =>
          `config/test.ts: databases[1] (second).${path}: received '${role}', allowed: a PostgreSQL role of server postgres that is not already used at databases[0] (nanvc).${path}`,
      ),
    );
  });

  test("on two servers it is allowed", () => {
    expect(
      errors((d) => {
        d.servers.push({
          name: "other",
          superuser: "nanvc",
          database: "second",
          container: { image: "postgres:18.4", hostPort: 35440 },
        });
        second(d, { server: "other" });
      }),
    ).toEqual([]);
  });

  const apart = (names: string) => ({
    owner: `${names}_owner`,
    manager: { name: `${names}_vault`, passwordVersion: 1 },
    workload: undefined,
  });
  const apartPersonas = (d: Draft, names: string) => {
    for (const persona of d.databases[1]!.personas)
      persona["groupRole"] = `${names}_${String(persona["groupRole"])}`;
  };

  test.each<[string, object, string]>([
    [
      "a mount below another",
      { vault: { mount: "database/b", connection: "b" } },
      "databases[1] (second).vault.mount: received 'database/b', allowed: a path that is not below another mount, database",
    ],
    [
      "a mount that exists for one of two databases",
      { vault: { mount: { path: "database", exists: true }, connection: "b" } },
      "databases[1] (second).vault.mount.path: received 'database', allowed: a mount that is spelled as for nanvc",
    ],
    [
      "a name with which Vault's role of the probes would end in a dash",
      { name: "second-", vault: { mount: "database", connection: "b" } },
      "databases[1].name: received 'second-', allowed: a name that does not end with -, since Vault's role verify-owner-second- ends with it",
    ],
    [
      "a manager whose password would be in another's variable",
      { manager: { name: "a-vault", passwordVersion: 1 } },
      "databases[1] (second).manager.name: received 'a-vault', allowed: a name that does not lead to the password variable a_vault_manager_password, which is already used at databases[0] (nanvc).manager.name",
    ],
  ])("%s is refused", (_, change, line) => {
    expect(
      errors((d) => {
        database(d).manager["name"] = "a_vault";
        second(d, { ...apart("b"), ...change });
        apartPersonas(d, "b");
      }),
    ).toEqual([`config/test.ts: ${line}`]);
  });

  test("a static role's login, too", () => {
    expect(
      errors((d) => {
        database(d)["staticRoles"] = [STATIC];
        second(d, apart("b"));
        apartPersonas(d, "b");
      }),
    ).toEqual([
      "config/test.ts: databases[1] (second).staticRoles[0] (report).login: received 'report_login', allowed: a PostgreSQL role of server postgres that is not already used at databases[0] (nanvc).staticRoles[0] (report).login",
    ]);
  });
});

test("several errors give a line each", () => {
  const lines = errors((d) => {
    d["name"] = "";
    readonly(d).lease["defaultTtl"] = "soon";
  });
  expect(lines).toHaveLength(2);
});

test.each([
  ["kubernetes", { secret_suffix: "{stack}" }],
  ["gcs", { prefix: "{stack}", kms_encryption_key: "projects/p/locations/l/keyRings/r/cryptoKeys/k" }],
  ["s3", { key: "{stack}", shared_credentials_file: "~/.aws/credentials", kms_key_id: "alias/x" }],
  [
    "s3",
    {
      bucket: "states",
      workspace_key_prefix: "{stack}",
      assume_role: {
        role_arn: "arn:aws:iam::1:role/deploy",
        transitive_tag_keys: ["team"],
        tags: { team: "db" },
      },
      assume_role_with_web_identity: { web_identity_token_file: "/run/token" },
      endpoints: { s3: "https://minio.example.com" },
    },
  ],
  ["pg", { conn_str: "postgres://host:5432/states?sslmode=verify-full", schema_name: "{stack}" }],
  ["http", { address: "https://states.example.com/a@b/{stack}?ref=main", lock_address: "https://h/{stack}" }],
])("what a backend %s is told that is no secret is allowed", (type, values) => {
  expect(errors((d) => (d["backend"] = { type, arguments: values }))).toEqual([]);
});

test.each<[string, string, unknown]>([
  ["s3", "assume_role_with_web_identity", { web_identity_token: "hunter2" }],
  ["s3", "endpoints", { s3: "https://hunter2@minio.example.com" }],
  ["kubernetes", "exec", { env: [{ token: "hunter2" }] }],
  ["gcs", "credentials", { name: "hunter2" }],
  ["s3", "secret_key", "hunter2"],
  ["azurerm", "sas_token", "hunter2"],
  ["gcs", "encryption_key", "hunter2"],
  ["kubernetes", "client_key", "hunter2"],
  ["pg", "conn_str", "host=h user=u password = hunter2"],
  ["pg", "conn_str", "host=h sslpassword=hunter2"],
  ["pg", "conn_str", "postgres://h/states?user=u&password=hunter2"],
  ["http", "address", "http://hunter2@h/{stack}"],
  ["http", "lock_address", "HTTPS://:hunter2@h/{stack}"],
  ["http", "address", "https://h/{stack}?access_token=hunter2"],
  ["http", "unlock_address", "https://h/{stack}?ref=main&access%5Ftoken=hunter2#part"],
  ["http", "address", "https://h/{stack}?sv=1;sig=hunter2"],
  ["http", "address", "https://h/{stack}?X-Amz-Signature=hunter2"],
  ["http", "address", "https://h/{stack}?apikey=hunter2"],
  ["s3", "endpoint", "https://hunter2@minio.example.com"],
])("of a backend %s, %s is refused and not shown", (type, argument, value) => {
  const lines = errors((d) => (d["backend"] = { type, arguments: { key: "{stack}", [argument]: value } }));
  expect(lines).toEqual([expect.stringContaining(NO_BACKEND_SECRET)]);
  expect(lines[0]).not.toContain("hunter2");
});

/** The environment local with schemas of its database. */
function withSchemas(schemas: unknown, change?: (draft: Draft) => void): readonly string[] {
  return errors((d) => {
    const { schema: _, owner: __, ...rest } = database(d);
    d.databases[0] = { ...rest, schemas };
    change?.(d);
  });
}
test.each<[object, string | undefined]>([
  [{ login: { name: "old", exists: true }, skipImportRotation: true }, undefined],
  [{ rotationPeriod: undefined, rotationSchedule: "0 3 * * SAT", rotationWindow: "1h" }, undefined],
  [{ rotationPeriod: undefined }, "rotationPeriod: received nothing, allowed: either rotationPeriod or"],
  [{ rotationSchedule: "*/5 * * * *" }, "rotationPeriod: received '24h', allowed: either rotationPeriod or"],
  [{ rotationWindow: "2h" }, "rotationWindow: received '2h', allowed: none without rotationSchedule"],
  [
    { rotationPeriod: undefined, rotationSchedule: "0 3 * * 6", rotationWindow: "59m" },
    "rotationWindow: received '59m', allowed: at least 1h",
  ],
  [
    { rotationPeriod: undefined, rotationSchedule: "@daily" },
    "rotationSchedule: received '@daily', allowed: a schedule of five fields",
  ],
  [
    { skipImportRotation: true },
    "skipImportRotation: received true, allowed: false for a login that deploy makes",
  ],
  [
    { login: { name: "readonly_role", exists: true } },
    "login.name: received 'readonly_role', allowed: a PostgreSQL role",
  ],
  [{ login: { name: "old" } }, "login: received { name: 'old' }, allowed: "],
])("a static role with %j", (change, finding) => {
  const lines = errors((d) => (database(d)["staticRoles"] = [{ ...STATIC, ...change }]));
  expect(lines).toEqual(
    finding === undefined ? [] : [expect.stringContaining(`staticRoles[0] (report).${finding}`)],
  );
});

test("a static role's login that exists may create", () => {
  expect(
    withSchemas([{ name: "a", owner: "o", creators: ["old"] }], (d) => {
      withoutAdmin(d);
      database(d)["staticRoles"] = [{ ...STATIC, login: { name: "old", exists: true } }];
    }),
  ).toEqual([]);
});

test("PUBLIC may keep something of a database, which may exist", () => {
  for (const kept of ["take", {}, { database: ["CONNECT"], schema: ["USAGE"], functions: ["EXECUTE"] }])
    expect(errors((d) => Object.assign(database(d), { exists: true, public: kept }))).toEqual([]);
  const allowed =
    'allowed: "take"; or an object of any of database, schema, functions, with the privileges that PUBLIC may keep there';
  for (const [kept, finding] of [
    ["keep", `public: received 'keep', ${allowed}`],
    [{ tables: ["SELECT"] }, "public.tables: no such field"],
    [{ database: ["USAGE"] }, "public: received { database: [ 'USAGE' ] }, allowed: \"take\""],
  ] as const)
    expect(errors((d) => Object.assign(database(d), { public: kept }))).toEqual([
      expect.stringContaining(finding),
    ]);
});

const withoutAdmin = (d: Draft) => {
  database(d).personas.shift();
  delete database(d).workload;
};

test("several schemas are allowed, public too, with an owner each where nobody acts as the owner", () => {
  const [first, second] = [
    { name: "public", owner: "a" },
    { name: "more", owner: "b", creators: ["a", "nanvc", "nightly"] },
  ];
  expect(withSchemas([first, { name: "more", owner: "a" }])).toEqual([]);
  expect(withSchemas([first, second], withoutAdmin)).toEqual([]);
  expect(errors((d) => (database(d)["schema"] = "public"))).toEqual([]);
});

test("schemas and owners that exist are allowed, an owner in several databases too", () => {
  const owner = { name: "o", exists: true };
  const exists = (d: Draft) => (admin(d).privileges["database"] = ["CONNECT"]);
  expect(withSchemas([{ name: "public", owner, exists: true }], exists)).toEqual([]);
  expect(errors((d) => (database(d)["owner"] = owner))).toEqual([]);
  expect(
    withSchemas([{ name: "a", owner }], (d) => {
      const [{ manager, personas, workload: _, ...first }] = copy(d.databases) as [DraftDatabase];
      const names = (i: number) => ({ groupRole: `other${String(i)}`, appRole: `db-${String(i)}` });
      d.databases.push({
        ...first,
        name: "other",
        manager: { ...manager, name: "other" },
        vault: { mount: "database", connection: "other" },
        personas: personas.map((persona, i) => ({ ...persona, ...names(i) })),
      });
    }),
  ).toEqual([]);
});

describe.each<[string, unknown, string, ((draft: Draft) => void)?]>([
  ["no schema", [], "schemas: received [], allowed: at least one schema"],
  [
    "one without an owner",
    [{ name: "a" }],
    `schemas[0] (a).owner: received nothing, allowed: ${ROLE}; or { name, exists: true }, of a role that exists already`,
  ],
  [
    "one twice",
    ["a", "a"].map((name) => ({ name, owner: "o" })),
    "schemas[1].name: received 'a', allowed: a schema of nanvc that is not already used at databases[0] (nanvc).schemas[0].name",
  ],
  [
    "PostgreSQL's own",
    [{ name: "information_schema", owner: "o" }],
    "schemas[0].name: received 'information_schema', allowed: a schema other than information_schema, which is PostgreSQL's own",
  ],
  [
    "one that Vault's login would find",
    [
      { name: "a", owner: "o" },
      { name: "vault", owner: "o" },
    ],
    `schemas[1].name: received 'vault', allowed: ${NO_LOGIN}`,
  ],
  [
    "both spellings",
    [{ name: "a", owner: "o" }],
    "schema: received 'b', allowed: no schema and owner beside schemas, which has them",
    (d) => (database(d)["schema"] = "b"),
  ],
  ["neither", undefined, "schema: received nothing, allowed: a schema, or a list schemas"],
  [
    "a schema without an owner",
    undefined,
    `owner: received nothing, allowed: ${ROLE}: the schema's owner`,
    (d) => (database(d)["schema"] = "b"),
  ],
  [
    "two owners, and who acts as the owner",
    [
      { name: "a", owner: "o" },
      { name: "b", owner: "p" },
    ],
    "schemas[1] (b).owner: received 'p', allowed: o, the first schema's, as whom schema-admin acts in each of them",
  ],
  [
    "an owner that another role has",
    [{ name: "a", owner: "readonly_role" }],
    "personas[2] (readonly).groupRole: received 'readonly_role', allowed: a PostgreSQL role of server postgres that is not already used at databases[0] (nanvc).schemas[0] (a).owner",
  ],
  [
    "creators, and who acts as the owner",
    [{ name: "a", owner: "o", creators: ["c"] }],
    "schemas[0] (a).creators: received [ 'c' ], allowed: no creators, since schema-admin acts as o, who does not own what they create",
  ],
  [
    "an owner that exists and does not",
    [
      { name: "a", owner: "o" },
      { name: "b", owner: { name: "o", exists: true } },
    ],
    "schemas[1] (b).owner.name: received 'o', allowed: an owner that is spelled in the same way for each of its schemas",
  ],
  [
    "an owner that exists by halves",
    [{ name: "a", owner: { name: "o" } }],
    `schemas[0] (a).owner: received { name: 'o' }, allowed: ${ROLE}; or { name, exists: true }, of a role that exists already`,
  ],
  [
    "an existing owner's wrong name",
    [{ name: "a", owner: { name: "pg_o", exists: true } }],
    `schemas[0] (a).owner.name: received 'pg_o', allowed: ${ROLE}`,
  ],
  [
    "an existing owner that is a group role",
    [{ name: "a", owner: { name: "readonly_role", exists: true } }],
    "personas[2] (readonly).groupRole: received 'readonly_role', allowed: a PostgreSQL role of server postgres that is not already used at databases[0] (nanvc).schemas[0] (a).owner.name",
  ],
  [
    "a creator twice",
    [{ name: "a", owner: "o", creators: ["c", "c"] }],
    "schemas[0] (a).creators[1]: received 'c', allowed: roles other than the owner, each once",
    withoutAdmin,
  ],
  [
    "a creator that the config makes",
    [{ name: "a", owner: "o", creators: ["readonly_role"] }],
    "schemas[0] (a).creators[0]: received 'readonly_role', allowed: a role that exists already, or an owner of this database",
    withoutAdmin,
  ],
])("schemas: %s", (_, schemas, line, change) => {
  test("gives one line", () => {
    expect(withSchemas(schemas, change)).toEqual([`config/test.ts: databases[0] (nanvc).${line}`]);
  });
});

test.each([
  "postgres:18.4",
  `postgres:18.4@sha256:${"0".repeat(64)}`,
  `postgres@sha256:${"0".repeat(64)}`,
  `registry.example.com:5000/team/postgres:18.4@sha256:${"a".repeat(64)}`,
  "registry.example.com:5000/postgres:18.4",
])("the image %s is allowed", (image) => {
  expect(errors((d) => (d.vault.container["image"] = image))).toEqual([]);
});

test("names of exactly 63 bytes are allowed", () => {
  expect(errors((d) => (readonly(d)["groupRole"] = "r".repeat(63)))).toEqual([]);
});

test("TEMPORARY is the owner's or nobody's", () => {
  const lines = errors((d) => {
    const second = {
      ...copy(admin(d)),
      name: "other-admin",
      groupRole: "other",
      appRole: "db-other",
    };
    admin(d).privileges["database"] = ["CONNECT", "CREATE", "TEMPORARY"];
    database(d).personas.push(second);
  });
  expect(lines).toEqual([
    "config/test.ts: databases[0] (nanvc).personas[3] (other-admin).privileges.database: received [ 'CONNECT', 'CREATE' ], allowed: TEMPORARY in it, as in that of schema-admin, since personas that act as the owner share the owner's privileges",
  ]);
});

test("privileges are put in one order, however they are written", () => {
  const draft = copy(local) as unknown as Draft;
  readonly(draft).privileges["database"] = ["TEMPORARY", "CONNECT"];
  const parsed = parseEnvironment("config/test.ts", draft);
  expect(parsed.databases[0]!.personas[2]!.privileges.database).toEqual(["CONNECT", "TEMPORARY"]);
});

test("privileges are declared by schema, table and column", () => {
  const draft = copy(local) as unknown as Draft;
  const tables = { orders: ["INSERT", "SELECT"], customers: { SELECT: ["id", "email"], DELETE: true } };
  readonly(draft).privileges = {
    database: ["CONNECT"],
    schemas: { example: { schema: ["USAGE"], tables } },
  };
  const { privileges } = parseEnvironment("config/test.ts", draft).databases[0]!.personas[2]!;
  expect(privilegesIn(privileges, "example")).toEqual({
    ...{ schema: ["USAGE"], tables: [], sequences: [], functions: [] },
    namedTables: [
      { name: "orders", privileges: ["SELECT", "INSERT"], columns: {} },
      { name: "customers", privileges: ["DELETE"], columns: { SELECT: ["id", "email"] } },
    ],
  });
  expect(privilegesIn(privileges, "other").schema).toEqual([]);
});

test.each([undefined, null, 7, "text", []])("a file that exports %p gives one line", (value) => {
  expect(() => parseEnvironment("config/test.ts", value)).toThrow(
    /^config\/test\.ts: \(whole file\): received .*$/,
  );
});

test.each(["nope", "../package", "schema", "load", "a;b", "LOCAL"])(
  "an environment called %p gives one line",
  async (name) => {
    await expect(loadEnvironment(name)).rejects.toThrow(
      `environment: received ${JSON.stringify(name)}, allowed: one of ${environmentNames().join(", ")}`,
    );
  },
);
