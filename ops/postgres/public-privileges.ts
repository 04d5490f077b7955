import { escapeIdentifier, type Client } from "pg";
import { madeOwnersOf } from "../../manifest/names";
import { routineName } from "../../manifest/object-kinds";
import { publicMay } from "../../manifest/public";
import type { ManifestDatabase } from "../../manifest/schema";
import type { Deployment, StateResource } from "../deployment/deployment";
import { changeRecord, readRecord, type PublicRecord, type TakenRecord } from "./record";
import { readStack, type StackContent } from "./stack-content";
import { asSuperuser } from "./superuser";

/** SQL over pg_proc as `p`, for `ON ROUTINE`. */
const ROUTINE_NAME = `CASE prokind WHEN 'a' THEN p.oid::regprocedure::text ELSE ${routineName("p")} END`;

/** What the stack has taken from PUBLIC in a database. */
function takenIn(state: readonly StateResource[], name: string): StateResource[] {
  return state.filter(({ attributes }) => attributes["role"] === "public" && attributes["database"] === name);
}

/** What the next apply will take from PUBLIC for the first time. */
interface ToBeTaken {
  readonly database: boolean;
  /** Schemas whose functions it will be. */
  readonly functions: readonly string[];
  /** Schemas whose procedures it will be: by a deploy of an earlier release their functions are taken already. */
  readonly procedures: readonly string[];
  readonly schemas: readonly string[];
  /** Roles whose later functions it will be. */
  readonly makers: readonly string[];
}

type PublicGrant = StackContent["grants"][number];

/** What the stack takes from PUBLIC in a database. */
function publicGrants({ grants }: StackContent, { server, name }: ManifestDatabase): PublicGrant[] {
  return grants.filter((on) => on.server === server && on.database === name && on.role === "public");
}

/** Those in which it takes something of a kind. */
function schemasOf(taken: readonly PublicGrant[], of: string): string[] {
  return taken.flatMap(({ kind, schema }) => (kind === of ? (schema ?? []) : []));
}

function toBeTaken(
  state: readonly StateResource[],
  database: ManifestDatabase,
  stack: StackContent,
): ToBeTaken {
  const { server, name } = database;
  // Under whatever address.
  const isNew = (kind: string, key: "schema" | "owner" | "database", value: string) =>
    !takenIn(state, name).some(
      ({ attributes }) => attributes["object_type"] === kind && attributes[key] === value,
    );
  const taken = publicGrants(stack, database).filter(({ kind, schema }) =>
    isNew(kind, schema ? "schema" : "database", schema ?? name),
  );
  return {
    database: taken.some(({ kind }) => kind === "database"),
    schemas: schemasOf(taken, "schema"),
    functions: schemasOf(taken, "function"),
    procedures: schemasOf(taken, "procedure"),
    makers: stack.defaults
      .filter((of) => of.server === server && of.database === name && isNew("function", "owner", of.owner))
      .map(({ owner }) => owner),
  };
}

/** Before each deploy: of what is taken already, what PUBLIC had can't be told any more. */
export async function recordPublic(deployment: Deployment): Promise<void> {
  const state = await deployment.state(deployment.stack("postgres")!);
  const stack = await readStack(deployment);
  for (const database of deployment.manifest.databases) {
    if (database.public !== "take") continue;
    const login = deployment.superuserOf(database);
    const taking = toBeTaken(state, database, stack);
    const { database: isTaken, ...lists } = taking;
    if (!isTaken && Object.values(lists).every((list) => list.length === 0)) continue;
    const query = (client: Client) => privilegesOf(client, database, taking);
    const found = (await asSuperuser(login, query, database.name)) ?? defaults(taking);
    await changeRecord(deployment, login, (record) => {
      // It was closed while it was not declared.
      const isClosed = record.closed.includes(database.name);
      const had = isClosed ? { ...found, database: union(["CONNECT" as const], found.database) } : found;
      return {
        ...record,
        closed: record.closed.filter((name) => name !== database.name),
        public: { ...record.public, [database.name]: merged(record.public[database.name], had) },
      };
    });
  }
}

/** A database that the stack is about to make: https://www.postgresql.org/docs/18/ddl-priv.html */
function defaults({ schemas, makers }: ToBeTaken): PublicRecord {
  return {
    database: ["CONNECT", "TEMPORARY"],
    functions: [],
    schemas: Object.fromEntries(schemas.map((name) => [name, ["USAGE" as const]])),
    makers: [...makers],
  };
}

function union<Item>(one: readonly Item[] = [], other: readonly Item[] = []): Item[] {
  return [...new Set([...one, ...other])];
}

