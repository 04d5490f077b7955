import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { inputSchema } from "./inputs";
import { OBJECT_KINDS, privilegesOn, type ObjectKind } from "./object-kinds";

/** How many sessions a leased login may have at a time, where nothing else is declared. */
export const DEFAULT_CONNECTION_LIMIT = 20;

/** The ways in which Vault's login leases: through functions of the superuser's, or by CREATEROLE. */
export const LEASES = ["functions", "createrole"] as const;
/** What becomes of PUBLIC's CONNECT in databases of a server that are not declared. */
export const OTHER_DATABASES = ["keep", "close"] as const;

const name = z.string().min(1).max(255);
const seconds = z.int().positive();
const privileges = <Kind extends ObjectKind>(kind: Kind) => z.array(z.enum(privilegesOn(kind))).readonly();

const namedTable = z.object({
  name,
  /** On all of it. */
  privileges: privileges("tables"),
  /** On columns of it alone, by privilege. */
  columns: z.partialRecord(z.enum(OBJECT_KINDS.tables.columns), z.array(name).min(1).readonly()).default({}),
});

const inSchema = z.object({
  schema: privileges("schema"),
  /** On all tables. */
  tables: privileges("tables"),
  sequences: privileges("sequences"),
  functions: privileges("functions"),
  /** On tables that were there before, and on no others. */
  namedTables: z.array(namedTable).default([]),
});

/** How a persona logs in: what every kind has. A kind's own fields are let through, to whoever knows the kind. */
const login = z.looseObject({
  kind: name,
  authMount: name,
  /** The auth method was mounted before, and stays so. */
  authMountExists: z.boolean().optional(),
  name,
  policies: z.array(name),
  tokenTtl: seconds,
  tokenMaxTtl: seconds,
  tokenBoundCidrs: z.array(z.string()).optional(),
});

const persona = z
  .object({
    name,
    groupRole: name,
    /** Its sessions act as the schema's owner. */
    actsAsOwner: z.boolean().default(false),
    login: login.optional(),
    /** The older name of a login of the kind `approle`. */
    appRole: login.omit({ kind: true }).optional(),
    /**
     * Those that it logs in with. Its own with their text in HCL, in which Terraform variables stand as `${var.name}`; one without is
     * somebody else's.
     */
    policies: z.array(z.object({ name, text: z.string().optional() })).default([]),
    /** What its own policy allows beside its token and its leases. */
    paths: z.array(z.object({ path: name, capabilities: z.array(name) })).default([]),
    databaseRole: z.object({
      name,
      defaultTtl: seconds,
      maxTtl: seconds,
      /** Sessions that a leased login may have at a time. */
      connectionLimit: z.int().positive().default(DEFAULT_CONNECTION_LIMIT),
      /** Of a leased login. @default - the database's schemas */
      searchPath: z.array(name).min(1).optional(),
      /** What a leased login's sessions start with. */
      settings: z.record(name, z.string()).default({}),
    }),
    /** In each schema; where `schemas` is there, in the first. */
    privileges: inSchema.extend({
      database: privileges("database"),
      /** In each, where they differ; in one that is missing there are none. */
      schemas: z.array(inSchema.extend({ name })).optional(),
    }),
  })
  .transform(({ appRole, login = appRole && { ...appRole, kind: "approle" }, ...declared }, context) => {
    if (login) return { ...declared, login };
    context.addIssue({ code: "custom", path: ["login"], message: "it has to say how the persona logs in" });
    return z.NEVER;
  });

const workload = z.discriminatedUnion("kind", [
  z.object({
    ...{ kind: z.literal("users"), admin: name, writer: name, reader: name },
    /** In the first schema, made where it is missing and emptied by each verification. @default - one that is gone afterwards */
    table: name.optional(),
  }),
  z.object({ kind: z.literal("pool"), reader: name }),
  z.object({ kind: z.literal("leases"), reader: name }),
  z.object({ kind: z.literal("approle"), reader: name }),
]);

/** Privileges that PUBLIC may keep on a database, on its schemas, and on the functions in them. */
const publicPrivileges = z.object({
  database: privileges("database"),
  schema: privileges("schema"),
  functions: privileges("functions"),
});

