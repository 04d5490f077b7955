import { SetupError } from "../../clients/setup-error";
import { interpolate, type Json, type Scope } from "../../sandbox/terraform-json";
import { errorText, VaultError } from "../../clients/vault-client";
import { LEASE_SCHEMA } from "../../manifest/names";
import type { Deployment, StateResource } from "../deployment/deployment";

const ROLE = "vault_database_secret_backend_role";
/** Statements refer to nothing. */
const LITERALS: Scope = { variable: () => null, attribute: () => null };

/** All leases one after the other, each of which may wait for a lock. By its own default Vault gives up after 90 s. */
const REVOCATION_TIMEOUT_MILLISECONDS = 10 * 60_000;

/** The creation statements of a database role whose leases are being revoked. */
const NO_MORE = "DO $$ BEGIN RAISE 'no login is leased here any more'; END $$";

/**
 * Makes database roles refuse new leases before their leases are revoked, since an application whose session ends leases again at once.
 * The leases of a declared one are revoked by its declared statements, whoever made them, unless those are of the way of leasing that
 * is not deployed yet; one that is declared no more, or under another name, is taken away, for Terraform to find it gone, and each of
 * its leases keeps what revokes it.
 */
export async function endLeasing(deployment: Deployment, resources: readonly StateResource[]): Promise<void> {
  const vault = deployment.vault().withToken(deployment.token("operator"));
  const declared = deployment.stack("vault")!.json.resource[ROLE] ?? {};
  for (const { address, attributes } of resources.filter(({ type }) => type === ROLE)) {
    const path = `${String(attributes["backend"])}/roles/${String(attributes["name"])}`;
    const { name, revocation_statements } = declared[address.slice(ROLE.length + 1)] ?? {};
    const statements = name === attributes["name"] ? (revocation_statements as Json | undefined) : undefined;
    const present = attributes["revocation_statements"] as Json;
    const answer = await (statements === undefined
      ? vault.request("DELETE", path)
      : vault.request("POST", path, {
          db_name: attributes["db_name"],
          creation_statements: [NO_MORE],
          revocation_statements:
            callsFunctions(statements) === callsFunctions(present)
              ? interpolate(statements, LITERALS, address)
              : present,
        }));
    // 404: a Vault that has lost its storage.
    if (answer.status >= 400 && answer.status !== 404) throw new VaultError(answer);
  }
}

const callsFunctions = (statements: Json) => JSON.stringify(statements).includes(`${LEASE_SCHEMA}.close(`);

/**
 * Revokes all leases below a prefix, and waits until their logins are gone.
 * @param force makes Vault forget a lease whose login PostgreSQL does not drop
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
      `the operator is not allowed to force the revocation of the leases of ${prefix} (${reason}): set VAULT_TOKEN to a token that is (sys/leases/revoke-force), such as a root token`,
    );
  }
  throw new SetupError(
    `the leases of ${prefix} can't be revoked (${reason}): make PostgreSQL drop their logins, or have Vault forget them with a token that is allowed to: vault lease revoke -force -prefix ${prefix}, or leasehold destroy --force-leases where all is to go`,
  );
}
