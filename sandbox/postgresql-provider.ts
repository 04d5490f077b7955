import { readFileSync } from "node:fs";
import { Client, escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { z } from "zod";
import { handler, type Planned, type Provider, type ProviderFactory } from "./engine";
import { scramVerifier } from "../clients/scram";

const settingsSchema = z.strictObject({
  host: z.string(),
  port: z.coerce.number(),
  database: z.string().default("postgres"),
  username: z.string(),
  password: z.string(),
  sslmode: z.enum(["disable", "verify-full"], { error: 'allowed here: "disable", "verify-full"' }),
  sslrootcert: z.string().optional(),
  superuser: z.boolean().optional(),
  connect_timeout: z.number().optional(),
});

const names = z.array(z.string());
const role = z.strictObject({
  name: z.string(),
  login: z.boolean().default(false),
  superuser: z.boolean().default(false),
  create_database: z.boolean().default(false),
  create_role: z.boolean().default(false),
  inherit: z.boolean().default(true),
  replication: z.boolean().default(false),
  bypass_row_level_security: z.boolean().default(false),
  connection_limit: z.int().default(-1),
  valid_until: z.string().default("infinity"),
  password: z.string().optional(),
  password_wo: z.string().optional(),
  password_wo_version: z.string().optional(),
  roles: names.default([]),
  assume_role: z.string().optional(),
  // As the provider has it, which could not read it back.
  search_path: z
    .array(z.string().refine((part) => !part.includes(", "), 'a schema without ", " in its name'))
    .default([]),
});

const schema = z.strictObject({
  name: z.string(),
  database: z.string().optional(),
  owner: z.string().optional(),
  if_not_exists: z.boolean().default(true),
  drop_cascade: z.boolean().default(false),
});

const objects = ["table", "sequence", "function", "procedure", "routine"] as const;
const grant = z
  .strictObject({
    role: z.string(),
    database: z.string(),
    schema: z.string().optional(),
    object_type: z.enum(["database", "schema", "column", ...objects]),
    objects: names.default([]),
    columns: names.default([]),
    privileges: names,
    with_grant_option: z.boolean().default(false),
  })
  .superRefine(({ object_type: type, objects, columns, privileges }, context) => {
    const wants = (attribute: string, message: string) => {
      context.addIssue({ code: "custom", path: [attribute], message });
    };
    if (type !== "column" && columns.length > 0) wants("columns", "only with object_type column");
    if (type !== "column") return;
    if (columns.length === 0) wants("columns", "at least one, with object_type column");
    if (objects.length !== 1) wants("objects", "exactly one table, with object_type column");
    if (privileges.length !== 1) wants("privileges", "exactly one, with object_type column");
  });

const grantRole = z.strictObject({
  role: z.string(),
  grant_role: z.string(),
  with_admin_option: z.boolean().default(false),
});

const defaultPrivileges = z.strictObject({
  role: z.string(),
  database: z.string(),
  owner: z.string(),
  schema: z.string().optional(),
  object_type: z.enum(["table", "sequence", "function", "routine", "type", "schema"]),
  privileges: names,
  with_grant_option: z.boolean().default(false),
});

const database = z.strictObject({
  name: z.string(),
  owner: z.string().optional(),
  template: z.string().default("template0"),
  encoding: z.string().default("UTF8"),
  lc_collate: z.string().optional(),
  lc_ctype: z.string().optional(),
  connection_limit: z.int().default(-1),
  allow_connections: z.boolean().default(true),
  is_template: z.boolean().default(false),
});

const functionArgument = z.strictObject({
  type: z.string(),
  name: z.string().optional(),
  mode: z.string().default("IN"),
  default: z.string().optional(),
});

const databaseFunction = z.strictObject({
  name: z.string(),
  schema: z.string().default("public"),
  database: z.string().optional(),
  arg: z.array(functionArgument).default([]),
  returns: z.string().optional(),
  language: z.string().default("plpgsql"),
  body: z.string(),
  security_definer: z.boolean().default(false),
  strict: z.boolean().default(false),
  volatility: z.enum(["VOLATILE", "STABLE", "IMMUTABLE"]).default("VOLATILE"),
  parallel: z.enum(["UNSAFE", "RESTRICTED", "SAFE"]).default("UNSAFE"),
  drop_cascade: z.boolean().default(false),
});

/**
 * The statements that cyrilgdn/postgresql 1.26.0 sends when it creates these resources as a superuser
 * (https://github.com/cyrilgdn/terraform-provider-postgresql/tree/v1.26.0/postgresql).
 */
export const postgresqlProvider: ProviderFactory = (input): Provider => {
  const settings = settingsSchema.parse(input);
  const ssl = settings.sslmode === "verify-full" && verifyFull(settings.sslrootcert);
  const clients = new Map<string, Promise<Client>>();

  function connected(database: string): Promise<Client> {
    let connecting = clients.get(database);
    if (!connecting) {
      const { host, port, username: user, password } = settings;
      const client = new Client({
        host,
        port,
        user,
        password,
        database,
        ssl,
        // As the commands have Terraform's providers do.
        options: "-c search_path=pg_catalog",
      });
      connecting = client.connect().then(() => client);
      clients.set(database, connecting);
    }
    return connecting;
  }

  /** Runs the statements in one transaction, as the provider does. */
  async function run(database: string, statements: readonly string[]): Promise<void> {
    const client = await connected(database);
    await client.query(["BEGIN", ...statements, "COMMIT"].join(";\n")).catch(async (error: unknown) => {
      await client.query("ROLLBACK");
      throw error;
    });
  }

  /** A resource that comes to statements in a database. */
  function statements(computed: Planned["computed"], database: string, list: readonly string[]): Planned {
    return { computed, apply: () => run(database, list) };
  }

  return {
    handlers: {
      postgresql_role: handler(role, (attributes) => {
        const name = ident(attributes.name);
        const password = attributes.password_wo ?? attributes.password;
        const options = [
          // As the server would store it; in clear it would stand in the server's log.
          password && `PASSWORD ${literal(scramVerifier(password))}`,
          `VALID UNTIL ${literal(attributes.valid_until)}`,
          `CONNECTION LIMIT ${String(attributes.connection_limit)}`,
          flag(attributes.superuser, "SUPERUSER"),
          flag(attributes.create_database, "CREATEDB"),
          flag(attributes.create_role, "CREATEROLE"),
          flag(attributes.inherit, "INHERIT"),
          flag(attributes.login, "LOGIN"),
          flag(attributes.bypass_row_level_security, "BYPASSRLS"),
          flag(attributes.replication, "REPLICATION"),
        ];
        const path = attributes.search_path.map((part) => ident(part)).join(", ") || "DEFAULT";
        return statements({ id: attributes.name }, settings.database, [
          `CREATE ROLE ${name} WITH ${options.filter(Boolean).join(" ")}`,
          ...attributes.roles.map((group) => `GRANT ${ident(group)} TO ${name}`),
          `ALTER ROLE ${name} SET search_path TO ${path}`,
          ...(attributes.assume_role
            ? [`ALTER ROLE ${name} SET ROLE TO ${ident(attributes.assume_role)}`]
            : []),
        ]);
      }),

      postgresql_database: handler(database, (attributes) => {
        const { name, owner = settings.username, lc_collate: collate, lc_ctype: ctype } = attributes;
        const options = [
          `OWNER ${ident(owner)}`,
          `TEMPLATE ${orDefault(attributes.template, ident)}`,
          `ENCODING ${orDefault(attributes.encoding, literal)}`,
          collate !== undefined && `LC_COLLATE ${orDefault(collate, literal)}`,
          ctype !== undefined && `LC_CTYPE ${orDefault(ctype, literal)}`,
          `ALLOW_CONNECTIONS ${String(attributes.allow_connections)}`,
          `CONNECTION LIMIT ${String(attributes.connection_limit)}`,
          `IS_TEMPLATE ${String(attributes.is_template)}`,
        ];
        const sql = `CREATE DATABASE ${ident(name)} ${options.filter(Boolean).join(" ")}`;
        // No transaction: PostgreSQL makes no database in one.
        return {
          computed: { id: name, owner },
          apply: () => connected(settings.database).then((client) => client.query(sql)),
        };
      }),

      postgresql_function: handler(databaseFunction, (attributes) => {
        const { name, schema: inSchema, database = settings.database, arg } = attributes;
        const out = arg.findLast(({ mode }) => mode.toUpperCase() === "OUT");
        const returns = attributes.returns ?? out?.type ?? "void";
        const parameters = arg.map((each) =>
          [each.mode, each.name, each.type, each.default && `DEFAULT ${each.default}`]
            .filter(Boolean)
            .join(" "),
        );
        const options = [
          attributes.volatility !== "VOLATILE" && attributes.volatility,
          attributes.security_definer && "SECURITY DEFINER",
          attributes.parallel !== "UNSAFE" && `PARALLEL ${attributes.parallel}`,
          attributes.strict && "STRICT",
        ].filter(Boolean);
        const types = arg.filter(({ mode }) => mode !== "OUT").map(({ type }) => type);
        const id = `${database}.${inSchema}.${name}(${types.join(",")})`;
        return statements({ id, database, returns }, database, [
          `CREATE FUNCTION ${ident(inSchema)}.${ident(name)} (${parameters.join(", ")})
           RETURNS ${returns} LANGUAGE ${attributes.language} ${options.join(" ")}
           AS $function$${functionBody(attributes.body)}$function$`,
        ]);
      }),

      postgresql_schema: handler(schema, (attributes) => {
        const { name, owner, database = settings.database, if_not_exists: lenient } = attributes;
        const authorization = owner === undefined ? "" : ` AUTHORIZATION ${ident(owner)}`;
        return statements({ id: `${database}.${name}`, database }, database, [
          `CREATE SCHEMA ${lenient ? "IF NOT EXISTS " : ""}${ident(name)}${authorization}`,
          ...(owner === undefined ? [] : [`ALTER SCHEMA ${ident(name)} OWNER TO ${ident(owner)}`]),
        ]);
      }),

      postgresql_grant: handler(grant, (attributes) => {
        const { role, database, object_type: type } = attributes;
        const on = grantedObjects(attributes);
        const to = ident(role);
        const option = attributes.with_grant_option ? " WITH GRANT OPTION" : "";
        const id = [role, database, attributes.schema, type, ...attributes.objects, ...attributes.columns]
          .filter(Boolean)
          .join("_");
        const columns =
          type === "column" ? ` (${attributes.columns.map((column) => ident(column)).join(", ")})` : "";
        // On named objects those that it grants alone: a REVOKE takes a privilege on the columns along.
        const revoked = attributes.objects.length > 0 ? when(attributes.privileges, (list) => list) : [];
        return statements({ id }, database, [
          `REVOKE ${revoked[0] ?? "ALL PRIVILEGES"}${columns} ON ${on} FROM ${to}`,
          ...when(attributes.privileges, (list) => `GRANT ${list}${columns} ON ${on} TO ${to}${option}`),
        ]);
      }),

      postgresql_grant_role: handler(grantRole, ({ role, grant_role: group, with_admin_option: admin }) => {
        const option = admin ? " WITH ADMIN OPTION" : "";
        return statements({ id: `${role}_${group}_${String(admin)}` }, settings.database, [
          `REVOKE ${ident(group)} FROM ${ident(role)}`,
          `GRANT ${ident(group)} TO ${ident(role)}${option}`,
        ]);
      }),

      postgresql_default_privileges: handler(defaultPrivileges, (attributes) => {
        const { owner, database, schema: inSchema, role, object_type: type } = attributes;
        const place = inSchema === undefined ? "" : ` IN SCHEMA ${ident(inSchema)}`;
        const alter = `ALTER DEFAULT PRIVILEGES FOR ROLE ${ident(owner)}${place}`;
        const on = `ON ${type.toUpperCase()}S`;
        const option = attributes.with_grant_option ? " WITH GRANT OPTION" : "";
        const id = [role, database, inSchema ?? "noschema", owner, type].join("_");
        return statements({ id }, database, [
          `${alter} REVOKE ALL ${on} FROM ${ident(role)}`,
          ...when(attributes.privileges, (list) => `${alter} GRANT ${list} ${on} TO ${ident(role)}${option}`),
        ]);
      }),
    },
    async close() {
      await Promise.all(
        [...clients.values()].map((client) => client.then((open) => open.end()).catch(() => undefined)),
      );
    },
  };
};

function grantedObjects({
  object_type: type,
  database,
  schema: name,
  objects: list,
}: z.output<typeof grant>): string {
  if (type === "database") return `DATABASE ${ident(database)}`;
  if (name === undefined) throw new Error(`attribute "schema" is missing`);
  if (type === "schema") return `SCHEMA ${ident(name)}`;
  if (list.length === 0) return `ALL ${type.toUpperCase()}S IN SCHEMA ${ident(name)}`;
  const kind = type === "column" ? "TABLE" : type.toUpperCase();
  return `${kind} ${list.map((object) => `${ident(name)}.${ident(object)}`).join(", ")}`;
}

/** Privileges are keywords: nothing else may stand in their place. */
function when(privileges: readonly string[], statement: (list: string) => string): string[] {
  const odd = privileges.find((privilege) => !/^[A-Za-z]+$/.test(privilege));
  if (odd !== undefined) throw new Error(`attribute "privileges": ${JSON.stringify(odd)} is no privilege`);
  return privileges.length === 0 ? [] : [statement(privileges.join(", "))];
}

/** Where no file is named, the authorities that Node knows, as the provider takes those of the system. */
function verifyFull(caFile: string | undefined): { ca?: string } {
  return caFile === undefined ? {} : { ca: readFileSync(caFile, "utf8") };
}

function orDefault(value: string, quote: (value: string) => string): string {
  return value.toUpperCase() === "DEFAULT" ? "DEFAULT" : quote(value);
}

/** What stands between dollar quotes, where there are any: the provider drops what is around them. */
function functionBody(text: string): string {
  return /.*\$[a-z]*\$\s(.*)\s\$[a-z]*\$.*/is.exec(text)?.[1] ?? text;
}

function flag(on: boolean, keyword: string): string {
  return on ? keyword : `NO${keyword}`;
}
