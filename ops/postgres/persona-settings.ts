import { DatabaseError, type Client } from "pg";
import type { ManifestDatabase } from "../../manifest/schema";
import type { Deployment } from "../deployment/deployment";
import { asSuperuser } from "./superuser";

/**
 * Schemas of personas' search paths that are not there, and settings that PostgreSQL would refuse: in leased logins that functions
 * make it would find out at each login, and say so to nobody.
 * @returns a line each
 */
export async function wrongSettings(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const { personas, schemas, name } = database;
  const own = personas.filter(
    ({ databaseRole: { searchPath, settings } }) => searchPath ?? Object.keys(settings).length > 0,
  );
  if (own.length === 0) return [];
  const made = schemas.map((schema) => schema.name);
  const lines = await asSuperuser(
    deployment.superuserOf(database),
    async (client) => {
      const found: string[] = [];
      for (const persona of own) {
        const { searchPath = [], settings } = persona.databaseRole;
        const of = `of the persona ${persona.name} in the database ${name}`;
        for (const schema of searchPath.filter((each) => !made.includes(each)))
          if ((await client.query("SELECT FROM pg_namespace WHERE nspname = $1", [schema])).rowCount === 0)
            found.push(
              `the schema ${schema}, which is on the search path ${of}, is not there: create it, or correct the config`,
            );
        for (const setting of Object.entries(settings)) {
          const why = await whyNot(client, ...setting);
          if (why !== undefined) found.push(`the setting ${setting[0]} ${of} ${why}`);
        }
      }
      return found;
    },
    name,
  );
  return lines ?? [];
}

async function whyNot(client: Client, name: string, value: string): Promise<string | undefined> {
  const { rows } = await client.query<{ context: string | null; version: string }>(
    `SELECT current_setting('server_version') AS version,
       (SELECT context FROM pg_settings WHERE pg_settings.name = $1) AS context`,
    [name],
  );
  const { context, version } = rows[0]!;
  if (!context) return `is none of PostgreSQL ${version}'s`;
  if (context !== "user") return `is not one that any role may set (${context})`;
  await client.query("BEGIN");
  try {
    await client.query("SELECT set_config($1, $2, true)", [name, value]);
    return undefined;
  } catch (error) {
    if (error instanceof DatabaseError) return `can't be set to ${value}: ${error.message}`;
    throw error;
  } finally {
    await client.query("ROLLBACK");
  }
}
