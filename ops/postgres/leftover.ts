import { escapeIdentifier, escapeLiteral } from "pg";
import { madeOwnersOf, ownersOf } from "../../manifest/names";
import type { ManifestDatabase, ManifestSchema } from "../../manifest/schema";
import type { Deployment, StateResource, SuperuserLogin } from "../deployment/deployment";
import { asSuperuser } from "./superuser";

/** What destroy leaves where it is, so that the users' data stay. */
export interface Leftover {
  /** Of the resources, in Terraform's state. */
  readonly addresses: readonly string[];
  /** Roles among them. */
  readonly owners: readonly string[];
  /** For people, a line each. */
  readonly lines: readonly string[];
}

/** By this comment deploy recognises what destroy left. */
function mark({ manifest }: Deployment): string {
  return `left by leasehold destroy, environment ${manifest.environment}`;
}

const KINDS = [
  { type: "postgresql_role", object: "ROLE", catalog: "pg_authid", table: "pg_roles", column: "rolname" },
  {
    type: "postgresql_database",
    object: "DATABASE",
    catalog: "pg_database",
    table: "pg_database",
    column: "datname",
  },
] as const;

/**
 * A schema that holds objects, with its owner; an owner of objects outside the schema; a database that the stack created.
 * @param databasesGo leaves no database
 */
export async function findLeftover(
  deployment: Deployment,
  state: readonly StateResource[],
  databasesGo = false,
): Promise<Leftover> {
  const addresses: string[] = [];
  const owners: string[] = [];
  const lines: string[] = [];
  for (const database of deployment.manifest.databases) {
    const { name } = database;
    const made = findResource(state, "postgresql_database", { name });
    if (made && !databasesGo) {
      addresses.push(made.address);
      lines.push(`the database ${name}`);
    }
    const { schemas, inside, outside } = await objectsOf(deployment, state, database);
    const full = schemas.filter((schema) => inside.get(schema.name)! > 0);
    const keeping = [...outside.keys()].filter(
      (owner) => outside.get(owner)! > 0 || full.some((schema) => schema.owner === owner),
    );
    owners.push(...keeping);
    const parts = [
      ...full.map((schema) =>
        findResource(state, "postgresql_schema", { name: schema.name, database: name }),
      ),
      ...keeping.map((owner) => findResource(state, "postgresql_role", { name: owner })),
    ];
    addresses.push(...parts.flatMap((resource) => resource?.address ?? []));
    for (const schema of full)
      lines.push(
        `the schema ${schema.name} of the database ${name} with its contents (${counted(inside.get(schema.name)!)}), and its owner ${schema.owner}`,
      );
    // What is in others stays there in any case.
    const declared = database.schemas.filter(({ exists }) => !exists);
    const all = declared.map((schema) => schema.name).join(", ");
    const where = all === "" ? "in" : `outside the schema ${all} of`;
    for (const owner of keeping.filter((each) => outside.get(each)! > 0))
      lines.push(`${counted(outside.get(owner)!)} of ${owner} ${where} the database ${name}, and ${owner}`);
  }
  return { addresses, owners, lines };
}

function counted(objects: number): string {
  return `${String(objects)} ${objects === 1 ? "object" : "objects"}`;
}

export function findResource(
  state: readonly StateResource[],
  type: string,
  attributes: Readonly<Record<string, string>>,
): StateResource | undefined {
  return state.find(
    (resource) =>
      resource.type === type &&
      Object.entries(attributes).every(([key, value]) => resource.attributes[key] === value),
  );
}

/** Removes the resources from the state, and marks them for the next deploy to import. */
export async function leave(
  deployment: Deployment,
  { addresses }: Leftover,
  state: readonly StateResource[],
) {
  const stack = deployment.stack("postgres")!;
  const left = state.filter(({ address }) => addresses.includes(address));
  for (const { type, object } of KINDS) {
    for (const { attributes } of left.filter((resource) => resource.type === type)) {
      const name = String(attributes["name"]);
      const comment = escapeLiteral(mark(deployment));
      await asSuperuser(loginOfResource(deployment, name), (client) =>
        client.query(`COMMENT ON ${object} ${escapeIdentifier(name)} IS ${comment}`),
      );
    }
  }
  await deployment.terraform(stack, undefined).forget(addresses);
}

/** What an earlier destroy left, with the mark of this environment. */
export interface Marked {
  readonly address: string;
  readonly object: (typeof KINDS)[number]["object"];
  readonly name: string;
}

