import type { z } from "zod";
import { OTHER_DATABASES } from "../../manifest/schema";
import { POSTGRES_DATABASE, POSTGRES_ROLE, SERVER_NAME } from "../../constructs/names";
import { boolean, image, name, object, oneOf, port, withRules, type Breach } from "./fields";

/** Why TLS is for servers of one's own alone. */
export const NO_TLS = "false, since containers are reached on this machine alone";

const fields = object("a PostgreSQL server", {
  name: name(SERVER_NAME).describe(
    "What the names of its Terraform variables start with, and its host name on the containers' network.",
  ),
  superuser: name(POSTGRES_ROLE).describe(
    "The login that sets the server up. Its password comes from `TF_VAR_<server>_superuser_password`.",
  ),
  bootstrap: oneOf("superuser", "createrole").default("superuser").meta({
    description: 'What that login is: with `"createrole"` it is no superuser, as in a managed PostgreSQL.',
  }),
  database: name(POSTGRES_DATABASE).describe("The database that is there from the start."),
  container: object("a PostgreSQL container", {
    image: image.describe("PostgreSQL's image."),
    hostPort: port.describe("The port of 127.0.0.1 at which it is reached."),
  })
    .optional()
    .meta({
      description: "A container that `deploy` makes. Each server and Vault have one, or none of them.",
      otherwise: "the server exists already; variables say where",
    }),
  tls: boolean
    .default(false)
    .describe("Reached with TLS alone, and its certificate checked. Not for a container."),
  clientCertificate: boolean
    .default(false)
    .describe(
      "Vault shows the server a certificate of its own: `TF_VAR_vault_<server>_sslcert` and `TF_VAR_vault_<server>_sslkey` name its files on Vault's machine. Where `tls` is.",
    ),
  otherDatabases: oneOf(...OTHER_DATABASES)
    .optional()
    .meta({
      description:
        "`close` has `deploy` take CONNECT from PUBLIC in each database of the server that the config does not name, so that no leased login gets in; it stops and asks where somebody else would be locked out. With `keep` verify says what PUBLIC may do there.",
      otherwise: "`keep`",
    }),
});

function* containerHasNoTls({ container, tls }: z.output<typeof fields>): Iterable<Breach> {
  if (container && tls) yield { path: ["tls"], allowed: NO_TLS };
}

function* certificatesNeedTls({ tls, clientCertificate }: z.output<typeof fields>): Iterable<Breach> {
  if (clientCertificate && !tls) yield { path: ["clientCertificate"], allowed: "false where tls is false" };
}

function* whoClosesIsASuperuser({ bootstrap, otherDatabases }: z.output<typeof fields>): Iterable<Breach> {
  if (otherDatabases === "close" && bootstrap !== "superuser")
    yield {
      path: ["otherDatabases"],
      allowed:
        '"keep" where bootstrap is "createrole", since databases of others can\'t be closed without a superuser',
    };
}

export const server = withRules(fields, [
  containerHasNoTls,
  certificatesNeedTls,
  whoClosesIsASuperuser,
]).describe("A PostgreSQL server.");
