import { scramVerifier } from "../sandbox/scram";
import type { Deployment } from "./deployment";
import { asSuperuser } from "./superuser";

const CONNECTION = "vault_database_secret_backend_connection";

interface Connection {
  readonly backend: string;
  readonly name: string;
  readonly postgresql: { readonly password_wo_version: number } | readonly { password_wo_version: number }[];
}

/**
 * Sets in PostgreSQL the passwords of Vault's own logins whose version the config has raised; that the stack vault then gives
 * Vault the same is what the version is for. Not the stack postgres, since an update of the role takes its memberships away.
 * @returns the logins
 * @throws SetupError when PostgreSQL does not answer or refuses the superuser
 */
export async function resetManagerPasswords(deployment: Deployment): Promise<string[]> {
  const stack = deployment.stack("vault")!;
  const deployed = new Map(
    (await deployment.state(stack)).map(({ address, attributes }) => [address, attributes]),
  );
  const reset: string[] = [];
  for (const [id, declared] of Object.entries(stack.json.resource[CONNECTION] ?? {})) {
    const before = deployed.get(`${CONNECTION}.${id}`);
    if (!before || version(before) === version(declared)) continue;
    const { backend, name } = before as unknown as Connection;
    const database = deployment.manifest.databases.find(
      ({ vault }) => vault.mount === backend && vault.connection === name,
    )!;
    const password = deployment.home.password(database.managerPasswordVariable!);
    await asSuperuser(deployment.superuserOf(database), async (client) => {
      const role = client.escapeIdentifier(database.manager!);
      await client.query(`ALTER ROLE ${role} PASSWORD ${client.escapeLiteral(scramVerifier(password))}`);
    });
    reset.push(database.manager!);
  }
  return reset;
}

/** One block is an object in the JSON that synth writes, and a list in a state. */
function version(attributes: unknown): number {
  const { postgresql } = attributes as Connection;
  return [postgresql].flat()[0]!.password_wo_version;
}
