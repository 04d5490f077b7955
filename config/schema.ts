import { inspect } from "node:util";
import { z } from "zod";
import { Duration } from "../constructs/duration";
import {
  isName,
  POSTGRES_IDENTIFIER,
  POSTGRES_ROLE,
  VAULT_MOUNT_PATH,
  VAULT_NAME,
  type NameRule,
} from "../constructs/names";
import { PRIVILEGES, Privileges, type ObjectKind } from "../constructs/postgres/privileges";

const name = (rule: NameRule) =>
  z.string({ error: rule.allowed }).refine((value) => isName(rule, value), rule.allowed);

const duration = z.string({ error: Duration.FORMAT }).transform((text, context) => {
  const parsed = Duration.parse(text);
  if (parsed) return parsed;
  context.addIssue({ code: "custom", message: Duration.FORMAT, input: text });
  return z.NEVER;
});

const integer = (min: number, max: number) => {
  const error = `a whole number from ${String(min)} to ${String(max)}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};

const port = integer(1, 65_535);

const boolean = z.boolean({ error: "true or false" });

const image = z
  .string({ error: "an image name with an exact tag" })
  .regex(
    /^[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*$/,
    'an image name with an exact tag, such as "postgres:18.4"',
  )
  .refine(
    (value) => !value.endsWith(":latest"),
    "an exact tag; latest changes under a plan that shows no change",
  );

/** Once each, in the declared order of the kind, so that the spelling in a config file never shows in a diff. */
function privileges<Kind extends ObjectKind>(kind: Kind) {
  type Privilege = (typeof PRIVILEGES)[Kind][number];
  const all = PRIVILEGES[kind] as readonly Privilege[];
  const allowed = `each one of ${all.join(", ")}`;
  return z
    .array(z.enum(all, { error: `one of ${all.join(", ")}` }), { error: `a list, ${allowed}` })
    .readonly()
    .refine((list) => new Set(list).size === list.length, "each privilege once")
    .transform((list) => all.filter((privilege) => (list as Privilege[]).includes(privilege)));
}

const persona = z.strictObject({
  /** What people call it: the manifest's and the report's name. */
  name: name(VAULT_NAME),
  /** The Postgres role that holds the privileges; Vault's database role has the same name. */
  groupRole: name(POSTGRES_ROLE),
  /** The AppRole and its policy. */
  appRole: name(VAULT_NAME),
  /** Its sessions act as the schema's owner, so that what it creates belongs to the owner from the start. */
  actsAsOwner: boolean.default(false),
  privileges: z.strictObject({
    database: privileges("database"),
    schema: privileges("schema"),
    tables: privileges("tables"),
    sequences: privileges("sequences"),
    functions: privileges("functions"),
  }),
  lease: z.strictObject({ defaultTtl: duration, maxTtl: duration }),
  token: z.strictObject({ ttl: duration, maxTtl: duration }),
  /** Says that a lease is meant to end early, with the token that took it. */
  leaseEndsWithToken: boolean.default(false),
  secretId: z.strictObject({ ttl: duration, uses: integer(1, 1_000_000) }),
});

const database = z.strictObject({
  name: name(POSTGRES_IDENTIFIER),
  schema: name(POSTGRES_IDENTIFIER).refine(
    (value) => value !== "public",
    "a schema other than public, on which PUBLIC has privileges that nobody declared",
  ),
  owner: name(POSTGRES_ROLE),
  /** Vault's own login: creates and drops the leased roles. */
  manager: z.strictObject({
    name: name(POSTGRES_ROLE),
    /** Raised by one, it makes deploy set the password anew, in Postgres and in Vault. */
    passwordVersion: integer(1, 1_000_000),
  }),
  vault: z.strictObject({ mount: name(VAULT_MOUNT_PATH), connection: name(VAULT_NAME) }),
  personas: z.array(persona, { error: "a list of personas" }).min(1, "at least one persona"),
  /** The users example, run by these personas: one creates the table, one fills it, one compares. */
  workload: z
    .strictObject({
      kind: z.literal("users", { error: '"users"' }),
      admin: z.string(),
      writer: z.string(),
      reader: z.string(),
    })
    .optional(),
});

/** An environment as a file in config/ writes it, with every bound. */
export const environmentSchema = z
  .strictObject({
    name: name(VAULT_NAME),
    platform: z.strictObject({
      postgres: z.strictObject({ image, hostPort: port }),
      vault: z.strictObject({ image, hostPort: port }),
    }),
    /** The bootstrap's login; its password comes from `TF_VAR_postgres_superuser_password`. */
    superuser: name(POSTGRES_ROLE),
    vault: z.strictObject({
      authMount: name(VAULT_MOUNT_PATH),
      /** What AppRoles and policies of this environment start with: the operator may manage these and no others. */
      namePrefix: name(VAULT_NAME).refine(
        (value) => value.endsWith("-"),
        'a prefix that ends with -, such as "db-"',
      ),
    }),
    databases: z.array(database, { error: "a list of databases" }).min(1, "at least one database"),
    /** Declares the probe roles with which the verifier tests. */
    verification: boolean,
  })
  .superRefine((environment, context) => {
    const check = (holds: boolean, path: PropertyKey[], input: unknown, message: string) => {
      if (!holds) context.addIssue({ code: "custom", path, input, message });
    };
    const seen = new Map<string, string>();
    const unique = (scope: string, value: string, path: PropertyKey[]) => {
      const key = `${scope}\0${value}`;
      const first = seen.get(key);
      check(first === undefined, path, value, `each ${scope} once (it is also at ${first ?? ""})`);
      if (first === undefined) seen.set(key, pathText(path));
    };
    const { hostPort } = environment.platform.vault;
    check(
      hostPort !== environment.platform.postgres.hostPort,
      ["platform", "vault", "hostPort"],
      hostPort,
      "another port than platform.postgres.hostPort",
    );
    unique("Postgres role", environment.superuser, ["superuser"]);

    environment.databases.forEach((database, d) => {
      const at = (...path: PropertyKey[]) => ["databases", d, ...path];
      unique("database", database.name, at("name"));
      unique("Postgres role", database.owner, at("owner"));
      unique("Postgres role", database.manager.name, at("manager", "name"));
      unique("connection", `${database.vault.mount}/${database.vault.connection}`, at("vault", "connection"));
      const { mount } = database.vault;
      check(
        mount !== environment.vault.authMount,
        at("vault", "mount"),
        mount,
        "another path than vault.authMount",
      );
      if (environment.verification) {
        for (const role of Object.values(probeRoleNames(database))) unique("Postgres role", role, at("name"));
      }

      database.personas.forEach((persona, p) => {
        const here = (...path: PropertyKey[]) => at("personas", p, ...path);
        const { lease, token, secretId } = persona;
        unique(`persona of ${database.name}`, persona.name, here("name"));
        unique("Postgres role", persona.groupRole, here("groupRole"));
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
          for (const kind of Object.keys(PRIVILEGES) as ObjectKind[]) {
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
      for (const part of ["admin", "writer", "reader"] as const) {
        const wanted = database.workload?.[part];
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
export type PersonaConfig = DatabaseConfig["personas"][number];

/** The group roles of the verifier's probes; roles are global to a server, so the database's name is part of theirs. */
export function probeRoleNames(database: { readonly name: string }): { owner: string; short: string } {
  return { owner: `${database.name}_verify_owner`, short: `${database.name}_verify_short` };
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
              ? `a secret is never written in a config file; set TF_VAR_postgres_superuser_password or TF_VAR_vault_manager_password`
              : "no such field",
          ),
        );
      }
      const value = issue.input === undefined ? "nothing" : shown(issue.input);
      return [line(issue.path, `received ${value}, allowed: ${issue.message}`)];
    }),
  );

  function line(path: readonly PropertyKey[], text: string): string {
    return `${file}: ${pathText(path) || "(whole file)"}: ${text}`;
  }
}

const PASSWORD = /passw|secret$/i;

/** On one line, cut where it gets long. */
function shown(value: unknown): string {
  const text = inspect(value, { depth: 4, breakLength: Infinity, compact: true });
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
