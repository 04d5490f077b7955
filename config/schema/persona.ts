import { z } from "zod";
import { Duration } from "../../constructs/duration";
import {
  isName,
  POSTGRES_IDENTIFIER,
  POSTGRES_ROLE,
  VAULT_LOWER_NAME,
  VAULT_NAME,
  VAULT_POLICY_NAME,
} from "../../constructs/names";
import { SETTING, SETTING_VALUE } from "../../constructs/sql";
import { SchemaPrivileges } from "../../constructs/postgres/privileges";
import { maintainRoleOf } from "../../manifest/names";
import { DEFAULT_CONNECTION_LIMIT } from "../../manifest/schema";
import {
  boolean,
  boundCidrs,
  byName,
  either,
  integer,
  list,
  name,
  object,
  oneOf,
  privileges,
  text,
  ttl,
  withRules,
  type Breach,
} from "./fields";

const OF_OTHERS =
  'a path of an engine that is mounted already, such as "secret/data/app/*", outside of auth/, sys/, identity/ and cubbyhole/';

const pathGrant = object("a path", {
  path: text(OF_OTHERS)
    .regex(/^(?!(auth|sys|identity|cubbyhole)\/)[\w.-]+(?=\/)(\/([\w.@-]+|\+))*\/?\*?$/, OF_OTHERS)
    .describe("The path, with `+` for one segment and `*` for any ending."),
  capabilities: list("capabilities", oneOf("create", "read", "update", "patch", "delete", "list"))
    .min(1, "at least one capability")
    .refine((given) => new Set(given).size === given.length, "each capability once")
    .meta({
      allowed: "a list of any of create, read, update, patch, delete, list",
      description: "What may be done there.",
    }),
}).describe("A path in Vault, and what may be done there.");

const isList = (value: unknown) => Array.isArray(value);
const notEmpty = (given: object) => Object.keys(given).length > 0;

const columns = list("columns", name(POSTGRES_IDENTIFIER))
  .min(1, "at least one column")
  .refine((given) => new Set(given).size === given.length, "each column once");
const all = z.literal(true, { error: "true, since it is on the whole table" });
const allOrColumns = either(isList, columns, z.literal(true, { error: "true, or a list of columns" }));
const ALL_TABLES = privileges("tables");
const ofTable = z
  .strictObject(
    {
      ...{
        SELECT: allOrColumns.optional(),
        INSERT: allOrColumns.optional(),
        UPDATE: allOrColumns.optional(),
      },
      ...{ DELETE: all.optional(), TRUNCATE: all.optional() },
      ...{ REFERENCES: allOrColumns.optional(), TRIGGER: all.optional(), MAINTAIN: all.optional() },
    },
    { error: "a list of privileges, or an object of them, each with true or a list of columns" },
  )
  .refine(notEmpty, "at least one privilege");
const tablesByName = byName(
  "a list of privileges, or an object with a list of them for each table's name",
  POSTGRES_IDENTIFIER,
  either(
    isList,
    ALL_TABLES.refine((given) => given.length > 0, "at least one privilege"),
    ofTable,
  ),
).refine(notEmpty, "at least one table");

const tables = either((value) => isList(value) || typeof value !== "object", ALL_TABLES, tablesByName)
  .optional()
  .meta({
    allowed: `${ALL_TABLES.meta()!.allowed!}; or by the name of a table that exists: such a list, or an object of privileges, each with \`true\` or a list of columns`,
    description:
      'On all tables and views, present and future; or, by their names, on some that exist and on no others: `{ orders: ["SELECT"], customers: { SELECT: ["id"], DELETE: true } }`. `MAINTAIN` takes PostgreSQL 17 or later, and a role of its own, `<groupRole>_maintain`, which has it by deploy.',
    otherwise: "none",
  });

const ofSchema = {
  schema: privileges("schema").optional().meta({
    description: "On the schema. Has `USAGE` where there are any on its objects.",
    otherwise: "none",
  }),
  tables,
  sequences: privileges("sequences")
    .optional()
    .meta({ description: "On all sequences, present and future.", otherwise: "none" }),
  functions: privileges("functions")
    .optional()
    .meta({ description: "On all functions and procedures, present and future.", otherwise: "none" }),
};

const bySchema = byName(
  "an object with a set of privileges for each schema's name",
  POSTGRES_IDENTIFIER,
  object("the privileges in a schema", ofSchema),
)
  .refine(notEmpty, "at least one schema")
  .optional()
  .meta({
    allowed: "by a schema's name: `schema`, `tables`, `sequences` and `functions`, as they are here",
    description:
      "By schema, in place of the same in each. In one that is not there it has none; `SchemaPrivileges.READ` and `READ_WRITE` are ready-made.",
    otherwise: "the same in each",
  });