/** A deploy that was killed has a record, and may have taken some of it; of what PUBLIC got back, it may lose some again. */
function merged(before: PublicRecord | undefined, found: PublicRecord): PublicRecord {
  const schemas = union(Object.keys(before?.schemas ?? {}), Object.keys(found.schemas));
  return {
    database: (before?.database ?? found.database) && union(before?.database, found.database),
    functions: union(before?.functions, found.functions),
    schemas: Object.fromEntries(
      schemas.map((name) => [name, union(before?.schemas[name], found.schemas[name])]),
    ),
    makers: union(before?.makers, found.makers),
  };
}

async function privilegesOf(
  client: Client,
  { name }: ManifestDatabase,
  taking: ToBeTaken,
): Promise<PublicRecord> {
  const databases = await client.query<{ privilege: "CONNECT" | "CREATE" | "TEMPORARY" }>(
    `SELECT DISTINCT privilege_type AS privilege FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
     WHERE datname = $1 AND grantee = 0 ORDER BY 1`,
    [name],
  );
  const schemas = await client.query<{ name: string; privileges: ("USAGE" | "CREATE")[] }>(
    `SELECT nspname AS name, ARRAY(
       SELECT DISTINCT privilege_type FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) WHERE grantee = 0 ORDER BY 1
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
     WHERE nspname = ANY (CASE prokind WHEN 'p' THEN $2::text[] ELSE $1 END) AND grantee = 0 AND privilege_type = 'EXECUTE'
     ORDER BY 1`,
    [taking.functions, taking.procedures],
  );
  const names = ({ rows }: { rows: { name: string }[] }) => rows.map(({ name }) => name);
  return {
    database: taking.database ? databases.rows.map(({ privilege }) => privilege) : undefined,
    functions: names(functions),
    schemas: Object.fromEntries(schemas.rows.map(({ name, privileges }) => [name, privileges])),
    makers: names(makers),
  };
}

/**
 * Takes what PostgreSQL gave PUBLIC of functions and procedures that were made since the stack took the others': Terraform's
 * provider sees it only once something else is granted on them, and would take it with the deploy after next. Recorded before it is
 * taken.
 * @returns what was done, for people, a line each
 */
export async function takeLater(deployment: Deployment): Promise<string[]> {
  const stack = await readStack(deployment);
  const did: string[] = [];
  for (const database of deployment.manifest.databases) {
    const taken = publicGrants(stack, database).filter(({ isNew }) => !isNew);
    const lists = [schemasOf(taken, "function"), schemasOf(taken, "procedure")];
    if (lists.flat().length === 0) continue;
    const login = deployment.superuserOf(database);
    const find = async (client: Client) => {
      await client.query("SET search_path = ''");
      const { rows } = await client.query<{ name: string; signature: string }>(
        `SELECT ${ROUTINE_NAME} AS name, p.oid::regprocedure::text AS signature
         FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
         WHERE proacl IS NULL AND nspname = ANY (CASE prokind WHEN 'p' THEN $2::text[] ELSE $1 END)
           AND pg_has_role(proowner, 'USAGE') ORDER BY 1`,
        lists,
      );
      return rows;
    };
    const found = (await asSuperuser(login, find, database.name)) ?? [];
    if (found.length === 0) continue;
    await changeRecord(deployment, login, (record) => {
      const had: PublicRecord = {
        functions: found.map(({ signature }) => signature),
        schemas: {},
        makers: [],
      };
      return {
        ...record,
        public: { ...record.public, [database.name]: merged(record.public[database.name], had) },
      };
    });
    const take = async (client: Client) => {
      for (const { name } of found) await client.query(`REVOKE EXECUTE ON ROUTINE ${name} FROM PUBLIC`);
    };
    await asSuperuser(login, take, database.name);
    did.push(`took from PUBLIC in the database ${database.name}: ${executeText(found.length)}`);
  }
  return did;
}

const executeText = (count: number) => `EXECUTE on ${String(count)} routine${count === 1 ? "" : "s"}`;

/**
 * After a deploy by whose config PUBLIC may have again what an earlier one took. What it still may not have stays on record.
 * @returns what was done, for people, a line each
 */
export async function givePublicKept(deployment: Deployment): Promise<string[]> {
  const did: string[] = [];
  for (const database of deployment.manifest.databases) {
    if (database.public === "take") continue;
    const login = deployment.superuserOf(database);
    const { public: had, owners } = await readRecord(deployment, login);
    const before = had[database.name];
    if (!before) continue;
    const [kept, rest] = split(before, database);
    const mayExecute = publicMay(database, "functions", "EXECUTE");
    const makers = mayExecute ? makersOf(database, before, owners) : [];
    const given = await asSuperuser(login, (client) => give(client, database, kept, makers), database.name);
    await changeRecord(deployment, login, (record) => {
      const { [database.name]: _, ...others } = record.public;
      return { ...record, public: rest ? { ...others, [database.name]: rest } : others };
    });
    if (given && given.length > 0) did.push(givenText(database, given));
  }
  return did;
}

