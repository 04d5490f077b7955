import type { AccessManifest } from "../verify/manifest";
import type { VaultClient } from "../verify/vault-client";

/**
 * Has Vault replace the passwords of its own logins by ones that it alone knows, where the config says so.
 * @param vault with the operator's token
 * @returns the connections, as `mount/name`
 * @throws VaultError
 */
export async function rotateRoot(vault: VaultClient, { databases }: AccessManifest): Promise<string[]> {
  const rotated: string[] = [];
  for (const { mount, connection, rotateRoot: isWanted } of databases.map((database) => database.vault)) {
    if (!isWanted) continue;
    await vault.call("POST", `${mount}/rotate-root/${connection}`);
    rotated.push(`${mount}/${connection}`);
  }
  return rotated;
}
