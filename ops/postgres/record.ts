import { escapeIdentifier, type Client } from "pg";
import { z } from "zod";
import { SetupError } from "../../clients/setup-error";
import { printable } from "../../clients/text";
import { LEASE_SCHEMA } from "../../manifest/names";
import { ROLE_ATTRIBUTES } from "../../manifest/object-kinds";
import type { Deployment, SuperuserLogin } from "../deployment/deployment";
import { asSuperuser } from "./superuser";

/** What PUBLIC had in a database before a deploy took it. What is left out was not taken. */
const publicRecord = z.object({
  database: z.array(z.enum(["CONNECT", "CREATE", "TEMPORARY"])).optional(),
  /** Functions and procedures that it could execute, as PostgreSQL writes them. */
  functions: z.array(z.string()).default([]),
  /** On schemas that were there before, by their names. */
  schemas: z.record(z.string(), z.array(z.enum(["USAGE", "CREATE"]))).default({}),
  /** Roles that were there before, and whose later functions it could execute. */
  makers: z.array(z.string()).default([]),
});

const { CREATEDB, CREATEROLE, REPLICATION, BYPASSRLS } = ROLE_ATTRIBUTES;
/** Those of an owner that a stack may take, each with its column of pg_roles. */
export const OWNER_ATTRIBUTES = {
  ...{ LOGIN: "rolcanlogin", INHERIT: "rolinherit" },
  ...{ CREATEDB, CREATEROLE, REPLICATION, BYPASSRLS },
} as const;
export const OWNER_ATTRIBUTE_NAMES = Object.keys(OWNER_ATTRIBUTES) as (keyof typeof OWNER_ATTRIBUTES)[];

/** What an owner had who was there before a deploy made him one that the stacks describe. */
const ownerRecord = z.object({
  attributes: z.array(z.enum(OWNER_ATTRIBUTE_NAMES)),
  connectionLimit: z.int(),
  /** null where it has no end. */
  validUntil: z.string().nullable(),
  /** As PostgreSQL keeps it; null where none was set. */
  searchPath: z.string().nullable(),
  memberOf: z.array(z.object({ role: z.string(), admin: z.boolean() })),
  /** On databases, by their names. */
  databases: z.record(z.string(), z.array(z.enum(["CONNECT", "CREATE", "TEMPORARY"]))).default({}),
  /** On schemas, by the names of their databases and their own. */
  schemas: z.record(z.string(), z.record(z.string(), z.array(z.enum(["USAGE", "CREATE"])))).default({}),
});

const takenRecord = z.object({
  /** By the database's name. */
  public: z.record(z.string(), publicRecord).default({}),
  /** Databases that are not declared, to which PUBLIC could connect. */
  closed: z.array(z.string()).default([]),
  /** By the role's name. */
  owners: z.record(z.string(), ownerRecord).default({}),
  /** Owners of schemas, by the names of their databases and their own. */
  schemas: z.record(z.string(), z.record(z.string(), z.string())).default({}),
});

export type PublicRecord = z.output<typeof publicRecord>;
export type OwnerRecord = z.output<typeof ownerRecord>;
/** What was there before on a server, and was taken or is about to be: what destroy gives back. */
export type TakenRecord = z.output<typeof takenRecord>;

const NOTHING: TakenRecord = takenRecord.parse({});
const TABLE = `${LEASE_SCHEMA}.taken`;

/** In the first database of a server, which is there before any deploy, and whoever runs the next command finds it there. */
export async function readRecord(deployment: Deployment, login: SuperuserLogin): Promise<TakenRecord> {
  return (await asSuperuser(login, (client) => read(client, login, deployment.manifest.environment)))!;
}

/**
 * Changes the record of an environment on a server, in one transaction. The table goes with the last record in it, and with the
 * table its schema, unless something else is there.
 * @throws SetupError where the table or its schema is somebody else's, who could have anything given to anybody
 */
export async function changeRecord(
  deployment: Deployment,
  login: SuperuserLogin,
  change: (record: TakenRecord) => TakenRecord,
): Promise<void> {
  const { environment } = deployment.manifest;
  await asSuperuser(login, async (client) => {
    const before = await read(client, login, environment);
    if (isSame(change(before), before)) return;
    await client.query("BEGIN");
    await makeTable(client);
    await client.query(`LOCK TABLE ${TABLE} IN EXCLUSIVE MODE`);
    const record = change(await read(client, login, environment));
    await client.query(`DELETE FROM ${TABLE} WHERE environment = $1`, [environment]);
    if (!isSame(record, NOTHING))
      await client.query(`INSERT INTO ${TABLE} VALUES ($1, $2)`, [environment, JSON.stringify(record)]);
    await client.query(`
      DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM ${TABLE}) THEN
          DROP TABLE ${TABLE};
          DROP SCHEMA ${LEASE_SCHEMA};
        END IF;
      EXCEPTION WHEN dependent_objects_still_exist THEN
        DROP TABLE ${TABLE};
      END $$`);
    await client.query("COMMIT");
  });
}

