import { z } from "zod";
import { Duration } from "../../constructs/duration";
import {
  POSTGRES_DATABASE,
  POSTGRES_IDENTIFIER,
  POSTGRES_ROLE,
  VAULT_MOUNT_PATH,
  VAULT_NAME,
} from "../../constructs/names";
import {
  PASSWORD_AUTHENTICATION,
  SSL_MODES,
  TARGET_SESSION_ATTRS,
  USERNAME_TEMPLATE,
} from "../../constructs/vault/connection-options";
import {
  boolean,
  duration,
  integer,
  list,
  mountPath,
  name,
  object,
  oneOf,
  privileges,
  spelledAt,
  text,
  withRules,
  type Breach,
} from "./fields";
import { alsoOwners, persona } from "./persona";

const PERSONA = "the name of a persona of this database";
const reference = text(PERSONA);
const admin = reference.describe("A persona that acts as the owner.");
const writer = reference.describe("A persona that does not act as the owner.");
const reader = writer;

/** A role: one that exists is named by an object. */
const roleOrExisting = (what: string) =>
  z.union([name(POSTGRES_ROLE), object(what, { name: name(POSTGRES_ROLE), exists: z.literal(true) })], {
    error: `${POSTGRES_ROLE.allowed}; or { name, exists: true }, of a role that exists already`,
  });

type RoleOrExisting = z.output<ReturnType<typeof roleOrExisting>>;

/** Both spellings of a role. */
export function roleOf(spelled: RoleOrExisting): { readonly name: string; readonly exists: boolean } {
  return typeof spelled === "string" ? { name: spelled, exists: false } : spelled;
}

const CRON = 'a schedule of five fields as cron has them, such as "0 3 * * SAT", in UTC';

const staticRole = object("a static role", {
  name: name(VAULT_NAME).describe("Vault's name for it."),
  login: roleOrExisting("a login that exists").meta({
    allowed: `${POSTGRES_ROLE.allowed}; or \`{ name, exists: true }\`: a login that is there already, and is neither altered nor dropped but for its password, which Vault sets`,
    description: "The login in PostgreSQL, a member of the persona's group role.",
  }),
  persona: reference.describe("Whose privileges it has, and whose AppRole reads its password."),
  rotationPeriod: duration("3650d")
    .refine(
      (period) => !period.isShorterThan(Duration.seconds(5)),
      "at least 5s, the shortest that Vault allows",
    )
    .optional()
    .meta({
      description: "How often Vault sets a new password, at least `5s`.",
      otherwise: "`rotationSchedule`",
    }),
  rotationSchedule: text(CRON)
    .regex(/^[\d*,/A-Za-z?-]+( [\d*,/A-Za-z?-]+){4}$/, CRON)
    .optional()
    .meta({
      description: "When Vault sets a new password, in place of `rotationPeriod`; OpenBao has no schedules.",
      otherwise: "`rotationPeriod`",
    }),
  rotationWindow: duration("3650d")
    .refine(
      (window) => !window.isShorterThan(Duration.hours(1)),
      "at least 1h, the shortest that Vault allows",
    )
    .optional()
    .meta({
      description: "How long after each moment of `rotationSchedule` Vault may still do it, at least `1h`.",
      otherwise: "until it is done",
    }),
  skipImportRotation: boolean
    .default(false)
    .describe(
      "A login that exists keeps its password until the first rotation that is due, in place of a new one at once. Vault Enterprise 1.18 and later has it.",
    ),
}).describe("A login that is not leased but kept, and given a new password by Vault again and again.");

const usersTable = name(POSTGRES_IDENTIFIER).optional().meta({
  description:
    "A table in the first schema that is made where it is missing, emptied by each verification, and kept.",
  otherwise: "one of the verifier's own, which is gone afterwards",
});

const KINDS = 'one of the kinds "users", "pool", "leases", "approle", with its personas';
const workload = z.discriminatedUnion(
  "kind",
  [
    object(KINDS, { kind: z.literal("users"), admin, writer, reader, table: usersTable }).describe(
      "The users example: one persona creates the table, one fills it, one compares.",
    ),
    object(KINDS, { kind: z.literal("pool"), reader }).describe(
      "An application's connection pool that renews its lease, and takes the next one before the maximum.",
    ),
    object(KINDS, { kind: z.literal("leases"), reader }).describe(
      "Leases listed, renewed, revoked one by one and by prefix.",
    ),
    object(KINDS, { kind: z.literal("approle"), reader }).describe(
      "Secret ids used as often as they may be, and a static role read and rotated.",
    ),
  ],
  { error: KINDS },
);

const schemaName = name(POSTGRES_IDENTIFIER).refine(
  (value) => value !== "information_schema",
  "a schema other than information_schema, which is PostgreSQL's own",
);

