import { inspect } from "node:util";
import { z } from "zod";
import { Duration } from "../../constructs/duration";
import {
  isName,
  POSTGRES_DATABASE,
  POSTGRES_IDENTIFIER,
  POSTGRES_ROLE,
  SERVER_NAME,
  VAULT_AUTH_PATH,
  VAULT_LOWER_NAME,
  VAULT_MOUNT_PATH,
  VAULT_NAME,
  VAULT_NAME_PREFIX,
  VAULT_POLICY_NAME,
  type NameRule,
} from "../../constructs/names";
import { Privileges } from "../../constructs/postgres/privileges";
import { printable } from "../../clients/text";
import { OBJECT_KINDS, type ObjectKind, type Privilege } from "../../manifest/object-kinds";
import {
  managerPasswordVariable,
  probeDatabaseRoles,
  probeRoleNames,
  trustPolicyNames,
} from "../../manifest/names";

const name = (rule: NameRule) =>
  z.string({ error: rule.allowed }).refine((value) => isName(rule, value), rule.allowed);

const duration = (longest: string) => {
  const allowed = `${Duration.FORMAT}, at most ${longest}`;
  return z.string({ error: allowed }).transform((text, context) => {
    const parsed = Duration.parse(text);
    if (parsed && !Duration.parse(longest)!.isShorterThan(parsed)) return parsed;
    context.addIssue({ code: "custom", message: allowed, input: text });
    return z.NEVER;
  });
};

/** Vault cuts what is longer, unless it is told otherwise (https://developer.hashicorp.com/vault/docs/configuration#max_lease_ttl). */
const ttl = duration("768h");

const integer = (min: number, max: number) => {
  const error = `a whole number from ${String(min)} to ${String(max)}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};

const port = integer(1, 65_535);

const boolean = z.boolean({ error: "true or false" });

const image = z
  .string({ error: "an image name with an exact tag or a digest" })
  .regex(
    /^[a-z0-9][a-z0-9._/-]*(:\d+\/[a-z0-9._/-]+)?(:[A-Za-z0-9_][A-Za-z0-9_.-]*(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$/,
    'an image name with an exact tag or a digest, such as "postgres:18.4" or "postgres:18.4@sha256:…"',
  )
  .refine(
    (value) => !value.endsWith(":latest"),
    "an exact tag or a digest; latest changes under a plan that shows no change",
  );

/** IPv6 as Vault writes it back: what is read has to be what was declared. */
const cidr = z
  .union([z.cidrv4(), z.cidrv6()], { error: 'an address range such as "10.0.0.0/8"' })
  .refine((range) => {
    const [address = ""] = range.split("/");
    return !address.includes(":") || new URL(`http://[${address}]`).hostname === `[${address}]`;
  }, 'an IPv6 range in its shortest form, in small letters, such as "fd00::/8"');

/** From where a secret id, or a token, may be used. */
const boundCidrs = z
  .array(cidr, { error: "a list of address ranges" })
  .min(1, "at least one range")
  .optional();

/** Once each, in the declared order of the kind, so that the spelling in a config file never shows in a diff. */
function privileges<Kind extends ObjectKind>(kind: Kind) {
  const all = OBJECT_KINDS[kind].privileges as readonly Privilege<Kind>[];
  const allowed = `each one of ${all.join(", ")}`;
  return z
    .array(z.enum(all, { error: `one of ${all.join(", ")}` }), { error: `a list, ${allowed}` })
    .readonly()
    .refine((list) => new Set(list).size === list.length, "each privilege once")
    .transform((list) => all.filter((privilege) => (list as Privilege<Kind>[]).includes(privilege)));
}

