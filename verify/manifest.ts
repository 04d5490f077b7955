import { z } from "zod";

const name = z.string().min(1).max(255);
const seconds = z.int().positive();
const privileges = <const Names extends [string, ...string[]]>(...names: Names) =>
  z.array(z.enum(names)).readonly();

const persona = z.object({
  name,
  groupRole: name,
  /** Its sessions act as the schema's owner. */
  actsAsOwner: z.boolean().default(false),
  appRole: z.object({
    authMount: name,
    name,
    policies: z.array(name),
    tokenTtl: seconds,
    tokenMaxTtl: seconds,
  }),
  databaseRole: z.object({ name, defaultTtl: seconds, maxTtl: seconds }),
  privileges: z.object({
    database: privileges("CONNECT", "TEMPORARY", "CREATE"),
    schema: privileges("USAGE", "CREATE"),
    tables: privileges("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"),
    sequences: privileges("USAGE", "SELECT", "UPDATE"),
    functions: privileges("EXECUTE"),
  }),
});

const database = z.object({
  name,
  schema: name,
  owner: name,
  /** Vault's own login. */
  manager: name.optional(),
  vault: z.object({ mount: name, connection: name }),
  personas: z.array(persona).min(1),
  /** The verifier's own database roles: member of the owner, and with a TTL of seconds. */
  probes: z.object({ owner: name, short: name }).optional(),
  /** PostgreSQL's group roles of the probe roles. */
  probeGroups: z.object({ owner: name, short: name }).optional(),
  workload: z.object({ kind: z.literal("users"), admin: name, writer: name, reader: name }).optional(),
});

/** `cdktf.out/access.json`: what was declared, free of secrets. More fields may come, so unknown ones are let through. */
export const accessManifestSchema = z.object({
  version: z.literal(1),
  environment: name,
  /** The names of the trust model's policies. */
  policies: z.object({ operator: name, planner: name, deliverer: name, verifier: name }).optional(),
  databases: z.array(database).min(1),
});

export type AccessManifest = z.output<typeof accessManifestSchema>;
export type ManifestDatabase = AccessManifest["databases"][number];
export type ManifestPersona = ManifestDatabase["personas"][number];
