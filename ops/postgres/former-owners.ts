import { escapeIdentifier, escapeLiteral, type Client } from "pg";
import { LEASE_SCHEMA, madeOwnersOf } from "../../manifest/names";
import { attributesHeld } from "../../manifest/object-kinds";
import type { Deployment, StateResource, SuperuserLogin } from "../deployment/deployment";
import { findResource, type Marked } from "./leftover";
import {
  changeRecord,
  OWNER_ATTRIBUTE_NAMES,
  OWNER_ATTRIBUTES,
  readRecord,
  type OwnerRecord,
  type TakenRecord,
} from "./record";
import { readStack, type StackContent } from "./stack-content";
import { asSuperuser } from "./superuser";

/**
 * Records owners and schemas that were there before, and that the next apply takes over: roles that somebody has imported, and
 * schemas of such roles or of others. For before the stack postgres is applied.
 * @param marked what an earlier destroy has left, which is ours
 */
export async function recordOwners(deployment: Deployment, marked: readonly Marked[]): Promise<void> {
  const state = await deployment.state(deployment.stack("postgres")!);
  const stack = await readStack(deployment);
  for (const login of deployment.superusers()) {
    const { owners: known } = await readRecord(deployment, login);
    const owners: Record<string, OwnerRecord> = {};
    for (const name of declaredOwners(deployment, login.server)) {
      if (!Object.hasOwn(known, name) && !isTheirs(state, marked, name)) continue;
      const found = await ownerRecord(login, name, stack);
      if (found) owners[name] = found;
    }
    const schemas = await formerOwners(login, state, marked, stack, [
      ...Object.keys(known),
      ...Object.keys(owners),
    ]);
    await changeRecord(deployment, login, (record) => ({
      ...record,
      owners: {
        ...record.owners,
        ...mapValues(owners, (found, name) => mergedOwner(found, record.owners[name])),
      },
      schemas: mergedSchemas(schemas, record.schemas),
    }));
  }
}

/** What was there first counts. */
function mergedOwner(found: OwnerRecord, before: OwnerRecord | undefined): OwnerRecord {
  if (!before) return found;
  return {
    ...before,
    databases: { ...found.databases, ...before.databases },
    schemas: mergedSchemas(found.schemas, before.schemas),
  };
}

function declaredOwners({ manifest }: Deployment, server: string): string[] {
  return [...new Set(manifest.databases.filter((each) => each.server === server).flatMap(madeOwnersOf))];
}

/** As Terraform has imported it: one that the stack has made has no LOGIN and a search path. */
function isTheirs(state: readonly StateResource[], marked: readonly Marked[], name: string): boolean {
  const known = findResource(state, "postgresql_role", { name });
  if (!known) return !marked.some((left) => left.object === "ROLE" && left.name === name);
  const { login, search_path } = known.attributes;
  return login === true || ((search_path ?? []) as unknown[]).length === 0;
}

/** @returns undefined where the role is not there */
function ownerRecord(
  login: SuperuserLogin,
  name: string,
  { grants }: StackContent,
): Promise<OwnerRecord | undefined> {
  return asSuperuser(login, async (client) => {
    const record = await readOwner(client, name);
    if (!record) return undefined;
    const own = grants.filter((grant) => grant.server === login.server && grant.role === name);
    for (const { database, kind, schema } of own) {
      if (kind === "database") record.databases[database] = await databasePrivileges(client, database, name);
      else if (kind === "schema" && schema !== undefined)
        (record.schemas[database] ??= {})[schema] =
          (await asSuperuser(login, (there) => schemaPrivileges(there, schema, name), database)) ?? [];
    }
    return record;
  });
}

async function readOwner(client: Client, name: string): Promise<OwnerRecord | undefined> {
  const { rows } = await client.query<OwnerRecord>(
    `SELECT ${attributesHeld(OWNER_ATTRIBUTES)} AS attributes,
       rolconnlimit AS "connectionLimit", rolvaliduntil::text AS "validUntil",
       (SELECT substring(setting FROM '=(.*)') FROM unnest(rolconfig) setting WHERE starts_with(setting, 'search_path=')) AS "searchPath",
       (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_object('role', pg_get_userbyid(roleid), 'admin', admin_option)), '[]')
          FROM pg_auth_members WHERE member = r.oid) AS "memberOf",
       '{}'::jsonb AS databases, '{}'::jsonb AS schemas
     FROM pg_roles r WHERE rolname = $1`,
    [name],
  );
  return rows[0];
}

