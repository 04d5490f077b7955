import type { z } from "zod";
import { VAULT_LOWER_NAME } from "../../constructs/names";
import { LEASES } from "../../manifest/schema";
import { backend } from "./state-backend";
import { database } from "./database";
import { boolean, list, mountOf, name, object, oneOf, text } from "./fields";
import { server } from "./server";
import { vault } from "./vault";

const accepted = object("an accepted finding", {
  id: text("the id of a finding, as verify prints it")
    .min(1, "the id of a finding, as verify prints it")
    .describe("The finding's id, as `verify` prints it."),
  reason: text("a reason, in words")
    .refine((words) => words.trim() !== "", "a reason, in words")
    .describe("Why it is accepted."),
}).describe("A finding that is accepted.");

/** An environment, each field for itself. */
export const environmentFields = object("an environment as the default export", {
  name: name(VAULT_LOWER_NAME).describe("The environment's name, which is also the file's."),
  servers: list("PostgreSQL servers", server)
    .min(1, { error: "at least one server", abort: true })
    .describe("The PostgreSQL servers."),
  vault: vault.describe("The Vault server, and what it has for this environment."),
  leases: oneOf(...LEASES)
    .default("functions")
    .meta({
      description:
        "How Vault's login makes and ends leased logins: through functions that the superuser owns, or by CREATEROLE and ADMIN OPTION on the group roles.",
    }),
  backend: backend.optional().meta({
    description: "Where Terraform keeps its state.",
    otherwise: "local files",
  }),
  databases: list("databases", database)
    .min(1, "at least one database")
    .describe("The databases, each with its personas."),
  verification: boolean.describe("Whether to declare the probe roles with which the verifier tests."),
  accepted: list("accepted findings, each with its id and a reason", accepted)
    .default([])
    .meta({ description: "Accepted findings.", otherwise: "none" }),
});

export type Environment = z.output<typeof environmentFields>;
export type DatabaseConfig = Environment["databases"][number];
export type ServerConfig = Environment["servers"][number];

/** Where a database is in Vault, in whichever way its mount is spelled. */
export function mounted({ name, vault: { mount, connection } }: DatabaseConfig) {
  const { path, exists } = mountOf(mount);
  return { name, vault: { mount: path, mountExists: exists, connection } };
}

/** The server that a database is on. */
export function serverOf({ servers }: Environment, { server }: DatabaseConfig): ServerConfig {
  return servers.find(({ name }) => name === server) ?? servers[0]!;
}