const persona = z.strictObject({
  /** What people call it: the manifest's and the report's name. */
  name: name(VAULT_LOWER_NAME).refine(
    (value) => value !== "constructor",
    "a name other than constructor, which the tree of constructs has already",
  ),
  /** The Postgres role that holds the privileges; Vault's database role has the same name. */
  groupRole: name(POSTGRES_ROLE).refine(
    (value) => isName(VAULT_NAME, value),
    `${VAULT_NAME.allowed}, as it names a role of Vault's too`,
  ),
  /** The AppRole and its policy. */
  appRole: name(VAULT_POLICY_NAME),
  /** Its sessions act as the schema's owner, so that what it creates belongs to the owner from the start. */
  actsAsOwner: boolean.default(false),
  privileges: z.strictObject({
    database: privileges("database"),
    schema: privileges("schema"),
    tables: privileges("tables"),
    sequences: privileges("sequences"),
    functions: privileges("functions"),
  }),
  lease: z.strictObject({ defaultTtl: ttl, maxTtl: ttl }),
  /** How many sessions each of its leased logins may have at a time. */
  connectionLimit: integer(1, 10_000).default(20),
  token: z.strictObject({ ttl, maxTtl: ttl, boundCidrs }),
  /** Says that a lease is meant to end early, with the token that took it. */
  leaseEndsWithToken: boolean.default(false),
  secretId: z.strictObject({ ttl, uses: integer(1, 1_000_000), boundCidrs }),
});

/** A login that is not leased but kept, and given a new password by Vault again and again. */
const staticRole = z.strictObject({
  /** Vault's name for it. */
  name: name(VAULT_NAME),
  /** The login in PostgreSQL, a member of the persona's group role. */
  login: name(POSTGRES_ROLE),
  /** Whose privileges it has, and whose AppRole reads its password. */
  persona: z.string({ error: "the name of a persona of this database" }),
  rotationPeriod: duration("3650d"),
});

const workload = z.discriminatedUnion(
  "kind",
  [
    /** The users example: one persona creates the table, one fills it, one compares. */
    z.strictObject({ kind: z.literal("users"), admin: z.string(), writer: z.string(), reader: z.string() }),
    /** An application's connection pool that renews its lease and takes the next one before the maximum. */
    z.strictObject({ kind: z.literal("pool"), reader: z.string() }),
    /** Leases listed, renewed, revoked one by one and by prefix. */
    z.strictObject({ kind: z.literal("leases"), reader: z.string() }),
    /** Secret ids used as often as they may be, and a static role read and rotated. */
    z.strictObject({ kind: z.literal("approle"), reader: z.string() }),
  ],
  { error: 'one of the kinds "users", "pool", "leases", "approle", with its personas' },
);

const database = z.strictObject({
  /** Made by the stack, unless it is the one that its server has from the start. */
  name: name(POSTGRES_DATABASE),
  /** @default - the first server */
  server: z.string().optional(),
  schema: name(POSTGRES_IDENTIFIER)
    .refine(
      (value) => value !== "public",
      "a schema other than public, on which PUBLIC has privileges that nobody declared",
    )
    .refine(
      (value) => value !== "information_schema",
      "a schema other than information_schema, which is PostgreSQL's own",
    ),
  owner: name(POSTGRES_ROLE),
  /** Vault's own login: creates and drops the leased roles. */
  manager: z.strictObject({
    name: name(POSTGRES_ROLE),
    /** Raised by one, it makes deploy set the password anew, in Postgres and in Vault. */
    passwordVersion: integer(1, 1_000_000),
    /** Has Vault replace the password by one that it alone knows, after the first deploy. */
    rotateRoot: boolean.default(false),
  }),
  vault: z.strictObject({ mount: name(VAULT_MOUNT_PATH), connection: name(VAULT_NAME) }),
  personas: z.array(persona, { error: "a list of personas" }).min(1, "at least one persona"),
  staticRoles: z.array(staticRole, { error: "a list of static roles" }).default([]),
  /** What the verifier does with the personas' logins beside the matrix. */
  workload: workload.optional(),
});

/** A PostgreSQL server. */
const server = z.strictObject({
  /** What Terraform's variables of it start with, and its name on the containers' network. */
  name: name(SERVER_NAME),
  /** The bootstrap's login; its password comes from `TF_VAR_<name>_superuser_password`. */
  superuser: name(POSTGRES_ROLE),
  /** The database that is there from the start. */
  database: name(POSTGRES_DATABASE),
  /** @default - the server exists already; its address comes from variables */
  container: z.strictObject({ image, hostPort: port }).optional(),
  /** Reached with TLS alone, its certificate checked. */
  tls: boolean.default(false),
});

