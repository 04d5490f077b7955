import type { VaultClient } from "../../clients/vault-client";

/**
 * What ends a finding on a TTL that is shorter than is declared: what cuts it, and the command that mends it. Who may use a mount
 * may read its limits here (Vault's UI does), which takes a policy everywhere else.
 * @param mount with `auth/` in front where it is an auth method's
 * @param declared in seconds, as is `found`
 */
export async function whyCut(
  vault: VaultClient,
  mount: string,
  declared: number,
  found: number | undefined,
): Promise<string> {
  if (found === undefined || found >= declared) return "";
  const { status, body } = await vault.request("GET", `sys/internal/ui/mounts/${mount}`);
  const { max_lease_ttl: limit } = (body.data?.["config"] ?? {}) as { max_lease_ttl?: number };
  const isAuth = mount.startsWith("auth/");
  const tune = `vault ${isAuth ? "auth" : "secrets"} tune -max-lease-ttl=${String(declared)}s ${mount.replace(/^auth\//, "")}`;
  if (status === 200 && limit) {
    if (limit >= declared) return "";
    return `, since the mount ${mount} has max_lease_ttl ${String(limit)} s: ${tune}`;
  }
  // OpenBao does not say its configuration's for a mount that has none of its own.
  return `, by what Vault has of the role (npx leasehold diff) or by max_lease_ttl in Vault's configuration: ${tune}`;
}