/** Finds what an earlier destroy left and is in no state since. */
export async function findMarked(deployment: Deployment): Promise<Marked[]> {
  const stack = deployment.stack("postgres")!;
  const state = await deployment.state(stack);
  const found: Marked[] = [];
  for (const { type, object, catalog, table, column } of KINDS) {
    for (const [id, attributes] of Object.entries(stack.json.resource[type] ?? {})) {
      const address = `${type}.${id}`;
      if (state.some((resource) => resource.address === address)) continue;
      const name = String(attributes["name"]);
      const rows = await asSuperuser(loginOfResource(deployment, name), (client) =>
        client.query(
          `SELECT FROM ${table} WHERE ${column} = $1 AND shobj_description(oid, '${catalog}') = $2`,
          [name, mark(deployment)],
        ),
      );
      if (rows?.rowCount) found.push({ address, object, name });
    }
  }
  return found;
}

/** Imports it into Terraform's state. */
export async function adopt(
  deployment: Deployment,
  marked: readonly Marked[],
  onProgress: (text: string) => void,
): Promise<void> {
  const stack = deployment.stack("postgres")!;
  for (const { address, object, name } of marked) {
    onProgress(`taking back the ${object.toLowerCase()} ${name}, which an earlier destroy left`);
    deployment.restore(stack);
    await deployment.terraform(stack, undefined).import(address, name);
    await asSuperuser(loginOfResource(deployment, name), (client) =>
      client.query(`COMMENT ON ${object} ${escapeIdentifier(name)} IS NULL`),
    );
  }
}

/** Of an owner or a database of the manifest. */
function loginOfResource(deployment: Deployment, name: string): SuperuserLogin {
  const { databases } = deployment.manifest;
  const database = databases.find(
    (candidate) => candidate.name === name || ownersOf(candidate).includes(name),
  );
  return deployment.superuserOf(database ?? databases[0]!);
}

/** What would stand in the way of DROP SCHEMA: tables, functions, types … */
const INSIDE = `
  SELECT count(*)::int AS count FROM pg_depend
  WHERE refclassid = 'pg_namespace'::regclass AND deptype = 'n' AND refobjid = to_regnamespace($1)`;

/**
 * What an owner owns outside the schemas, and would stand in the way of DROP ROLE. The stack's own default privileges go with
 * it.
 */
const OUTSIDE = `
  WITH schemas AS (SELECT to_regnamespace(name)::oid AS oid FROM unnest($2::text[]) name)
  SELECT count(*)::int AS count FROM pg_shdepend s
  WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o' AND refobjid = to_regrole($1)
    AND classid <> 'pg_default_acl'::regclass
    AND (
      dbid <> (SELECT oid FROM pg_database WHERE datname = current_database())
      OR NOT EXISTS (SELECT FROM schemas WHERE classid = 'pg_namespace'::regclass AND oid = objid)
        AND NOT EXISTS (
          SELECT FROM pg_depend d JOIN schemas ON oid = d.refobjid
          WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype = 'n'
            AND d.classid = s.classid AND d.objid = s.objid
        )
    )`;

/**
 * How many objects stand in each schema, and how many each owner has elsewhere. Of owners and schemas that were there before, and
 * are in the state no longer, all stays where it is.
 */
async function objectsOf(
  deployment: Deployment,
  state: readonly StateResource[],
  database: ManifestDatabase,
): Promise<{
  schemas: readonly ManifestSchema[];
  inside: ReadonlyMap<string, number>;
  outside: ReadonlyMap<string, number>;
}> {
  const inside = new Map<string, number>();
  const outside = new Map<string, number>();
  const schemas: ManifestSchema[] = [];
  await asSuperuser(
    deployment.superuserOf(database),
    async (client) => {
      const names = async (sql: string, values: unknown[]) =>
        (await client.query<{ name: string }>(sql, values)).rows.map(({ name }) => name);
      const count = async (sql: string, values: unknown[]) =>
        (await client.query<{ count: number }>(sql, values)).rows[0]!.count;
      const marked = await names(
        "SELECT rolname AS name FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = $1",
        [mark(deployment)],
      );
      const owners = madeOwnersOf(database).filter(
        (name) => marked.includes(name) || findResource(state, "postgresql_role", { name }),
      );
      const owned = await names(
        "SELECT nspname AS name FROM pg_namespace WHERE pg_get_userbyid(nspowner) = ANY ($1)",
        [owners],
      );
      for (const schema of database.schemas) {
        const { name, exists } = schema;
        const isMade = findResource(state, "postgresql_schema", { name, database: database.name });
        if (exists || !(isMade || owned.includes(name))) continue;
        schemas.push(schema);
        inside.set(name, await count(INSIDE, [escapeIdentifier(name)]));
      }
      const quoted = schemas.map(({ name }) => escapeIdentifier(name));
      for (const owner of owners) outside.set(owner, await count(OUTSIDE, [escapeIdentifier(owner), quoted]));
    },
    database.name,
  );
  return { schemas, inside, outside };
}