const fields = object("a persona", {
  name: name(VAULT_LOWER_NAME)
    .refine(
      (value) => value !== "constructor",
      "a name other than constructor, which the tree of constructs has already",
    )
    .describe("What people, the manifest and the report call it; other than constructor."),
  groupRole: name(POSTGRES_ROLE)
    .refine(
      (value) => isName(VAULT_NAME, value),
      `${VAULT_NAME.allowed}, since it also names a role in Vault`,
    )
    .describe(
      "The PostgreSQL role that holds the privileges. Vault's database role has the same name, so it is a Vault name too.",
    ),
  appRole: name(VAULT_POLICY_NAME).describe(
    "The AppRole with which it logs in to Vault. Starts with `vault.namePrefix`, where there is one.",
  ),
  policy: name(VAULT_POLICY_NAME).optional().meta({
    description: "Its own policy. Starts with `vault.namePrefix` as well.",
    otherwise: "named like the AppRole",
  }),
  actsAsOwner: boolean
    .default(false)
    .describe(
      "Its sessions act as the schema's owner, so that whatever they create belongs to the owner from the start.",
    ),
  privileges: object("a persona's privileges", {
    database: privileges("database").describe("On the database. Has `CONNECT`."),
    ...ofSchema,
    schemas: bySchema,
  }).describe(
    "What it may do; `Privileges.READ`, `READ_WRITE`, `OWNER` and `CONNECT` are ready-made. A persona that acts as the owner declares all that the owner has.",
  ),
  lease: object("a lease's TTLs", {
    defaultTtl: ttl.describe("How long a leased login lives unless the lease is renewed."),
    maxTtl: ttl.describe("How long renewals can make it live, at least `defaultTtl`."),
  }).describe("Its database credentials."),
  connectionLimit: integer(1, 10_000)
    .default(DEFAULT_CONNECTION_LIMIT)
    .describe("How many sessions each of its leased logins may have at a time."),
  searchPath: list("schemas", name(POSTGRES_IDENTIFIER))
    .min(1, "at least one schema")
    .refine((given) => new Set(given).size === given.length, "each schema once")
    .optional()
    .meta({
      allowed: "a list of schemas, in order; those that are not the database's exist already",
      description:
        "Where the sessions of its logins look names up, such as in an extension's schema as well. It has no privileges by that: whoever may use the schema finds its names.",
      otherwise: "the database's schemas",
    }),
  settings: byName("settings by name, each with a text as its value", SETTING, name(SETTING_VALUE))
    .optional()
    .meta({
      allowed: 'settings by name, such as `{ statement_timeout: "30s" }`',
      description: "What the sessions of its leased logins start with: settings that any role may set.",
      otherwise: "none",
    }),
  token: object("a token's TTLs", {
    ttl: ttl.describe("How long a token lives unless it is renewed."),
    maxTtl: ttl.describe(
      "How long renewals can make it live: at least `ttl`, and at least `lease.maxTtl` unless `leaseEndsWithToken`.",
    ),
    boundCidrs: boundCidrs.describe("From where its tokens may be used."),
  }).describe("The Vault token that it gets when it logs in."),
  vault: object("what it may do in Vault beside", {
    policies: list("policies", name(VAULT_POLICY_NAME))
      .max(3, "at most three policies")
      .refine((given) => new Set(given).size === given.length, "each policy once")
      .default([])
      .meta({
        allowed: "a list of at most three policies' names",
        description: "Policies that exist already, which its tokens have as well.",
        otherwise: "none",
      }),
    paths: list("paths", pathGrant)
      .default([])
      .meta({ description: "What its own policy allows beside its leases.", otherwise: "nothing" }),
  })
    .default({ policies: [], paths: [] })
    .describe("What its token may do in Vault beside its leases."),
  leaseEndsWithToken: boolean
    .default(false)
    .describe("Says that a lease is meant to end early, together with the token that took it."),
  secretId: object("a secret id's TTL and uses", {
    ttl: ttl.describe("How long it can be used, at least `1m`."),
    uses: integer(1, 1_000_000).describe("How many logins it is good for."),
    boundCidrs: boundCidrs.describe("From where it may be used."),
  }).describe("What it logs in to Vault with, beside the role id."),
});

type Persona = z.output<typeof fields>;

/** Whether it has MAINTAIN on any table. */
export function declaresMaintain({ schemas, ...all }: Persona["privileges"]): boolean {
  const lists = (tables: NonNullable<typeof all.tables>) =>
    Array.isArray(tables) ? [tables] : Object.values(tables);
  return [all, ...Object.values(schemas ?? {})].some(({ tables = [] }) =>
    lists(tables).some((list) => (Array.isArray(list) ? list.includes("MAINTAIN") : "MAINTAIN" in list)),
  );
}