const owner = roleOrExisting("an owner that exists").meta({
  allowed: `${POSTGRES_ROLE.allowed}; or \`{ name, exists: true }\`: a role that is there already, may log in, and is never altered or dropped`,
});

const schema = object("a schema", {
  name: schemaName.describe(
    "Its name, other than information_schema. `public`, which each database has from the start, stays as it is, with the owner that it has.",
  ),
  owner: owner.describe(
    "The role that owns it and whatever is in it. In `public` it may create objects, where deploy makes it.",
  ),
  exists: boolean
    .default(false)
    .describe(
      "The schema is there already: it keeps the owner that it has, and PUBLIC its USAGE, and is never dropped. `public` is never dropped in any case.",
    ),
  creators: list("roles", name(POSTGRES_ROLE)).default([]).meta({
    allowed: "a list of roles that exist already",
    description:
      "Other roles that create objects in it: the personas' privileges cover those that they create later.",
    otherwise: "none",
  }),
}).describe("A schema, and whose objects are in it.");

const TEMPLATE =
  "a template such as v-shop-{{.RoleName | truncate 8}}-{{random 20}}-{{unix_time}}, with two parts of up to 8 letters in the middle";

const publicOr =
  '"take"; or an object of any of database, schema, functions, with the privileges that PUBLIC may keep there';
const publicPrivileges = z
  .union(
    [
      z.literal("take"),
      object("what PUBLIC may keep", {
        database: privileges("database").default([]),
        schema: privileges("schema").default([]),
        functions: privileges("functions").default([]),
      }),
    ],
    { error: publicOr },
  )
  .meta({ allowed: publicOr });

const fields = object("a database", {
  name: name(POSTGRES_DATABASE).describe(
    "Its name. The stack makes it, unless it exists or is the one that its server has from the start.",
  ),
  exists: boolean
    .default(false)
    .describe("The database is there already: it is never made, owned, altered or dropped."),
  server: text("the name of one of the servers")
    .optional()
    .meta({ description: "The server that it is on, by name.", otherwise: "the first server" }),
  schema: schemaName.optional().meta({
    description:
      "The schema on whose objects the personas have privileges: in place of `schemas`, where it is the only one.",
    otherwise: "`schemas`",
  }),
  owner: owner.optional().meta({
    description: "With `schema`: the role that owns it and whatever is in it.",
    otherwise: "`schemas`",
  }),
  schemas: list("schemas", schema).min(1, "at least one schema").optional().meta({
    description:
      "The schemas on whose objects the personas have privileges, in the order of the search path. A persona that acts as the owner acts as the first one's. Another one is added at the end: the first keeps its place.",
    otherwise: "the one of `schema` and `owner`",
  }),
  public: publicPrivileges.optional().meta({
    description:
      "What PUBLIC, and with it every login, has on the database, its schemas and their functions and procedures, later ones too. `take` revokes all of it. Otherwise nothing is revoked, and what is beyond the lists is a finding of `verify`.",
    otherwise: "`take`; with `exists` PUBLIC keeps what it has",
  }),
  manager: object("Vault's own login", {
    name: name(POSTGRES_ROLE).describe(
      "The login. Its password comes from `TF_VAR_<name>_manager_password`, with `_` for `-`; on a server other than the first from `TF_VAR_<server>_<name>_manager_password`.",
    ),
    passwordVersion: integer(1, 1_000_000).describe(
      "Raised by one, it makes `deploy` set the password anew, in PostgreSQL and in Vault.",
    ),
    rotateRoot: boolean
      .default(false)
      .describe("Has Vault replace the password by one that it alone knows, after the first deploy."),
  }).describe("Vault's own login, which creates and drops the leased ones."),
  vault: object("where the database is in Vault", {
    mount: mountPath(
      VAULT_MOUNT_PATH,
      "one that is mounted already, stays so, and in which others may have connections and roles",
    ).describe("Where the database secrets engine is mounted."),
    connection: name(VAULT_NAME).describe("The name of the connection."),
    maxOpenConnections: integer(1, 1000).optional().meta({
      description: "How many sessions Vault has open at most.",
      otherwise: "2",
    }),
    maxIdleConnections: integer(1, 1000).optional().meta({
      description: "How many of them it keeps open while it does nothing.",
      otherwise: "as many as it may have open",
    }),
    maxConnectionLifetime: duration("768h").optional().meta({
      description: "When Vault replaces a session by another.",
      otherwise: "never",
    }),
    connectTimeout: duration("1h").optional().meta({
      description: "How long Vault waits for a host to answer as it connects.",
      otherwise: "as long as the network lets it",
    }),
    targetSessionAttrs: oneOf(...TARGET_SESSION_ATTRS)
      .optional()
      .meta({
        description:
          "Which host Vault takes where `TF_VAR_vault_<server>_host` names several, such as `db1:5432,db2` (the last one's port is `TF_VAR_vault_<server>_port`).",
        otherwise: "the first that answers",
      }),
    passwordAuthentication: oneOf(...PASSWORD_AUTHENTICATION)
      .optional()
      .meta({
        description:
          "`password` sends the passwords of leases to PostgreSQL as they are, where they may be logged; for what takes no hash.",
        otherwise: "`scram-sha-256`: Vault hashes them",
      }),
    sslMode: oneOf(...SSL_MODES)
      .optional()
      .meta({
        description: "How much of the server's certificate Vault checks. Where the server's `tls` is.",
        otherwise: "`verify-full`: who signed it, and the host's name in it",
      }),
    usernameTemplate: text(TEMPLATE).regex(USERNAME_TEMPLATE, TEMPLATE).optional().meta({
      description:
        "The names of leased logins, which keep the form by which they are told: `v-`, two parts, the random letters, the time. A part is up to 8 letters, digits, `_` or `.`, or `{{.RoleName | truncate 8}}` or `{{.DisplayName | truncate 8}}`.",
      otherwise: "Vault's own: who asked, and the role",
    }),
    passwordPolicy: name(VAULT_NAME).optional().meta({
      description: "The password policy by which Vault makes the passwords, which exists already.",
      otherwise: "Vault's own: 20 letters, digits and dashes",
    }),
  }).describe("Where it is in Vault."),
  personas: list("personas", persona)
    .min(1, "at least one persona")
    .describe("Who leases logins here, with which privileges."),
  staticRoles: list("static roles", staticRole)
    .default([])
    .meta({ description: "Logins that are kept, with a password that Vault rotates.", otherwise: "none" }),
  workload: workload.optional().meta({
    description: "What the verifier does with the personas' logins beside the matrix.",
    otherwise: "nothing",
  }),
});

