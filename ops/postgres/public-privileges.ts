import { escapeIdentifier, type Client } from "pg";
import { z } from "zod";
import { madeOwnersOf, makersOf } from "../../manifest/names";
import type { ManifestDatabase } from "../../manifest/schema";
import type { Deployment, StateResource } from "../deployment/deployment";
import { asSuperuser } from "./superuser";

/** Privileges that PUBLIC had before the stack revoked them. */
const had = z.object({
  database: z.array(z.enum(["CONNECT", "TEMPORARY"])),
  /** Functions of the schemas that it could execute, as PostgreSQL writes them. */
  functions: z.array(z.string()),
  /** On schemas that were there before, by their names. */
  schemas: z.record(z.string(), z.array(z.enum(["USAGE", "CREATE"]))).optional(),
  /** Roles that were there before, and whose later functions it could execute. */
  makers: z.array(z.string()).optional(),
  /** Of a database that is not declared: see other-databases.ts. */
  isOther: z.literal(true).optional(),
});
type Had = z.infer<typeof had>;
const recordSchema = z.record(z.string(), had);

const keyOf = ({ server, name }: ManifestDatabase) => `${server}/${name}`;

export function readRecord({ home }: Deployment): Record<string, Had> {
  const text = home.publicPrivileges();
  return text === undefined ? {} : recordSchema.parse(JSON.parse(text));
}

export function writeRecord({ home }: Deployment, record: Record<string, Had>): void {
  home.setPublicPrivileges(JSON.stringify(record));
}

/** What the stack has taken from PUBLIC in a database. */
function takenIn(state: readonly StateResource[], { name }: ManifestDatabase): StateResource[] {
  return state.filter(({ attributes }) => attributes["role"] === "public" && attributes["database"] === name);
}

/** What the next apply will take from PUBLIC for the first time. */
interface ToBeTaken {
  readonly database: boolean;
  /** Schemas whose functions it will be. */
  readonly functions: readonly string[];
  /** Schemas that were there before. */
  readonly schemas: readonly string[];
  /** Roles that were there before, and whose later functions it will be. */
  readonly makers: readonly string[];
}

function toBeTaken(state: readonly StateResource[], database: ManifestDatabase): ToBeTaken {
  const isTaken = (kind: string, key: "schema" | "owner" | "database", value: string) =>
    takenIn(state, database).some(
      ({ attributes }) => attributes["object_type"] === kind && attributes[key] === value,
    );
  const { schemas } = database;
  return {
    database: !isTaken("database", "database", database.name),
    functions: schemas.map(({ name }) => name).filter((name) => !isTaken("function", "schema", name)),
    schemas: schemas
      .filter((schema) => schema.exists && !schema.public)
      .map(({ name }) => name)
      .filter((name) => !isTaken("schema", "schema", name)),
    makers: makersOf(database)
      .filter((name) => !madeOwnersOf(database).includes(name))
      .filter((name) => !isTaken("function", "owner", name)),
  };
}

/** Before each deploy: of what is taken already, what PUBLIC had can't be told any more. */
export async function recordPublic(deployment: Deployment): Promise<void> {
  const record = readRecord(deployment);
  const state = await deployment.state(deployment.stack("postgres")!);
  for (const database of deployment.manifest.databases) {
    if (database.public !== "take") continue;
    const taking = toBeTaken(state, database);
    if (
      !taking.database &&
      [taking.functions, taking.schemas, taking.makers].every((list) => list.length === 0)
    )
      continue;
    const found = await asSuperuser(
      deployment.superuserOf(database),
      (client) => privilegesOf(client, database, taking),
      database.name,
    );
    const before = record[keyOf(database)];
    // A deploy that was killed has a record, and may have taken some of it.
    record[keyOf(database)] = merged(before, found ?? defaults(taking));
  }
  writeRecord(deployment, record);
}

/** A database that the stack is about to make: https://www.postgresql.org/docs/18/ddl-priv.html */
function defaults({ schemas, makers }: ToBeTaken): Had {
  return {
    database: ["CONNECT", "TEMPORARY"],
    functions: [],
    schemas: Object.fromEntries(schemas.map((name) => [name, ["USAGE"]])),
    makers: [...makers],
  };
}

function merged(before: Had | undefined, found: Had): Had {
  const union = <T>(one: readonly T[] = [], other: readonly T[] = []) => [...new Set([...one, ...other])];
  return {
    database: union(before?.database, found.database),
    functions: union(before?.functions, found.functions),
    schemas: { ...found.schemas, ...before?.schemas },
    makers: union(before?.makers, found.makers),
  };
}

