import { scramVerifier } from "../../clients/scram";
import type { VaultClient } from "../../clients/vault-client";
import type { Attributes, Deployment } from "../deployment/deployment";
import { asSuperuser } from "./superuser";

const CONNECTION = "vault_database_secret_backend_connection";

/** One block is an object in the JSON that synth writes, and a list in a state. */
interface Connection {
  readonly postgresql: Block | readonly Block[];
}

interface Block {
  readonly password_wo: string;
  readonly password_wo_version: number;
}

/**
 * Sets in PostgreSQL the passwords of Vault's own logins that the stack vault is about to give Vault: where the config has
 * raised the version, and where Vault has lost the connection, and with it a password that it alone knew. Not by the stack
 * postgres, since an update of the role takes its memberships away.
 * @param operator the operator's view of Vault
 * @returns the logins
 * @throws SetupError when PostgreSQL does not answer or refuses the superuser
 */
export async function setManagerPasswords(deployment: Deployment, operator: VaultClient): Promise<string[]> {
  const stack = deployment.stack("vault")!;
  const deployed = new Map(
    (await deployment.state(stack)).map(({ address, attributes }) => [address, attributes]),
  );
  const set: string[] = [];
  for (const [id, declared] of Object.entries(stack.json.resource[CONNECTION] ?? {})) {
    const { password_wo: variable, password_wo_version: version } = blockOf(declared);
    const database = deployment.manifest.databases.find(
      ({ managerPasswordVariable }) => variable === `\${var.${managerPasswordVariable!}}`,
    )!;
    const before = deployed.get(`${CONNECTION}.${id}`);
    const { mount, connection } = database.vault;
    const isThere = (await operator.request("GET", `${mount}/config/${connection}`)).status === 200;
    if (before && blockOf(before).password_wo_version === version && isThere) continue;
    const password = deployment.home.password(database.managerPasswordVariable!);
    await asSuperuser(deployment.superuserOf(database), async (client) => {
      const role = client.escapeIdentifier(database.manager!);
      await client.query(`ALTER ROLE ${role} PASSWORD ${client.escapeLiteral(scramVerifier(password))}`);
    });
    set.push(database.manager!);
  }
  return set;
}

function blockOf(attributes: Attributes): Block {
  const { postgresql } = attributes as unknown as Connection;
  return [postgresql].flat()[0]!;
}
