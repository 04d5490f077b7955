import { escapeIdentifier } from "pg";
import { SetupError } from "../sandbox/setup-error";
import type { ManifestDatabase } from "../verify/manifest";
import { errorText, VaultError } from "../verify/vault-client";
import type { Deployment, StateResource } from "./deployment";
import { asSuperuser, whereverNamed } from "./superuser";

const ROLE = "vault_database_secret_backend_role";

/** All leases one after the other, each of which may wait for a lock. By its own default Vault gives up after 90 s. */
const REVOCATION_TIMEOUT_MILLISECONDS = 10 * 60_000;

/**
 * Takes database roles away from Vault before their leases are revoked: an application whose session ends leases anew at
 * once. Each lease keeps what revokes it. For Terraform, which finds them gone, nothing is left to do.
 */
export async function endLeasing(deployment: Deployment, resources: readonly StateResource[]): Promise<void> {
  const vault = deployment.vault().withToken(deployment.token("operator"));
  for (const { attributes } of resources.filter(({ type }) => type === ROLE)) {
    const path = `${String(attributes["backend"])}/roles/${String(attributes["name"])}`;
    const answer = await vault.request("DELETE", path);
    // 404: a Vault that has lost its storage.
    if (answer.status >= 400 && answer.status !== 404) throw new VaultError(answer);
  }
}

/**
 * Revokes all leases below a prefix, and waits until their logins are gone.
 * @param force forgets a lease whose login PostgreSQL does not drop
 * @throws SetupError when one is not revoked
 */
export async function revokeLeases(deployment: Deployment, prefix: string, force = false): Promise<void> {
  // The operator may not force: who does brings a token that may.
  const forcing = force ? process.env["VAULT_TOKEN"] : undefined;
  const vault = deployment.vault().withToken(forcing || deployment.token("operator"));
  const path = `sys/leases/revoke-${force ? "force" : "prefix"}/${prefix}`;
  const body = force ? undefined : { sync: true };
  const answer = await vault.request("PUT", path, body, undefined, REVOCATION_TIMEOUT_MILLISECONDS);
  if (answer.status < 400) return;
  const reason = `HTTP ${String(answer.status)}: ${errorText(answer)}`;
  if (answer.status === 403 && force) {
    throw new SetupError(
      `the operator may not force the leases of ${prefix} (${reason}): set VAULT_TOKEN to a token that may (sys/leases/revoke-force), such as a root token`,
    );
  }
  throw new SetupError(
    `the leases of ${prefix} can't be revoked (${reason}): make PostgreSQL drop their logins, or have Vault forget them with a token that may: vault lease revoke -force -prefix ${prefix}, or leasehold destroy --force-leases where all is to go`,
  );
}

/**
 * Drops the leased logins that are members of groups, as the superuser: as long as one is, PostgreSQL 16 and later does not
 * take the group from Vault's login, which has given it on (`dependent privileges exist`).
 * @returns their names
 */
export async function dropLogins(
  deployment: Deployment,
  database: ManifestDatabase,
  groups: readonly string[],
): Promise<string[]> {
  if (groups.length === 0) return [];
  const superuser = deployment.superuserOf(database);
  const dropped = await asSuperuser(
    superuser,
    async (client) => {
      const { rows } = await client.query<{ name: string }>(
        `SELECT DISTINCT member.rolname AS name FROM pg_auth_members m
         JOIN pg_roles member ON member.oid = m.member JOIN pg_roles grp ON grp.oid = m.roleid
         WHERE grp.rolname = ANY ($1) AND member.rolname LIKE 'v-%'`,
        [groups],
      );
      for (const { name } of rows) {
        const login = escapeIdentifier(name);
        await client.query(`ALTER ROLE ${login} NOLOGIN`);
        await client.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", [
          name,
        ]);
        await whereverNamed(superuser, [name], database.name, (there) =>
          there.query(
            `REASSIGN OWNED BY ${login} TO ${escapeIdentifier(database.owner)}; DROP OWNED BY ${login}`,
          ),
        );
        await client.query(`DROP ROLE ${login}`);
      }
      return rows.map(({ name }) => name);
    },
    database.name,
  );
  return dropped ?? [];
}