/** What PUBLIC may have again, and what it may not. */
function split(before: PublicRecord, database: ManifestDatabase): [PublicRecord, PublicRecord | undefined] {
  const mayExecute = publicMay(database, "functions", "EXECUTE");
  const part = (may: boolean): PublicRecord => ({
    database: before.database?.filter((privilege) => publicMay(database, "database", privilege) === may),
    functions: mayExecute === may ? before.functions : [],
    schemas: Object.fromEntries(
      Object.entries(before.schemas).map(([schema, privileges]) => [
        schema,
        privileges.filter((privilege) => publicMay(database, "schema", privilege, schema) === may),
      ]),
    ),
    makers: mayExecute === may ? before.makers : [],
  });
  const rest = part(false);
  const isEmpty = [rest.database ?? [], rest.functions, rest.makers, ...Object.values(rest.schemas)].every(
    (list) => list.length === 0,
  );
  return [part(true), isEmpty ? undefined : rest];
}

/** The owners that the stack makes are its own, and were as PostgreSQL makes one. */
function makersOf(
  database: ManifestDatabase,
  before: PublicRecord | undefined,
  owners: TakenRecord["owners"],
): string[] {
  const made = madeOwnersOf(database).filter((name) => !Object.hasOwn(owners, name));
  return [...made, ...(before?.makers ?? [])];
}

const givenText = ({ name }: ManifestDatabase, given: readonly string[]) =>
  `gave PUBLIC back what it had in the database ${name}: ${given.join("; ")}`;

/** What was done and what could not be, for people, a line each. */
export interface GivenBack {
  readonly did: readonly string[];
  readonly left: readonly string[];
}

/** Gives PUBLIC what it had before the first deploy, and no more. What is not on record stays taken. */
export async function givePublicBack(
  deployment: Deployment,
  state: readonly StateResource[],
): Promise<GivenBack> {
  const did: string[] = [];
  const left: string[] = [];
  for (const database of deployment.manifest.databases) {
    const login = deployment.superuserOf(database);
    const { public: had, owners } = await readRecord(deployment, login);
    const before = had[database.name];
    // An earlier destroy that did not come to its end has given it back.
    if (!before && takenIn(state, database.name).length === 0) continue;
    if (before?.database === undefined)
      left.push(
        `the database ${database.name} without PUBLIC's privileges, since those that it had before are not on record (PostgreSQL's default: GRANT CONNECT, TEMPORARY ON DATABASE ${escapeIdentifier(database.name)} TO PUBLIC)`,
      );
    const makers = makersOf(database, before, owners);
    const given = await asSuperuser(login, (client) => give(client, database, before, makers), database.name);
    if (given && given.length > 0) did.push(givenText(database, given));
  }
  return { did, left };
}

async function give(
  client: Client,
  { name }: ManifestDatabase,
  before: PublicRecord | undefined,
  makers: readonly string[],
): Promise<string[]> {
  const given: string[] = [];
  const { database = [], functions = [], schemas = {} } = before ?? {};
  if (database.length > 0) {
    await client.query(`GRANT ${database.join(", ")} ON DATABASE ${escapeIdentifier(name)} TO PUBLIC`);
    given.push(database.join(", "));
  }
  let executable = 0;
  for (const signature of functions) {
    const { rows } = await client.query<{ name: string }>(
      `SELECT ${ROUTINE_NAME} AS name
       FROM pg_proc p WHERE p.oid = to_regprocedure($1)`,
      [signature],
    );
    const [found] = rows;
    if (!found) continue;
    await client.query(`GRANT EXECUTE ON ROUTINE ${found.name} TO PUBLIC`);
    executable += 1;
  }
  if (executable > 0) given.push(executeText(executable));
  for (const [schema, privileges] of Object.entries(schemas)) {
    const { rowCount } = await client.query("SELECT FROM pg_namespace WHERE nspname = $1", [schema]);
    if (rowCount !== 1 || privileges.length === 0) continue;
    await client.query(`GRANT ${privileges.join(", ")} ON SCHEMA ${escapeIdentifier(schema)} TO PUBLIC`);
    given.push(`${privileges.join(", ")} on the schema ${schema}`);
  }
  const there = await client.query<{ name: string }>(
    "SELECT rolname AS name FROM pg_roles WHERE rolname = ANY ($1)",
    [makers],
  );
  for (const maker of there.rows)
    await client.query(
      `ALTER DEFAULT PRIVILEGES FOR ROLE ${escapeIdentifier(maker.name)} GRANT EXECUTE ON FUNCTIONS TO PUBLIC`,
    );
  return given;
}
