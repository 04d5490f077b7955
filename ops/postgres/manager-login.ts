import { escapeIdentifier, escapeLiteral, type Client } from "pg";
import { RESERVED_SLOTS } from "../../manifest/names";
import type { ManifestDatabase } from "../../manifest/schema";
import type { Deployment } from "../deployment/deployment";
import { asSuperuser } from "./superuser";

/**
 * Gives Vault's own logins what the stack postgres can't, since an update of the role takes its memberships away: attributes that
 * were changed by hand, and the search path, where it is another, as up to 0.1.0 it was the application's schema; and the slots
 * that the server keeps for such logins. For before the stack is applied, which then finds nothing to update.
 * @param databases whose login it is
 * @returns what was done, a line each
 */
export async function equipManagers(
  deployment: Deployment,
  databases: readonly ManifestDatabase[],
): Promise<string[]> {
  const did: string[] = [];
  for (const database of databases) {
    const { manager } = database;
    if (manager === undefined) continue;
    await asSuperuser(deployment.superuserOf(database), async (client) => {
      const mended = await mendAttributes(client, manager);
      if (mended.length > 0)
        did.push(`gave ${manager} back what was changed of it by hand: ${mended.join(" ")}`);
      if (await pinSearchPath(client, manager))
        did.push(`set the search path of ${manager} to pg_catalog, in which nobody else can create objects`);
      if (await grantReservedConnections(client, manager))
        did.push(`allowed ${manager} to use the server's reserved connections`);
    });
  }
  return did;
}

/** The databases whose Vault login Terraform has made, and on whose server: one of that name elsewhere is somebody else's. */
export async function managed(deployment: Deployment): Promise<ManifestDatabase[]> {
  const stack = deployment.stack("postgres")!;
  const made = (await deployment.state(stack)).map(({ address }) => address);
  const roles = Object.entries(stack.json.resource["postgresql_role"] ?? {})
    .filter(([id]) => made.includes(`postgresql_role.${id}`))
    .map(([, { name, provider }]) => ({ name, server: deployment.serverOf(provider) }));
  return deployment.manifest.databases.filter(({ manager, server }) =>
    roles.some((role) => role.name === manager && role.server === server),
  );
}

/** What the stack declares of it, and when it is otherwise. CREATEROLE is a matter of how it leases (manager-powers.ts). */
const ATTRIBUTES = [
  ["NOSUPERUSER", "rolsuper"],
  ["NOCREATEDB", "rolcreatedb"],
  ["NOREPLICATION", "rolreplication"],
  ["NOBYPASSRLS", "rolbypassrls"],
  ["INHERIT", "NOT rolinherit"],
  ["LOGIN", "NOT rolcanlogin"],
  ["CONNECTION LIMIT -1", "rolconnlimit <> -1"],
  ["VALID UNTIL 'infinity'", "rolvaliduntil < 'infinity'"],
] as const;

/** Returns what it was given back. */
async function mendAttributes(client: Client, manager: string): Promise<string[]> {
  const cases = ATTRIBUTES.map(
    ([attribute, isOff]) => `CASE WHEN ${isOff} THEN ${escapeLiteral(attribute)} END`,
  );
  const { rows } = await client.query<{ off: string[] }>(
    `SELECT array_remove(ARRAY[${cases.join(", ")}], NULL) AS off FROM pg_roles WHERE rolname = $1`,
    [manager],
  );
  const off = rows[0]?.off ?? [];
  if (off.length > 0) await client.query(`ALTER ROLE ${escapeIdentifier(manager)} ${off.join(" ")}`);
  return off;
}

async function pinSearchPath(client: Client, manager: string): Promise<boolean> {
  const { rowCount } = await client.query(
    "SELECT FROM pg_roles WHERE rolname = $1 AND NOT 'search_path=pg_catalog' = ANY (coalesce(rolconfig, '{}'))",
    [manager],
  );
  if (rowCount === 0) return false;
  await client.query(`ALTER ROLE ${escapeIdentifier(manager)} SET search_path = pg_catalog`);
  return true;
}

/**
 * So that leased logins which take every connection can still be revoked (PostgreSQL 16 and later,
 * https://www.postgresql.org/docs/18/runtime-config-connection.html#GUC-RESERVED-CONNECTIONS).
 */
export async function grantReservedConnections(client: Client, manager: string): Promise<boolean> {
  const { rowCount } = await client.query(
    // Where there is no such setting there is no such role.
    `SELECT FROM pg_roles WHERE rolname = $1 AND CASE coalesce(current_setting('reserved_connections', true), '0')
       WHEN '0' THEN false ELSE NOT pg_has_role(oid, '${RESERVED_SLOTS}', 'USAGE') END`,
    [manager],
  );
  if (rowCount === 0) return false;
  await client.query(`GRANT ${RESERVED_SLOTS} TO ${escapeIdentifier(manager)}`);
  return true;
}
