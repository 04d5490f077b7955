import { escapeIdentifier, type Client } from "pg";
import { z } from "zod";
import { ownersOf } from "../../manifest/names";
import type { ManifestDatabase } from "../../manifest/schema";
import type { Deployment, StateResource } from "../deployment/deployment";
import { asSuperuser } from "./superuser";

/** Privileges that PUBLIC had before the stack revoked them. */
const had = z.object({
  database: z.array(z.enum(["CONNECT", "TEMPORARY"])),
  /** Functions of the schemas that it could execute, as PostgreSQL writes them. */
  functions: z.array(z.string()),
  /** Of a database that is not declared: see other-databases.ts. */
  isOther: z.literal(true).optional(),
});
type Had = z.infer<typeof had>;
/** A database that the stack is about to make: https://www.postgresql.org/docs/18/ddl-priv.html */
const DEFAULTS: Had = { database: ["CONNECT", "TEMPORARY"], functions: [] };
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

/** Without a record, or with one from before it was declared. */
const isNew = (record: Had | undefined) => record === undefined || record.isOther === true;

/** Before a first deploy: later on PUBLIC has nothing, and what it had can't be told any more. */
export async function recordPublic(deployment: Deployment): Promise<void> {
  const record = readRecord(deployment);
  const state = await deployment.state(deployment.stack("postgres")!);
  const news = deployment.manifest.databases.filter(
    (database) => isNew(record[keyOf(database)]) && takenIn(state, database).length === 0,
  );
  if (news.length === 0) return;
  for (const database of news) {
    const found = await asSuperuser(
      deployment.superuserOf(database),
      (client) => privilegesOf(client, database),
      database.name,
    );
    const before = record[keyOf(database)]?.database ?? [];
    const { database: has, functions } = found ?? DEFAULTS;
    record[keyOf(database)] = { database: [...new Set([...before, ...has])], functions };
  }
  writeRecord(deployment, record);
}

async function privilegesOf(client: Client, { name, schemas }: ManifestDatabase): Promise<Had> {
  const databases = await client.query<{ privilege: "CONNECT" | "TEMPORARY" }>(
    `SELECT privilege_type AS privilege FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
     WHERE datname = $1 AND grantee = 0 AND privilege_type IN ('CONNECT', 'TEMPORARY') ORDER BY 1`,
    [name],
  );
  // So that each name has its schema.
  await client.query("SET search_path = ''");
  const functions = await client.query<{ name: string }>(
    `SELECT p.oid::regprocedure::text AS name
     FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace, aclexplode(coalesce(proacl, acldefault('f', proowner)))
     WHERE nspname = ANY ($1) AND grantee = 0 AND privilege_type = 'EXECUTE' ORDER BY 1`,
    [schemas.map((schema) => schema.name)],
  );
  return {
    database: databases.rows.map(({ privilege }) => privilege),
    functions: functions.rows.map(({ name }) => name),
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
        // The owners are the stack's own, and were as PostgreSQL makes one.
        const owners = await client.query<{ name: string }>(
          "SELECT rolname AS name FROM pg_roles WHERE rolname = ANY ($1)",
          [ownersOf(database)],
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