type Database = z.output<typeof fields>;

/** A schema of a database, in whichever way it is spelled. */
export interface SchemaConfig extends Omit<z.output<typeof schema>, "owner"> {
  /** The owner's name. */
  readonly owner: string;
  readonly ownerExists: boolean;
  /** Where its fields are, below the database. */
  readonly at: Readonly<Record<"name" | "owner" | "creators", readonly PropertyKey[]>>;
}

/** Both spellings: the list, and a single schema with its owner. */
export function schemasOf({ schema, owner, schemas }: Database): SchemaConfig[] {
  if (schemas)
    return schemas.map((each, i) => {
      const at = ["schemas", i];
      return {
        ...each,
        ...ownerOf(each.owner),
        at: {
          name: [...at, "name"],
          owner: [...at, ...spelledAt("owner", each.owner, "name")],
          creators: [...at, "creators"],
        },
      };
    });
  if (schema === undefined || owner === undefined) return [];
  const at = { name: ["schema"], owner: spelledAt("owner", owner, "name"), creators: [] };
  return [{ name: schema, ...ownerOf(owner), exists: false, creators: [], at }];
}

function ownerOf(spelled: RoleOrExisting): Pick<SchemaConfig, "owner" | "ownerExists"> {
  const { name, exists } = roleOf(spelled);
  return { owner: name, ownerExists: exists };
}

function* schemasAreSpelledOnce({ schema, owner, schemas }: Database): Iterable<Breach> {
  const other = schema !== undefined ? "schema" : "owner";
  if (schemas && (schema !== undefined || owner !== undefined))
    yield { path: [other], allowed: "no schema and owner beside schemas, which has them" };
  else if (!schemas && schema === undefined)
    yield { path: ["schema"], allowed: "a schema, or a list schemas" };
  else if (!schemas && owner === undefined)
    yield { path: ["owner"], allowed: `${POSTGRES_ROLE.allowed}: the schema's owner` };
}

/** Their sessions act as one role, which has to own what is in each schema. */
function* whoActsAsOwnerOwnsAll(database: Database): Iterable<Breach> {
  const acting = database.personas.find(({ actsAsOwner }) => actsAsOwner);
  if (!acting) return;
  const [first, ...others] = schemasOf(database);
  for (const { owner, at } of others)
    if (owner !== first!.owner)
      yield {
        path: at.owner,
        allowed: `${first!.owner}, the first schema's, as whom ${acting.name} acts in each of them`,
      };
  for (const { creators, at, owner } of schemasOf(database))
    if (creators.length > 0)
      yield {
        path: at.creators,
        allowed: `no creators, since ${acting.name} acts as ${owner}, who does not own what they create`,
      };
}

