import { DatabaseError } from "pg";
import { SetupError } from "../../clients/setup-error";
import type { AccessManifest, ManifestDatabase } from "../../manifest/schema";
import { VaultError, type VaultClient } from "../../clients/vault-client";
import { Deployment } from "../deployment/deployment";
import { prepareVault, vaultTarget } from "./init";
import { lock } from "../deployment/lock";
import { clientOf } from "../postgres/superuser";

export interface RotateOptions {
  readonly env?: string;
  readonly database?: string;
}

/** https://www.postgresql.org/docs/18/errcodes-appendix.html */
const WRONG_PASSWORD = "28P01";

/** `leasehold rotate`. Returns the exit code. */
export async function rotateCommand(
  { env, database: wanted }: RotateOptions,
  signal: AbortSignal,
): Promise<number> {
  const release = lock("rotate");
  try {
    await rotate(await Deployment.open(env, signal), wanted);
  } finally {
    release();
  }
  return 0;
}

async function rotate(deployment: Deployment, wanted: string | undefined): Promise<void> {
  const { manifest } = deployment;
  const names = manifest.databases.map(({ name }) => name);
  if (wanted !== undefined && !names.includes(wanted)) {
    throw new SetupError(
      `--database: received ${JSON.stringify(wanted)}, allowed: one of ${names.join(", ")}`,
    );
  }
  const { operator } = await prepareVault(vaultTarget(deployment));
  const rotated = await rotateRoot(operator, manifest, ({ name }) => name === (wanted ?? name));
  for (const connection of rotated) console.log(`rotated ${connection}: Vault alone knows its password`);
}

/**
 * Has Vault replace the passwords of its own logins by ones that it alone knows.
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
 * Rotates where the config wants it and PostgreSQL still takes the password that the stacks gave: after the first deploy, and
 * after each that set it anew.
 * @returns the connections, as `mount/name`
 * @throws SetupError when PostgreSQL does not say whether it takes the password, or takes any
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
        `PostgreSQL takes any password of ${database.manager!}: have its pg_hba.conf ask for one (scram-sha-256)`,
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