async function privilegesOf(client: Client, { name }: ManifestDatabase, taking: ToBeTaken): Promise<Had> {
  const databases = await client.query<{ privilege: "CONNECT" | "TEMPORARY" }>(
    `SELECT privilege_type AS privilege FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
     WHERE $2 AND datname = $1 AND grantee = 0 AND privilege_type IN ('CONNECT', 'TEMPORARY') ORDER BY 1`,
    [name, taking.database],
  );
  const schemas = await client.query<{ name: string; privileges: ("USAGE" | "CREATE")[] }>(
    `SELECT nspname AS name, ARRAY(
       SELECT privilege_type FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) WHERE grantee = 0 ORDER BY 1
     ) AS privileges
     FROM pg_namespace WHERE nspname = ANY ($1)`,
    [taking.schemas],
  );
  const makers = await client.query<{ name: string }>(
    `SELECT rolname AS name FROM pg_roles r
     WHERE rolname = ANY ($1) AND EXISTS (
       SELECT FROM aclexplode(coalesce(
         (SELECT defaclacl FROM pg_default_acl WHERE defaclrole = r.oid AND defaclnamespace = 0 AND defaclobjtype = 'f'),
         acldefault('f', r.oid)
       )) WHERE grantee = 0
     )
     ORDER BY 1`,
    [taking.makers],
  );
  // So that each name has its schema.
  await client.query("SET search_path = ''");
  const functions = await client.query<{ name: string }>(
    `SELECT p.oid::regprocedure::text AS name
     FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace, aclexplode(coalesce(proacl, acldefault('f', proowner)))
     WHERE nspname = ANY ($1) AND grantee = 0 AND privilege_type = 'EXECUTE' ORDER BY 1`,
    [taking.functions],
  );
  const names = ({ rows }: { rows: { name: string }[] }) => rows.map(({ name }) => name);
  return {
    database: databases.rows.map(({ privilege }) => privilege),
    functions: names(functions),
    schemas: Object.fromEntries(schemas.rows.map(({ name, privileges }) => [name, privileges])),
    makers: names(makers),
  };
}

/**
 * Gives PUBLIC what it had before the first deploy, and no more. Before the destroy, which would take it away once more,
 * and out of its state.
 * @returns what is not given back, since nothing tells what there was
 */
export async function givePublicBack(
  deployment: Deployment,
  state: readonly StateResource[],
): Promise<string[]> {
  const record = readRecord(deployment);
  const left: string[] = [];
  for (const database of deployment.manifest.databases) {
    const before = record[keyOf(database)];
    // An earlier destroy that did not come to its end has given it back.
    if (!before && takenIn(state, database).length === 0) continue;
    const name = escapeIdentifier(database.name);
    if (!before)
      left.push(
        `the database ${database.name} without PUBLIC's privileges, since those that it had before are not on record (PostgreSQL's default: GRANT CONNECT, TEMPORARY ON DATABASE ${name} TO PUBLIC)`,
      );
    await asSuperuser(
      deployment.superuserOf(database),
      async (client) => {
        for (const privilege of before?.database ?? [])
          await client.query(`GRANT ${privilege} ON DATABASE ${name} TO PUBLIC`);
        for (const signature of before?.functions ?? []) {
          const { rows } = await client.query<{ name: string | null }>(
            "SELECT to_regprocedure($1)::text AS name",
            [signature],
          );
          if (rows[0]!.name !== null) await client.query(`GRANT EXECUTE ON ROUTINE ${signature} TO PUBLIC`);
        }
        for (const [schema, privileges] of Object.entries(before?.schemas ?? {})) {
          const { rowCount } = await client.query("SELECT FROM pg_namespace WHERE nspname = $1", [schema]);
          if (rowCount === 1 && privileges.length > 0)
            await client.query(
              `GRANT ${privileges.join(", ")} ON SCHEMA ${escapeIdentifier(schema)} TO PUBLIC`,
            );
        }
        // The owners that the stack makes are its own, and were as PostgreSQL makes one.
        const owners = await client.query<{ name: string }>(
          "SELECT rolname AS name FROM pg_roles WHERE rolname = ANY ($1)",
          [[...madeOwnersOf(database), ...(before?.makers ?? [])]],
        );
        for (const owner of owners.rows)
          await client.query(
            `ALTER DEFAULT PRIVILEGES FOR ROLE ${escapeIdentifier(owner.name)} GRANT EXECUTE ON FUNCTIONS TO PUBLIC`,
          );
      },
      database.name,
    );
  }
  const taken = state.filter(({ attributes }) => attributes["role"] === "public");
  await deployment
    .terraform(deployment.stack("postgres")!, undefined)
    .forget(taken.map(({ address }) => address));
  deployment.home.removePublicPrivileges();
  return left;
}
