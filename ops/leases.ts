import { SetupError } from "../sandbox/setup-error";
import { errorText } from "../verify/vault-client";
import type { Deployment } from "./deployment";

/**
 * Revokes all leases below a prefix, and waits until their logins are gone.
 * @param force forgets a lease whose login PostgreSQL does not drop
 * @throws SetupError when one is not revoked
 */
export async function revokeLeases(deployment: Deployment, prefix: string, force = false): Promise<void> {
  const vault = deployment.vault().withToken(deployment.token("operator"));
  const answer = force
    ? await vault.request("PUT", `sys/leases/revoke-force/${prefix}`)
    : await vault.request("PUT", `sys/leases/revoke-prefix/${prefix}`, { sync: true });
  if (answer.status < 400) return;
  const reason = `HTTP ${String(answer.status)}: ${errorText(answer)}`;
  if (answer.status === 403 && force) {
    throw new SetupError(
      `the operator may not force the leases of ${prefix} (${reason}): run vault lease revoke -force -prefix ${prefix} with a token that may, then this command without --force-leases`,
    );
  }
  throw new SetupError(
    `the leases of ${prefix} can't be revoked (${reason}): make PostgreSQL drop their logins, or forget the leases with leasehold destroy --force-leases, which leaves the logins`,
  );
}