const databaseFields = z.object({
  name,
  /** It was there before, and may be an owner's of its schemas: it is neither made, altered nor dropped. */
  exists: z.boolean().optional(),
  /** The first schema, which is all that there was of `schemas` at first. */
  schema: name,
  /** The first schema's: as whom personas act that act as the owner, and who gets what roles leave that are dropped. */
  owner: name,
  /** @default - the one of `schema` and `owner` */
  schemas: z
    .array(
      z.object({
        name,
        /** Whose later objects the personas' privileges cover, and as whom personas act that act as the owner. */
        owner: name,
        /** The owner was there before: it is neither made, altered nor dropped. */
        ownerExists: z.boolean().optional(),
        /** Nobody acts as it: the verifier's probes are its own group's, with what the owner's default privileges give. */
        ownerIsSuperuser: z.boolean().optional(),
        /** Other roles whose later objects they cover as well. */
        creators: z.array(name).optional(),
        /** It was there before, and may belong to another role: it is neither made, given away nor dropped. */
        exists: z.boolean().optional(),
        /** What PUBLIC keeps on it where it has nothing else. */
        public: privileges("schema").optional(),
      }),
    )
    .min(1)
    .optional(),
  /** PUBLIC has nothing there, keeps what it has, or may keep these and no more; but for `take` no stack revokes anything of it. */
  public: z.union([z.enum(["take", "keep"]), publicPrivileges]).default("take"),
  /** @default - the only server */
  server: name.default("postgres"),
  /** Vault's own login. */
  manager: name.optional(),
  /** The Terraform variable with the password that the stacks give it. */
  managerPasswordVariable: name.optional(),
  /** How it makes and ends leased logins. */
  leases: z.enum(LEASES).default("createrole"),
  /** The functions that it does so through, of the schema `leasehold`. */
  leaseFunctions: z
    .array(
      z.object({
        name,
        /** As PostgreSQL spells their types. */
        arguments: z.string(),
        /** Of the body, as PostgreSQL keeps it. */
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
      }),
    )
    .default([]),
  vault: z.object({
    mount: name,
    /** It was mounted before, and stays so: others may have theirs in it. */
    mountExists: z.boolean().optional(),
    connection: name,
    /** Vault replaces the connection's password after the first deploy. */
    rotateRoot: z.boolean().default(false),
  }),
  personas: z.array(persona).min(1),
  /** The verifier's own database roles: member of the owner, and with a TTL of seconds. */
  probes: z.object({ owner: name, short: name }).optional(),
  /** PostgreSQL's group roles of the probe roles. */
  probeGroups: z.object({ owner: name, short: name }).optional(),
  workload: workload.optional(),
  staticRoles: z
    .array(
      z.object({
        name,
        login: name,
        /** The login was there before: it is neither made nor dropped, and altered by Vault alone, which sets its password. */
        loginExists: z.boolean().optional(),
        persona: name,
        rotationPeriod: seconds.optional(),
        /** In place of the period; as cron has it. */
        rotationSchedule: z.string().optional(),
        rotationWindow: seconds.optional(),
        /** It keeps its password until the first rotation that is due. */
        skipImportRotation: z.boolean().optional(),
      }),
    )
    .default([]),
});

const database = databaseFields.transform(({ schema, schemas, ...declared }) => ({
  ...declared,
  schemas: schemas ?? [{ name: schema, owner: declared.owner }],
}));

/** `cdktf.out/access.json`: what was declared, free of secrets. More fields may come, so unknown ones are let through. */
export const accessManifestSchema = z.object({
  version: z.literal(1),
  environment: name,
  servers: z
    .array(
      z.object({
        name,
        superuser: name,
        tls: z.boolean().default(false),
        otherDatabases: z.enum(OTHER_DATABASES).default("keep"),
      }),
    )
    .default([]),
  /** How Vault is initialised, where it is not yet, and whether it is reached with TLS. */
  vault: z.object({ shares: z.int(), threshold: z.int(), tls: z.boolean() }).optional(),
  /** The names of the trust model's policies. */
  policies: z.object({ operator: name, planner: name, deliverer: name, verifier: name }).optional(),
  databases: z.array(database).min(1),
  /** Every Terraform variable of the stacks. */
  inputs: z.array(inputSchema).default([]),
  /** Accepted findings, by their ids. */
  accepted: z.array(z.object({ id: z.string().min(1), reason: z.string().min(1) })).default([]),
});

/** As it is written: what has a default may be left out. */
export type AccessManifestInput = z.input<typeof accessManifestSchema>;
export type AccessManifest = z.output<typeof accessManifestSchema>;
export type ManifestDatabase = AccessManifest["databases"][number];
/** What becomes of PUBLIC's privileges. */
export type ManifestPublic = ManifestDatabase["public"];
/** One of its schemas. */
export type ManifestSchema = ManifestDatabase["schemas"][number];
export type ManifestPersona = ManifestDatabase["personas"][number];
export type ManifestWorkload<Kind extends z.output<typeof workload>["kind"]> = Extract<
  z.output<typeof workload>,
  { kind: Kind }
>;

/** @throws SyntaxError, ZodError */
export function parseAccessManifest(text: string): AccessManifest {
  return accessManifestSchema.parse(JSON.parse(text));
}

/** Of a folder that synth has just written. */
export function readAccessManifest(synthesized: string): AccessManifest {
  return parseAccessManifest(readFileSync(join(synthesized, "access.json"), "utf8"));
}
