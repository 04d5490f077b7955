import type { z } from "zod";
import { Duration } from "../../constructs/duration";
import {
  isName,
  POSTGRES_ROLE,
  VAULT_LOWER_NAME,
  VAULT_NAME,
  VAULT_POLICY_NAME,
} from "../../constructs/names";
import { Privileges } from "../../constructs/postgres/privileges";
import type { ObjectKind } from "../../manifest/object-kinds";
import { DEFAULT_CONNECTION_LIMIT } from "../../manifest/schema";
import {
  boolean,
  boundCidrs,
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
    schema: privileges("schema").describe("On the schema. Has `USAGE` where there are any on its objects."),
    tables: privileges("tables").describe("On all tables and views of the schema, present and future."),
    sequences: privileges("sequences").describe("On all sequences of the schema, present and future."),
    functions: privileges("functions").describe("On all functions of the schema, present and future."),
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

function* objectsAreReached({
  privileges: { schema, tables, sequences, functions },
}: Persona): Iterable<Breach> {
  if ([tables, sequences, functions].some((list) => list.length > 0) && !schema.includes("USAGE"))
    yield {
      path: ["privileges", "schema"],
      allowed: "a list with USAGE, without which no object of the schema can be reached",
    };
}

export function alsoOwners(missing: readonly string[]): string {
  return `a list with ${missing.join(", ")} as well, which a persona that acts as the owner has in any case`;
}

function* ownerDeclaresWhatItHas({ actsAsOwner, privileges }: Persona): Iterable<Breach> {
  if (!actsAsOwner) return;
  // What it has on the database is another rule's: it depends on whether the owner exists already.
  const { database: _, ...inSchema } = Privileges.OWNER;
  for (const [kind, owned] of Object.entries(inSchema)) {
    const declared: readonly string[] = privileges[kind as ObjectKind];
    const missing = owned.filter((privilege) => !declared.includes(privilege));
    if (missing.length > 0)
      yield {
        path: ["privileges", kind],
        allowed: alsoOwners(missing),
      };
  }
}

export const persona = withRules(fields, [
  maxIsAtLeastDefaultOfLease,
  maxIsAtLeastTtlOfToken,
  tokenOutlivesLeaseUnlessSaid,
  secretIdLivesUntilDelivered,
  mayConnect,
  objectsAreReached,
  ownerDeclaresWhatItHas,
]).describe(
  "Somebody, or something, that leases logins: a group role with its privileges, and an AppRole that may lease them.",
);
