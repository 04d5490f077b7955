import { DatabaseError } from "pg";
import { SetupError } from "../../clients/setup-error";
import { WRONG_PASSWORD } from "../../clients/sqlstates";
import type { AccessManifest, ManifestDatabase } from "../../manifest/schema";
import { VaultError, type VaultClient } from "../../clients/vault-client";
import type { Deployment } from "../deployment/deployment";
import { clientOf } from "../postgres/superuser";

/**
 * Has Vault replace the passwords of its own logins with ones that only Vault knows.
 * @param vault with the operator's token
 * @param isWanted which databases' logins; left out, those whose config says so
 * @returns the connections, as `mount/name`
 * @throws VaultError
 */
export async function rotateRoot(
  vault: VaultClient,
  { databases }: AccessManifest,
  isWanted = (database: ManifestDatabase): boolean => database.vault.rotateRoot,
): Promise<string[]> {
  const rotated: string[] = [];
  for (const database of databases.filter(isWanted)) {
    const { mount, connection } = database.vault;
    const answer = await vault.request("POST", `${mount}/rotate-root/${connection}`);
    if (answer.status === 404)
      throw new SetupError(
        `Vault at ${vault.address} has no connection ${mount}/${connection}: deploy first`,
      );
    if (answer.status >= 400) throw new VaultError(answer);
    rotated.push(`${mount}/${connection}`);
  }
  return rotated;
}

/**
 * Rotates where the config says so and PostgreSQL still accepts the password that the stacks set: after the first deploy, and
 * after each that sets it again.
 * @returns the connections, as `mount/name`
 * @throws SetupError when PostgreSQL can't be asked, or accepts any password
 */
export async function rotateDue(deployment: Deployment, operator: VaultClient): Promise<string[]> {
  const due: ManifestDatabase[] = [];
  for (const database of deployment.manifest.databases) {
    if (database.vault.rotateRoot && (await takesConfiguredPassword(deployment, database)))
      due.push(database);
  }
  const rotated = await rotateRoot(operator, deployment.manifest, (database) => due.includes(database));
  for (const database of due) {
    if (await takesConfiguredPassword(deployment, database)) {
      throw new SetupError(
        `PostgreSQL accepts any password for ${database.manager!}: set its authentication method in pg_hba.conf to scram-sha-256`,
      );
    }
  }
  return rotated;
}

async function takesConfiguredPassword(deployment: Deployment, database: ManifestDatabase): Promise<boolean> {
  const { name, manager: user, managerPasswordVariable, vault } = database;
  const superuser = deployment.superuserOf(database);
  const password = deployment.home.password(managerPasswordVariable!);
  const client = clientOf({ ...superuser, user: user!, password }, name);
  try {
    await client.connect();
    return true;
  } catch (error) {
    if (error instanceof DatabaseError && error.code === WRONG_PASSWORD) return false;
    throw new SetupError(
      `whether the password of ${vault.mount}/${vault.connection} is rotated can't be seen, as ${user!} can't try to log in at ${superuser.host}:${String(superuser.port)} (${(error as Error).message}): let it, or set rotateRoot: false and run npx leasehold rotate`,
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}