async function databasePrivileges(client: Client, database: string, role: string) {
  return privileges<"CONNECT" | "CREATE" | "TEMPORARY">(
    client,
    "SELECT coalesce(datacl, acldefault('d', datdba)) AS acl FROM pg_database WHERE datname = $1",
    database,
    role,
  );
}

async function schemaPrivileges(client: Client, schema: string, role: string) {
  return privileges<"USAGE" | "CREATE">(
    client,
    "SELECT coalesce(nspacl, acldefault('n', nspowner)) AS acl FROM pg_namespace WHERE nspname = $1",
    schema,
    role,
  );
}

async function privileges<Privilege extends string>(
  client: Client,
  acl: string,
  object: string,
  role: string,
) {
  const { rows } = await client.query<{ privilege: Privilege }>(
    `SELECT DISTINCT privilege_type AS privilege FROM (${acl}) o, aclexplode(acl)
     WHERE grantee = (SELECT oid FROM pg_roles WHERE rolname = $2) ORDER BY 1`,
    [object, role],
  );
  return rows.map(({ privilege }) => privilege);
}

/** Of declared schemas that no earlier deploy has made: who owns them. */
async function formerOwners(
  login: SuperuserLogin,
  state: readonly StateResource[],
  marked: readonly Marked[],
  { schemas }: StackContent,
  theirs: readonly string[],
): Promise<TakenRecord["schemas"]> {
  const found: TakenRecord["schemas"] = {};
  for (const { server, database, name, owner } of schemas) {
    if (server !== login.server || name === LEASE_SCHEMA) continue;
    const now = await asSuperuser(
      login,
      async (client) => {
        const { rows } = await client.query<{ owner: string }>(
          "SELECT pg_get_userbyid(nspowner) AS owner FROM pg_namespace WHERE nspname = $1",
          [name],
        );
        return rows[0]?.owner;
      },
      database,
    );
    const known = findResource(state, "postgresql_schema", { name, database });
    // An import leaves out what PostgreSQL does not keep.
    const isImported = known !== undefined && known.attributes["drop_cascade"] == null;
    const isOurs =
      now === undefined ||
      (known !== undefined && !isImported && now === owner) ||
      (!theirs.includes(now) && !isTheirs(state, marked, now));
    if (!isOurs) (found[database] ??= {})[name] = now;
  }
  return found;
}

function mergedSchemas<Fact>(found: BySchema<Fact>, before: BySchema<Fact>): BySchema<Fact> {
  return { ...before, ...mapValues(found, (schemas, database) => ({ ...schemas, ...before[database] })) };
}

type BySchema<Fact> = Record<string, Record<string, Fact>>;

function mapValues<Value>(
  values: Record<string, Value>,
  map: (value: Value, key: string) => Value,
): Record<string, Value> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, map(value, key)]));
}

/**
 * Gives owners and schemas that were there before back what they had. They are no stack's any more.
 * @returns what was done, a line each
 */
export async function giveOwnersBack(deployment: Deployment): Promise<string[]> {
  const did: string[] = [];
  for (const login of deployment.superusers()) {
    const { owners, schemas } = await readRecord(deployment, login);
    for (const [name, record] of Object.entries(owners)) {
      const given = (await asSuperuser(login, (client) => giveOwner(client, name, record))) ?? [];
      for (const [database, byName] of Object.entries(record.schemas))
        for (const [schema, had] of Object.entries(byName))
          await asSuperuser(login, (client) => giveSchema(client, schema, name, had), database);
      if (given.length > 0) did.push(`gave the role ${name} back what it had: ${given.join("; ")}`);
    }
    for (const [database, byName] of Object.entries(schemas))
      for (const [schema, owner] of Object.entries(byName)) {
        const isGiven = await asSuperuser(login, (client) => giveAway(client, schema, owner), database);
        if (isGiven) did.push(`gave the schema ${schema} of the database ${database} back to ${owner}`);
      }
  }
  return did;
}