const vaultServer = z.strictObject({
  /** @default - the server exists already; its address comes from variables */
  container: z
    .strictObject({
      image,
      hostPort: port,
      mode: z.enum(["server", "dev"], { error: "one of server, dev" }).default("server"),
      storage: z.enum(["memory", "file"], { error: "one of memory, file" }).default("memory"),
      /** Locks its memory, which wants root, a writable root and the capability IPC_LOCK. */
      lockMemory: boolean.default(false),
    })
    .optional(),
  /** Reached with TLS, its certificate checked. */
  tls: boolean.default(false),
  /** How many unseal keys init makes, and how many of them unseal. */
  unsealKeys: z
    .strictObject({ shares: integer(1, 255), threshold: integer(1, 255) })
    .default({ shares: 1, threshold: 1 }),
  authMount: name(VAULT_AUTH_PATH),
  /** What AppRoles and policies of this environment start with: the operator may manage these and no others. */
  namePrefix: name(VAULT_NAME_PREFIX),
  /** @default - `leasehold-<environment>-operator` */
  operatorPolicy: name(VAULT_POLICY_NAME).optional(),
});

/** Fields, and arguments of Terraform's backends, that hold a secret or where somebody could take one to belong. */
const SECRET =
  /passw|secret(?!_suffix)|token|unseal|credential|(access|account|client|customer|private)_key|(?<!kms_)encryption_key|http_auth/i;
