import { z } from "zod";
import { Duration } from "../../constructs/duration";
import {
  POSTGRES_DATABASE,
  POSTGRES_IDENTIFIER,
  POSTGRES_ROLE,
  VAULT_MOUNT_PATH,
  VAULT_NAME,
} from "../../constructs/names";
import { PASSWORD_AUTHENTICATION, TARGET_SESSION_ATTRS } from "../../constructs/vault/connection-options";
import {
  boolean,
  duration,
  integer,
  list,
  name,
  object,
  oneOf,
  text,
  withRules,
  type Breach,
} from "./fields";
import { persona } from "./persona";

const PERSONA = "the name of a persona of this database";
const reference = text(PERSONA);
const admin = reference.describe("A persona that acts as the owner.");
const writer = reference.describe("A persona that does not act as the owner.");
const reader = writer;

const staticRole = object("a static role", {
  name: name(VAULT_NAME).describe("Vault's name for it."),
  login: name(POSTGRES_ROLE).describe("The login in PostgreSQL, a member of the persona's group role."),
  persona: reference.describe("Whose privileges it has, and whose AppRole reads its password."),
  rotationPeriod: duration("3650d")
    .refine(
      (period) => !period.isShorterThan(Duration.seconds(5)),
      "at least 5s, the shortest that Vault allows",
    )
    .describe("How often Vault sets a new password, at least `5s`."),
}).describe("A login that is not leased but kept, and given a new password by Vault again and again.");

const KINDS = 'one of the kinds "users", "pool", "leases", "approle", with its personas';
const workload = z.discriminatedUnion(
  "kind",
  [
    object(KINDS, { kind: z.literal("users"), admin, writer, reader }).describe(
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

const fields = object("a database", {
  name: name(POSTGRES_DATABASE).describe(
    "Its name. The stack makes it, unless it is the one that its server has from the start.",
  ),
  server: text("the name of one of the servers")
    .optional()
    .meta({ description: "The server that it is on, by name.", otherwise: "the first server" }),
  schema: name(POSTGRES_IDENTIFIER)
    .refine(
      (value) => value !== "public",
      "a schema other than public, on which PUBLIC has privileges that nobody declared",
    )
    .refine(
      (value) => value !== "information_schema",
      "a schema other than information_schema, which is PostgreSQL's own",
    )
    .describe(
      "The schema on whose objects the personas have privileges, other than public and information_schema.",
    ),
  owner: name(POSTGRES_ROLE).describe("The role that owns the schema and whatever is in it."),
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
    mount: name(VAULT_MOUNT_PATH).describe("Where the database secrets engine is mounted."),
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

function* workloadHasItsPersonas({ personas, workload }: Database): Iterable<Breach> {
  if (!workload) return;
  const { kind: _, ...parts } = workload;
  for (const [part, wanted] of Object.entries(parts)) {
    const isAdmin = part === "admin";
    if (!personas.some(({ name, actsAsOwner }) => name === wanted && actsAsOwner === isAdmin))
      yield {
        path: ["workload", part],
        allowed: `${PERSONA} that ${isAdmin ? "acts" : "does not act"} as the owner`,
      };
  }
}

export const database = withRules(fields, [
  idleAreAmongTheOpen,
  ownersShareTemporary,
  staticRolesHaveAPersona,
  workloadHasItsPersonas,
]).describe("A schema in a database, and who leases logins for it.");