async function giveOwner(client: Client, name: string, record: OwnerRecord): Promise<string[]> {
  const now = await readOwner(client, name);
  if (!now) return [];
  const role = escapeIdentifier(name);
  const altered = [
    ...OWNER_ATTRIBUTE_NAMES.filter(
      (each) => record.attributes.includes(each) !== now.attributes.includes(each),
    ).map((each) => (record.attributes.includes(each) ? each : `NO${each}`)),
    record.connectionLimit === now.connectionLimit
      ? []
      : `CONNECTION LIMIT ${String(record.connectionLimit)}`,
    record.validUntil === null || record.validUntil === now.validUntil
      ? []
      : `VALID UNTIL ${escapeLiteral(record.validUntil)}`,
  ].flat();
  const given = [...altered];
  await client.query("BEGIN");
  if (altered.length > 0) await client.query(`ALTER ROLE ${role} ${altered.join(" ")}`);
  if (record.searchPath !== now.searchPath) {
    await client.query("SELECT set_config('search_path', $1, true)", [record.searchPath ?? "pg_catalog"]);
    await client.query(
      record.searchPath === null
        ? `ALTER ROLE ${role} RESET search_path`
        : `ALTER ROLE ${role} SET search_path FROM CURRENT`,
    );
    await client.query("SET LOCAL search_path = pg_catalog, pg_temp");
    given.push(
      record.searchPath === null ? "no search path of its own" : `the search path ${record.searchPath}`,
    );
  }
  for (const { role: group, admin } of record.memberOf) {
    if (now.memberOf.some((held) => held.role === group && held.admin === admin)) continue;
    const { rowCount } = await client.query("SELECT FROM pg_roles WHERE rolname = $1", [group]);
    if (rowCount !== 1) continue;
    await client.query(`GRANT ${escapeIdentifier(group)} TO ${role}${admin ? " WITH ADMIN OPTION" : ""}`);
    given.push(`membership in ${group}`);
  }
  for (const [database, had] of Object.entries(record.databases)) {
    const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = $1", [database]);
    if (rowCount !== 1) continue;
    const held = await databasePrivileges(client, database, name);
    if (held.join() === had.join()) continue;
    const on = `ON DATABASE ${escapeIdentifier(database)}`;
    await client.query(`REVOKE ALL ${on} FROM ${role}`);
    if (had.length > 0) await client.query(`GRANT ${had.join(", ")} ${on} TO ${role}`);
    given.push(`${had.join(", ") || "nothing"} on the database ${database}`);
  }
  await client.query("COMMIT");
  return given;
}

async function giveSchema(
  client: Client,
  schema: string,
  name: string,
  had: readonly string[],
): Promise<void> {
  const held = await schemaPrivileges(client, schema, name);
  if (held.join() === had.join()) return;
  const on = `ON SCHEMA ${escapeIdentifier(schema)}`;
  await client.query(`REVOKE ALL ${on} FROM ${escapeIdentifier(name)}`);
  if (had.length > 0) await client.query(`GRANT ${had.join(", ")} ${on} TO ${escapeIdentifier(name)}`);
}

async function giveAway(client: Client, schema: string, owner: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT FROM pg_namespace WHERE nspname = $1 AND pg_get_userbyid(nspowner) <> $2
       AND EXISTS (SELECT FROM pg_roles WHERE rolname = $2)`,
    [schema, owner],
  );
  if (rowCount !== 1) return false;
  await client.query(`ALTER SCHEMA ${escapeIdentifier(schema)} OWNER TO ${escapeIdentifier(owner)}`);
  return true;
}

/** The resources of the stack postgres that are about what was there before: in the state no longer, they stay as they are. */
export async function formerAddresses(
  deployment: Deployment,
  state: readonly StateResource[],
): Promise<string[]> {
  const stack = deployment.stack("postgres")!;
  const found: string[] = [];
  for (const login of deployment.superusers()) {
    const { owners, schemas } = await readRecord(deployment, login);
    for (const { address, type, attributes } of state) {
      const [, id = ""] = address.split(/\.(.*)/s);
      const declared = stack.json.resource[type]?.[id];
      if (declared && deployment.serverOf(declared["provider"]) !== login.server) continue;
      const text = (key: string) => String(attributes[key]);
      const isOf =
        type === "postgresql_role"
          ? Object.hasOwn(owners, text("name"))
          : type === "postgresql_schema"
            ? schemas[text("database")]?.[text("name")] !== undefined
            : type === "postgresql_grant" &&
              ["database", "schema"].includes(text("object_type")) &&
              Object.hasOwn(owners, text("role"));
      if (isOf) found.push(address);
    }
  }
  return found;
}
