import { escapeIdentifier, type Client } from "pg";
import type { Deployment, SuperuserLogin } from "../deployment/deployment";
import { asSuperuser } from "./superuser";

/** A role's setting that a DBA has spelled in a way that Terraform's provider can't read, such as `30s`: it takes milliseconds alone. */
interface Misspelled {
  readonly role: string;
  readonly name: string;
  readonly value: string;
}

const MISSPELLED = `
  SELECT rolname AS role, split_part(setting, '=', 1) AS name, substring(setting FROM '=(.*)') AS value
  FROM pg_roles, unnest(rolconfig) AS setting
  WHERE rolname = ANY ($1) AND setting ~ '^(statement_timeout|idle_in_transaction_session_timeout)=' AND setting !~ '=\\d+$'
  ORDER BY 1, 2`;

/** Roles with such a setting, for a plan, which would end with an error of the provider's. */
export async function rolesWithMisspelledSettings(
  deployment: Deployment,
  options: { forPlan: boolean },
): Promise<string[]> {
  const found: string[] = [];
  for (const login of deployment.superusers(options))
    found.push(...(await misspelled(deployment, login)).map(({ role }) => role));
  return [...new Set(found)];
}

/**
 * Spells such settings in milliseconds. They mean what they did. For before the stack postgres is planned.
 * @returns what was done, a line each
 */
export async function spellSettings(deployment: Deployment): Promise<string[]> {
  const did: string[] = [];
  for (const login of deployment.superusers())
    for (const setting of await misspelled(deployment, login)) {
      const milliseconds = await asSuperuser(login, (client) => spell(client, setting));
      did.push(
        `spelled ${setting.name} of ${setting.role}, ${setting.value}, as ${milliseconds!}, which Terraform's provider can read`,
      );
    }
  return did;
}

async function misspelled(deployment: Deployment, login: SuperuserLogin): Promise<Misspelled[]> {
  const stack = deployment.stack("postgres")!;
  const declared = stack.json.resource["postgresql_role"] ?? {};
  const roles = (await deployment.state(stack))
    .filter(({ type }) => type === "postgresql_role")
    .filter(({ address }) => {
      const role = declared[address.slice("postgresql_role.".length)];
      return role === undefined || deployment.serverOf(role["provider"]) === login.server;
    })
    .map(({ attributes }) => String(attributes["name"]));
  if (roles.length === 0) return [];
  const found = await asSuperuser(login, (client) => client.query<Misspelled>(MISSPELLED, [roles]));
  return found!.rows;
}

async function spell(client: Client, { role, name, value }: Misspelled): Promise<string> {
  await client.query("BEGIN");
  await client.query("SELECT set_config($1, $2, true)", [name, value]);
  const { rows } = await client.query<{ setting: string }>(
    "SELECT setting FROM pg_settings WHERE name = $1",
    [name],
  );
  const { setting } = rows[0]!;
  await client.query(`ALTER ROLE ${escapeIdentifier(role)} SET ${name} = ${setting}`);
  await client.query("COMMIT");
  return setting;
}