/**
 * For when all that was on it is given back.
 * @returns databases in which the schema stays, with the records of other environments
 */
export async function emptyRecord(deployment: Deployment): Promise<string[]> {
  const stay: string[] = [];
  for (const login of deployment.superusers()) {
    await changeRecord(deployment, login, () => NOTHING);
    const found = await asSuperuser(login, (client) =>
      client.query("SELECT WHERE to_regclass($1) IS NOT NULL", [TABLE]),
    );
    if (found!.rowCount === 1) stay.push(login.database);
  }
  return stay;
}

const isSame = (one: TakenRecord, other: TakenRecord) => JSON.stringify(one) === JSON.stringify(other);

async function read(client: Client, login: SuperuserLogin, environment: string): Promise<TakenRecord> {
  const { rows: found } = await client.query<{
    object: string;
    owner: string;
    isTable: boolean;
    isOurs: boolean;
  }>(
    `SELECT object, pg_get_userbyid(owner) AS owner, is_table AS "isTable",
       pg_get_userbyid(owner) = current_user OR (SELECT rolsuper FROM pg_roles WHERE oid = owner) AS "isOurs"
     FROM (
       SELECT 'schema ' || nspname AS object, nspowner AS owner, false AS is_table FROM pg_namespace WHERE nspname = $1
       UNION ALL
       SELECT 'table ' || oid::regclass, relowner, true FROM pg_class WHERE oid = to_regclass($2)
     ) o ORDER BY is_table`,
    [LEASE_SCHEMA, TABLE],
  );
  const other = found.find(({ isOurs }) => !isOurs);
  if (other)
    throw new SetupError(
      `the ${printable(other.object)} in the database ${printable(login.database)} belongs to ${printable(other.owner)}, and it is where deploy records what it takes, for destroy to give back: drop it or rename it, then run the command again`,
    );
  if (!found.some(({ isTable }) => isTable)) return NOTHING;
  const { rows } = await client.query<{ record: unknown }>(
    `SELECT record FROM ${TABLE} WHERE environment = $1`,
    [environment],
  );
  return takenRecord.parse(rows[0]?.record ?? {});
}

/** For its owner alone, whatever his default privileges give to others. */
async function makeTable(client: Client): Promise<void> {
  await client.query(`
    CREATE SCHEMA IF NOT EXISTS ${LEASE_SCHEMA};
    CREATE TABLE IF NOT EXISTS ${TABLE} (environment text PRIMARY KEY, record jsonb NOT NULL)`);
  const { rows } = await client.query<{ grantee: string }>(
    `SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
     FROM pg_class, aclexplode(relacl) WHERE oid = $1::regclass AND grantee <> relowner`,
    [TABLE],
  );
  for (const { grantee } of rows) await client.query(`REVOKE ALL ON TABLE ${TABLE} FROM ${grantee} CASCADE`);
}

/** As an earlier version kept it, of all servers, in the home folder, which is not there on another machine. */
const homeRecord = z.record(z.string(), publicRecord.extend({ isOther: z.literal(true).optional() }));

/**
 * Moves it to the servers, where there is one.
 * @returns what can't be given back by any command from then on, a line each
 */
export async function moveHomeRecord(deployment: Deployment): Promise<string[]> {
  const text = deployment.home.publicPrivileges();
  if (text === undefined) return [];
  const entries = Object.entries(homeRecord.parse(JSON.parse(text))).map(([key, { isOther, ...had }]) => {
    const [server = "", name = ""] = key.split(/\/(.*)/s);
    return { server, name, isOther, had };
  });
  const logins = deployment.superusers();
  for (const login of logins) {
    const here = entries.filter(({ server }) => server === login.server);
    await changeRecord(deployment, login, (record) => ({
      ...record,
      closed: [
        ...new Set([...record.closed, ...here.filter(({ isOther }) => isOther).map(({ name }) => name)]),
      ],
      public: {
        ...Object.fromEntries(here.filter(({ isOther }) => !isOther).map(({ name, had }) => [name, had])),
        ...record.public,
      },
    }));
  }
  deployment.home.removePublicPrivileges();
  return entries
    .filter(({ server, isOther }) => isOther && !logins.some((login) => login.server === server))
    .map(
      ({ server, name }) =>
        `the database ${printable(name)} stays closed, since the config no longer names its server ${printable(server)}: GRANT CONNECT ON DATABASE ${escapeIdentifier(name)} TO PUBLIC gives it back`,
    );
}