function* ownersExistOrNot(database: Database): Iterable<Breach> {
  const schemas = schemasOf(database);
  for (const { owner, ownerExists, at } of schemas)
    if (ownerExists !== schemas.find((other) => other.owner === owner)!.ownerExists)
      yield { path: at.owner, allowed: "an owner that is spelled in the same way for each of its schemas" };
}

/** One that is there already has on the database what it has. */
function* ownerDeclaresWhatItHas(database: Database): Iterable<Breach> {
  const [first] = schemasOf(database);
  for (const [p, { actsAsOwner, privileges }] of database.personas.entries())
    if (actsAsOwner && first && !first.ownerExists && !privileges.database.includes("CREATE"))
      yield { path: ["personas", p, "privileges", "database"], allowed: alsoOwners(["CREATE"]) };
}

function* privilegesAreInItsSchemas(database: Database): Iterable<Breach> {
  const names = schemasOf(database).map(({ name }) => name);
  for (const [p, { privileges }] of database.personas.entries())
    for (const name of Object.keys(privileges.schemas ?? {}))
      if (!names.includes(name))
        yield {
          path: ["personas", p, "privileges", "schemas", name],
          allowed: `privileges in a schema of this database: ${names.join(", ")}`,
        };
}

function* creatorsAreOthers(database: Database): Iterable<Breach> {
  for (const { owner, creators, at } of schemasOf(database))
    for (const [i, creator] of creators.entries())
      if (creator === owner || creators.indexOf(creator) < i)
        yield { path: [...at.creators, i], allowed: "roles other than the owner, each once" };
}

function* idleAreAmongTheOpen({ vault }: Database): Iterable<Breach> {
  const { maxOpenConnections = 2, maxIdleConnections = 1 } = vault;
  if (maxIdleConnections > maxOpenConnections)
    yield {
      path: ["vault", "maxIdleConnections"],
      allowed: `at most vault.maxOpenConnections, ${String(maxOpenConnections)}`,
    };
}

function* ownersShareTemporary({ personas }: Database): Iterable<Breach> {
  const owners = [...personas.entries()].filter(([, { actsAsOwner }]) => actsAsOwner);
  const declares = ([, { privileges }]: (typeof owners)[number]) => privileges.database.includes("TEMPORARY");
  const other = owners.find((owner) => declares(owner) !== declares(owners[0]!));
  if (other)
    yield {
      path: ["personas", other[0], "privileges", "database"],
      allowed: `TEMPORARY ${declares(other) ? "not " : ""}in it, as in that of ${owners[0]![1].name}, since personas that act as the owner share the owner's privileges`,
    };
}

function* staticRolesHaveAPersona({ personas, staticRoles }: Database): Iterable<Breach> {
  for (const [i, { persona }] of staticRoles.entries())
    if (!personas.some(({ name }) => name === persona))
      yield { path: ["staticRoles", i, "persona"], allowed: PERSONA };
}

function* staticRolesAreRotated({ staticRoles }: Database): Iterable<Breach> {
  for (const [i, { login, rotationPeriod, ...role }] of staticRoles.entries()) {
    const { rotationSchedule, rotationWindow, skipImportRotation } = role;
    const at = ["staticRoles", i];
    if ((rotationPeriod === undefined) === (rotationSchedule === undefined))
      yield { path: [...at, "rotationPeriod"], allowed: "either rotationPeriod or rotationSchedule" };
    if (rotationWindow && rotationSchedule === undefined)
      yield { path: [...at, "rotationWindow"], allowed: "none without rotationSchedule" };
    if (skipImportRotation && !roleOf(login).exists)
      yield {
        path: [...at, "skipImportRotation"],
        allowed: "false for a login that deploy makes, which has no password before",
      };
  }
}

function* workloadHasItsPersonas({ personas, workload }: Database): Iterable<Breach> {
  if (!workload) return;
  const { kind: _, ...parts } = workload;
  for (const [part, wanted] of Object.entries(parts)) {
    if (part === "table") continue;
    const isAdmin = part === "admin";
    if (!personas.some(({ name, actsAsOwner }) => name === wanted && actsAsOwner === isAdmin))
      yield {
        path: ["workload", part],
        allowed: `${PERSONA} that ${isAdmin ? "acts" : "does not act"} as the owner`,
      };
  }
}

export const database = withRules(fields, [
  schemasAreSpelledOnce,
  whoActsAsOwnerOwnsAll,
  ownersExistOrNot,
  creatorsAreOthers,
  privilegesAreInItsSchemas,
  ownerDeclaresWhatItHas,
  idleAreAmongTheOpen,
  ownersShareTemporary,
  staticRolesHaveAPersona,
  staticRolesAreRotated,
  workloadHasItsPersonas,
]).describe("Schemas of a database, and who leases logins for them.");
