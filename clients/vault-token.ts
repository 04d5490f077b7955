import type { VaultClient } from "./vault-client";

/** After so long without a renewal it ends: longer than a sandbox is kept or a team leaves an environment alone. */
const PERIOD = "768h";

/**
 * A token of the trust model: an orphan, so that it outlives the token that made it, periodic, and with one policy.
 * @param root may make such tokens
 */
export async function createTrustToken(root: VaultClient, who: string, policy: string): Promise<string> {
  const { auth } = await root.call("POST", "auth/token/create-orphan", {
    policies: [policy],
    no_default_policy: true,
    period: PERIOD,
    display_name: who,
  });
  return auth!.client_token;
}