function* maxIsAtLeastDefaultOfLease({ lease }: Persona): Iterable<Breach> {
  if (lease.maxTtl.isShorterThan(lease.defaultTtl))
    yield {
      path: ["lease", "maxTtl"],
      allowed: `at least lease.defaultTtl, ${lease.defaultTtl.toString()}`,
    };
}

function* maxIsAtLeastTtlOfToken({ token }: Persona): Iterable<Breach> {
  if (token.maxTtl.isShorterThan(token.ttl))
    yield { path: ["token", "maxTtl"], allowed: `at least token.ttl, ${token.ttl.toString()}` };
}

function* tokenOutlivesLeaseUnlessSaid({ lease, token, leaseEndsWithToken }: Persona): Iterable<Breach> {
  if (!leaseEndsWithToken && token.maxTtl.isShorterThan(lease.maxTtl))
    yield {
      path: ["token", "maxTtl"],
      allowed: `at least lease.maxTtl, ${lease.maxTtl.toString()}, since a lease ends with its token; or leaseEndsWithToken: true, to say that this is meant`,
    };
}

function* secretIdLivesUntilDelivered({ secretId }: Persona): Iterable<Breach> {
  if (secretId.ttl.isShorterThan(Duration.minutes(1)))
    yield { path: ["secretId", "ttl"], allowed: "at least 1m, the time it takes to deliver it" };
}

function* mayConnect({ privileges }: Persona): Iterable<Breach> {
  if (!privileges.database.includes("CONNECT"))
    yield {
      path: ["privileges", "database"],
      allowed: "a list with CONNECT, without which no leased login can log in",
    };
}

function* setsAreSpelledOnce({ privileges: { schemas, ...others } }: Persona): Iterable<Breach> {
  const kind = (Object.keys(ofSchema) as (keyof typeof ofSchema)[]).find((kind) => others[kind]);
  if (schemas && kind)
    yield { path: ["privileges", kind], allowed: "nothing beside schemas, which has it for each schema" };
}

function* objectsAreReached({ privileges }: Persona): Iterable<Breach> {
  const { schemas } = privileges;
  const sets = schemas
    ? Object.entries(schemas).map(([name, set]) => [["schemas", name], set] as const)
    : [[[], privileges] as const];
  for (const [at, { schema = [], tables = [], sequences = [], functions = [] }] of sets)
    if (
      [Object.keys(tables), sequences, functions].some((list) => list.length > 0) &&
      !schema.includes("USAGE")
    )
      yield {
        path: ["privileges", ...at, "schema"],
        allowed: "a list with USAGE, without which no object of the schema can be reached",
      };
}

export function alsoOwners(missing: readonly string[]): string {
  return `a list with ${missing.join(", ")} as well, which a persona that acts as the owner has in any case`;
}

function* ownerDeclaresWhatItHas({ actsAsOwner, privileges }: Persona): Iterable<Breach> {
  if (!actsAsOwner) return;
  if (privileges.schemas) {
    yield {
      path: ["privileges", "schemas"],
      allowed: "the same in each schema, since a persona that acts as the owner has all in each",
    };
    return;
  }
  // What it has on the database is another rule's: it depends on whether the owner exists already.
  for (const [kind, owned] of Object.entries(SchemaPrivileges.OWNER)) {
    const declared = privileges[kind as keyof typeof ofSchema];
    const missing = owned.filter(
      (privilege) => !(Array.isArray(declared) && (declared as readonly string[]).includes(privilege)),
    );
    if (missing.length > 0) yield { path: ["privileges", kind], allowed: alsoOwners(missing) };
  }
}

/** Its sessions have it in any case, where there is one. */
function* ownerNeedsNoMaintain({ actsAsOwner, privileges }: Persona): Iterable<Breach> {
  if (actsAsOwner && Array.isArray(privileges.tables) && (privileges.tables as string[]).includes("MAINTAIN"))
    yield {
      path: ["privileges", "tables"],
      allowed: "a list without MAINTAIN, which a persona that acts as the owner has in any case",
    };
}

function* nameLeavesRoomForMaintain({ groupRole, privileges }: Persona): Iterable<Breach> {
  const role = maintainRoleOf({ groupRole });
  if (declaresMaintain(privileges) && !isName(POSTGRES_ROLE, role))
    yield {
      path: ["groupRole"],
      allowed: `a name that leaves room for ${role} in 63 bytes, since the persona declares MAINTAIN`,
    };
}

export const persona = withRules(fields, [
  maxIsAtLeastDefaultOfLease,
  maxIsAtLeastTtlOfToken,
  tokenOutlivesLeaseUnlessSaid,
  secretIdLivesUntilDelivered,
  mayConnect,
  setsAreSpelledOnce,
  objectsAreReached,
  ownerDeclaresWhatItHas,
  ownerNeedsNoMaintain,
  nameLeavesRoomForMaintain,
]).describe(
  "Somebody, or something, that leases logins: a group role with its privileges, and an AppRole that may lease them.",
);