/** Before the host of an address, or among libpq's parameters. */
const CREDENTIALS = /:\/\/[^/?#\s]*@|\b(ssl)?password\s*=/i;
/** In the query of an address, which a percent sign spells as well. */
const SIGNATURE = /^(.*auth.*|.*signature|sig|sas|jwt|pat|pwd|code|.*api_?-?key)$/i;

/** Whether a text is an address, or libpq's parameters, with something that lets somebody in. */
function holdsCredentials(text: string): boolean {
  const [, query = ""] = /\?([^#]*)/.exec(text) ?? [];
  const names = [...new URLSearchParams(query.replaceAll(";", "&")).keys()];
  return CREDENTIALS.test(text) || names.some((name) => SECRET.test(name) || SIGNATURE.test(name));
}

/** Where Terraform keeps its state: a backend of its own, with its arguments, none of them a secret. */
const backend = z.strictObject({
  type: z
    .string({ error: "a Terraform backend" })
    .regex(/^[a-z][a-z0-9]*$/, "a Terraform backend, such as pg or s3"),
  arguments: z
    .record(
      z.string().regex(/^[a-z][a-z0-9_]*$/),
      z.union([z.string(), z.number(), z.boolean()], { error: "a text, a number, true or false" }),
      { error: "arguments by name, of small letters, digits and _" },
    )
    .refine(
      (values) =>
        !Object.entries(values).some(
          ([key, value]) =>
            (SECRET.test(key) && !/_(files?|path)$/.test(key)) || holdsCredentials(String(value)),
        ),
      "no secret, which is never written in a config file; Terraform takes a backend's from the environment, such as PG_CONN_STR",
    )
    .refine(
      (values) => Object.values(values).some((value) => String(value).includes("{stack}")),
      "an argument that contains {stack}, such as a key or schema_name, since each stack has a state of its own",
    ),
});

/** What the verifier finds and somebody means: the finding's id as it is printed, and why. */
const accepted = z.strictObject({
  id: z.string({ error: "the id of a finding" }).min(1, "the id of a finding, as verify prints it"),
  reason: z.string({ error: "a reason" }).refine((text) => text.trim() !== "", "a reason, in words"),
});

/** An environment as a file in config/ writes it, with every bound. */
export const environmentSchema = z
  .strictObject({
    name: name(VAULT_LOWER_NAME),
    servers: z
      .array(server, { error: "a list of PostgreSQL servers" })
      .min(1, { error: "at least one server", abort: true }),
    vault: vaultServer,
    /** @default - local files */
    backend: backend.optional(),
    databases: z.array(database, { error: "a list of databases" }).min(1, "at least one database"),
    /** Declares the probe roles with which the verifier tests. */
    verification: boolean,
    accepted: z
      .array(accepted, { error: "a list of accepted findings, each with its id and a reason" })
      .default([]),
  })
  .superRefine((environment, context) => {
    const check = (holds: boolean, path: PropertyKey[], input: unknown, message: string) => {
      if (!holds) context.addIssue({ code: "custom", path, input, message });
    };
    const seen = new Map<string, string>();
    const unique = (scope: string, value: string, path: PropertyKey[]): boolean => {
      const key = `${scope}\0${value}`;
      const first = seen.get(key);
      check(first === undefined, path, value, `each ${scope} once (it is also at ${first ?? ""})`);
      if (first === undefined) seen.set(key, pathText(path));
      return first === undefined;
    };
    const { servers, vault } = environment;
    if (vault.container) unique("port", String(vault.container.hostPort), ["vault", "container", "hostPort"]);
    servers.forEach((server, i) => {
      const here = (...path: PropertyKey[]) => ["servers", i, ...path];
      unique("server", server.name, here("name"));
      unique(`Postgres role of ${server.name}`, server.superuser, here("superuser"));
      if (server.container) unique("port", String(server.container.hostPort), here("container", "hostPort"));
      check(
        (server.container === undefined) === (vault.container === undefined),
        here("container"),
        server.container,
        "a container for each server and for Vault, or for none of them",
      );
      check(
        !(server.container && server.tls),
        here("tls"),
        server.tls,
        "false, since containers are reached on this machine alone",
      );
    });
    if (vault.container?.mode === "dev") {
      const { storage, lockMemory } = vault.container;
      const here = ["vault", "container"];
      check(storage === "memory", [...here, "storage"], storage, "memory in dev mode");
      check(!lockMemory, [...here, "lockMemory"], lockMemory, "false in dev mode, which never locks");
    }
    check(
      !(vault.container && vault.tls),
      ["vault", "tls"],
      vault.tls,
      "false, since containers are reached on this machine alone",
    );
    check(
      vault.unsealKeys.threshold <= vault.unsealKeys.shares &&
        (vault.unsealKeys.threshold > 1 || vault.unsealKeys.shares === 1),
      ["vault", "unsealKeys", "threshold"],
      vault.unsealKeys.threshold,
      vault.unsealKeys.shares === 1
        ? "1, as there is one share"
        : `from 2 to the number of shares, ${String(vault.unsealKeys.shares)}`,
    );
    const trusted = Object.values(trustPolicyNames(environment));
    check(
      isName(VAULT_NAME, trustPolicyNames(environment).deliverer) ||
        !isName(VAULT_LOWER_NAME, environment.name),
      ["name"],
      environment.name,
      `a name that leaves room for the policy ${trustPolicyNames(environment).deliverer}, at most ${String(VAULT_NAME.maxBytes)} bytes`,
    );
    check(
      new Set(trusted).size === trusted.length,
      ["vault", "operatorPolicy"],
      vault.operatorPolicy,
      `another policy than the stack's own, ${trusted.slice(1).join(", ")}`,
    );
    const [who, policy] =
      Object.entries(trustPolicyNames(environment)).find(([, name]) => name.startsWith(vault.namePrefix)) ??
      [];
    check(
      policy === undefined,
      ["vault", "namePrefix"],
      vault.namePrefix,
      `a prefix that the ${who ?? ""}'s policy, ${policy ?? ""}, does not start with, since the operator may write what does`,
    );

    environment.accepted.forEach(({ id }, i) => unique("accepted finding", id, ["accepted", i, "id"]));

    environment.databases.forEach((database, d) => {
      const at = (...path: PropertyKey[]) => ["databases", d, ...path];
      const server = database.server ?? servers[0]!.name;
      const { mount } = database.vault;
      // Roles are global to a server.
      const role = `Postgres role of ${server}`;
      check(
        servers.some(({ name }) => name === server),
        at("server"),
        server,
        `one of ${servers.map(({ name }) => name).join(", ")}`,
      );
      unique("database", database.name, at("name"));
      check(
        database.name !== "postgres" || servers.find(({ name }) => name === server)?.database === "postgres",
        at("name"),
        database.name,
        "a database other than postgres, which each server has from the start, unless it is its server's database",
      );
      const onServer = environment.databases.filter((other) => (other.server ?? servers[0]!.name) === server);
      const superuser = servers.find(({ name }) => name === server)?.superuser;
      check(
        ![superuser, ...onServer.map(({ manager }) => manager.name)].includes(database.schema),
        at("schema"),
        database.schema,
        `a schema that is not called like the superuser or Vault's login, whose sessions would look there first ("$user")`,
      );
      unique(role, database.owner, at("owner"));
      if (unique(role, database.manager.name, at("manager", "name")))
        unique("password variable", managerPasswordVariable(environment, database), at("manager", "name"));
      unique("connection", `${database.vault.mount}/${database.vault.connection}`, at("vault", "connection"));
      check(
        mount !== environment.vault.authMount,
        at("vault", "mount"),
        mount,
        "another path than vault.authMount",
      );
      const above = environment.databases.find(({ vault }) => mount.startsWith(`${vault.mount}/`));
      check(
        above === undefined,
        at("vault", "mount"),
        mount,
        `a path that is not below another mount, ${above?.vault.mount ?? ""}`,
      );
      if (environment.verification) {
        for (const probe of Object.values(probeRoleNames(database))) unique(role, probe, at("name"));
        for (const probe of Object.values(probeDatabaseRoles(environment, database)))
          unique(`database role of ${mount}`, probe, at("name"));
        const longest = probeRoleNames(database).owner;
        check(
          isName(POSTGRES_ROLE, longest) || !isName(POSTGRES_IDENTIFIER, database.name),
          at("name"),
          database.name,
          `a name that leaves room for the probe role ${longest}, at most 63 bytes`,
        );
        const { owner: probe } = probeDatabaseRoles(environment, database);
        check(
          isName(VAULT_NAME, probe),
          at("name"),
          database.name,
          `a name that does not end with -, since Vault's role ${probe} ends with it`,
        );
      }

      database.personas.forEach((persona, p) => {
        const here = (...path: PropertyKey[]) => at("personas", p, ...path);
        const { lease, token, secretId } = persona;
        unique(`persona of ${database.name}`, persona.name, here("name"));
        if (unique(role, persona.groupRole, here("groupRole")))
          unique(`database role of ${mount}`, persona.groupRole, here("groupRole"));
        unique("AppRole", persona.appRole, here("appRole"));
        const { namePrefix } = environment.vault;
        check(
          persona.appRole.startsWith(namePrefix),
          here("appRole"),
          persona.appRole,
          `a name that starts with vault.namePrefix, ${namePrefix}`,
        );
        check(
          !lease.maxTtl.isShorterThan(lease.defaultTtl),
          here("lease", "maxTtl"),
          lease.maxTtl.toString(),
          `at least lease.defaultTtl, ${lease.defaultTtl.toString()}`,
        );
        check(
          !token.maxTtl.isShorterThan(token.ttl),
          here("token", "maxTtl"),
          token.maxTtl.toString(),
          `at least token.ttl, ${token.ttl.toString()}`,
        );
        check(
          persona.leaseEndsWithToken || !token.maxTtl.isShorterThan(lease.defaultTtl),
          here("token", "maxTtl"),
          token.maxTtl.toString(),
          `at least lease.defaultTtl, ${lease.defaultTtl.toString()}, since a lease ends with its token; or leaseEndsWithToken: true, to say that this is meant`,
        );
        check(
          !secretId.ttl.isShorterThan(Duration.minutes(1)),
          here("secretId", "ttl"),
          secretId.ttl.toString(),
          "at least 1m, the time to deliver it",
        );

        const held = persona.privileges;
        check(
          held.database.includes("CONNECT"),
          here("privileges", "database"),
          held.database,
          "a list with CONNECT, without which no lease can log in",
        );
        const objects = [...held.tables, ...held.sequences, ...held.functions];
        check(
          objects.length === 0 || held.schema.includes("USAGE"),
          here("privileges", "schema"),
          held.schema,
          "a list with USAGE, without which no object of the schema can be reached",
        );
        if (persona.actsAsOwner) {
          for (const kind of Object.keys(OBJECT_KINDS) as ObjectKind[]) {
            const missing = Privileges.OWNER[kind].filter(
              (privilege) => !(held[kind] as readonly string[]).includes(privilege),
            );
            check(
              missing.length === 0,
              here("privileges", kind),
              held[kind],
              `a list with ${missing.join(", ")} as well, which a persona that acts as the owner has in any case`,
            );
          }
        }
      });

      const owners = database.personas.filter((persona) => persona.actsAsOwner);
      const temporary = owners.filter((persona) => persona.privileges.database.includes("TEMPORARY"));
      check(
        temporary.length === 0 || temporary.length === owners.length,
        at("personas"),
        temporary.map((persona) => persona.name),
        "TEMPORARY declared by all personas that act as the owner or by none, since they share the owner's",
      );
      database.staticRoles.forEach(({ name, login, persona, rotationPeriod }, i) => {
        const here = (field: string) => at("staticRoles", i, field);
        unique(`database role of ${mount}`, name, here("name"));
        unique(role, login, here("login"));
        check(
          database.personas.some((candidate) => candidate.name === persona),
          here("persona"),
          persona,
          "the name of a persona of this database",
        );
        check(
          !rotationPeriod.isShorterThan(Duration.seconds(5)),
          here("rotationPeriod"),
          rotationPeriod.toString(),
          "at least 5s, Vault's shortest",
        );
      });
      const parts: Partial<Record<"admin" | "writer" | "reader", string>> = database.workload ?? {};
      for (const part of ["admin", "writer", "reader"] as const) {
        const wanted = parts[part];
        const found = database.personas.some(
          (persona) => persona.name === wanted && persona.actsAsOwner === (part === "admin"),
        );
        check(
          wanted === undefined || found,
          at("workload", part),
          wanted,
          `the name of a persona of this database that ${part === "admin" ? "acts" : "does not act"} as the owner`,
        );
      }
    });
  });

/** What a file in config/ exports. */
export type EnvironmentInput = z.input<typeof environmentSchema>;
export type Environment = z.output<typeof environmentSchema>;
export type DatabaseConfig = Environment["databases"][number];
export type ServerConfig = Environment["servers"][number];

/** The server that a database is on. */
export function serverOf({ servers }: Environment, { server }: DatabaseConfig): ServerConfig {
  return servers.find(({ name }) => name === server) ?? servers[0]!;
}

function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((part, i) => (typeof part === "number" ? `[${String(part)}]` : `${i ? "." : ""}${String(part)}`))
    .join("");
}

/** Thrown for a config that can't be used: one line an error, never more. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  constructor(readonly lines: readonly string[]) {
    super(lines.join("\n"));
  }
}

/** @throws ConfigError with a line for each error: the field's path, the value received, what is allowed. */
export function parseEnvironment(file: string, input: unknown): Environment {
  const result = environmentSchema.safeParse(input, { reportInput: true });
  if (result.success) return result.data;
  throw new ConfigError(
    result.error.issues.flatMap((issue) => {
      if (issue.code === "unrecognized_keys") {
        return issue.keys.map((key) =>
          line(
            [...issue.path, key],
            PASSWORD.test(key)
              ? "a secret is never written in a config file; set TF_VAR_<server>_superuser_password or TF_VAR_<manager>_manager_password"
              : "no such field",
          ),
        );
      }
      const value = issue.input === undefined ? "nothing" : shown(issue.input, issue.path);
      return [line(issue.path, `received ${value}, allowed: ${issue.message}`)];
    }),
  );

  function line(path: readonly PropertyKey[], text: string): string {
    return printable(`${file}: ${pathText(path) || "(whole file)"}: ${text}`);
  }
}

const PASSWORD = /passw|secret$/i;
const DEPTH = 4;

/** On one line, cut where it gets long, without what could be a secret. */
function shown(value: unknown, path: readonly PropertyKey[]): string {
  // Of fields that are called like a secret, those of numbers are the schema's own.
  const told = typeof value === "number" ? value : disclosed(value, SECRET.test(String(path.at(-1))));
  const text = inspect(told, { depth: DEPTH, breakLength: Infinity, compact: true });
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Lists and plain objects with what is in them; of other objects, and of functions, their kind. */
function disclosed(value: unknown, isSecret: boolean, depth = DEPTH): unknown {
  if (typeof value !== "function" && (typeof value !== "object" || value === null))
    return isSecret || holdsCredentials(String(value)) ? "(not shown)" : value;
  if (depth < 0) return value;
  if (Array.isArray(value)) return value.map((item) => disclosed(item, isSecret, depth - 1));
  if (Object.getPrototypeOf(value) !== Object.prototype)
    return { [inspect.custom]: () => Object.prototype.toString.call(value) };
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      disclosed(item, isSecret || SECRET.test(key), depth - 1),
    ]),
  );
}
