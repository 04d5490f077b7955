import { escapeIdentifier } from "pg";
import type { Deployment } from "./deployment";
import { asSuperuser } from "./superuser";

/**
 * Sets the search path of Vault's own logins where it is another, as up to 0.1.0 it was the application's schema. Not by the
 * stack postgres, since an update of the role takes its memberships away.
 * @returns the logins
 */
export async function pinManagerSearchPaths(deployment: Deployment): Promise<string[]> {
  const pinned: string[] = [];
  for (const database of deployment.manifest.databases) {
    const { manager } = database;
    if (manager === undefined) continue;
    await asSuperuser(deployment.superuserOf(database), async (client) => {
      const { rowCount } = await client.query(
        `SELECT FROM pg_catalog.pg_roles WHERE rolname = $1 AND NOT 'search_path=pg_catalog' = ANY (coalesce(rolconfig, '{}'))`,
        [manager],
      );
      if (rowCount === 0) return;
      await client.query(`ALTER ROLE ${escapeIdentifier(manager)} SET search_path = pg_catalog`);
      pinned.push(manager);
    });
  }
  return pinned;
}
