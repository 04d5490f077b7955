import { readFileSync } from "node:fs";
import { join } from "node:path";
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
    tokenBoundCidrs: z.array(z.string()).optional(),
    secretIdTtl: seconds.optional(),
    secretIdUses: z.int().positive().optional(),
    secretIdBoundCidrs: z.array(z.string()).optional(),
  }),
  databaseRole: z.object({
    name,
    defaultTtl: seconds,
    maxTtl: seconds,
    /** Sessions that a leased login may have at a time. */
    connectionLimit: z.int().positive().default(20),
  }),
  privileges: z.object({
    database: privileges("CONNECT", "TEMPORARY", "CREATE"),
    schema: privileges("USAGE", "CREATE"),
    tables: privileges("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"),
    sequences: privileges("USAGE", "SELECT", "UPDATE"),
    functions: privileges("EXECUTE"),
  }),
});

const workload = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("users"), admin: name, writer: name, reader: name }),
  z.object({ kind: z.literal("pool"), reader: name }),
  z.object({ kind: z.literal("leases"), reader: name }),
  z.object({ kind: z.literal("approle"), reader: name }),
]);

const database = z.object({
  name,
  schema: name,
  owner: name,
  /** @default - the only server */
  server: name.default("postgres"),
  /** Vault's own login. */
  manager: name.optional(),
  /** The Terraform variable with the password that the stacks give it. */
  managerPasswordVariable: name.optional(),
  vault: z.object({
    mount: name,
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
  staticRoles: z.array(z.object({ name, login: name, persona: name, rotationPeriod: seconds })).default([]),
});

/** `cdktf.out/access.json`: what was declared, free of secrets. More fields may come, so unknown ones are let through. */
export const accessManifestSchema = z.object({
  version: z.literal(1),
  environment: name,
  servers: z.array(z.object({ name, superuser: name, tls: z.boolean().default(false) })).default([]),
  /** How Vault is initialised, where it is not yet, and whether it is reached with TLS. */
  vault: z.object({ shares: z.int(), threshold: z.int(), tls: z.boolean() }).optional(),
  /** The names of the trust model's policies. */
  policies: z.object({ operator: name, planner: name, deliverer: name, verifier: name }).optional(),
  databases: z.array(database).min(1),
  /** Findings that are meant, by their ids. */
  accepted: z.array(z.object({ id: z.string().min(1), reason: z.string().min(1) })).default([]),
});

/** As it is written: what has a default may be left out. */
export type AccessManifestInput = z.input<typeof accessManifestSchema>;
export type AccessManifest = z.output<typeof accessManifestSchema>;
export type ManifestDatabase = AccessManifest["databases"][number];
export type ManifestPersona = ManifestDatabase["personas"][number];
export type ManifestWorkload<Kind extends z.output<typeof workload>["kind"]> = Extract<
  z.output<typeof workload>,
  { kind: Kind }
>;

/** To whom a revocation hands over what the persona's login owns. */
export function heirOf({ owner }: ManifestDatabase, { actsAsOwner, groupRole }: ManifestPersona): string {
  return actsAsOwner ? owner : groupRole;
}

/** Of a folder that synth has just written. */
export function readAccessManifest(synthesized: string): AccessManifest {
  return accessManifestSchema.parse(JSON.parse(readFileSync(join(synthesized, "access.json"), "utf8")));
}
