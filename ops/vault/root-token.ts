import { SetupError } from "../../clients/setup-error";
import { VaultError, type VaultAnswer, type VaultClient } from "../../clients/vault-client";

/** https://developer.hashicorp.com/vault/api-docs/system/generate-root */
interface Attempt {
  readonly nonce: string;
  readonly progress: number;
  readonly complete: boolean;
  /** One-time password that the token is combined with; in the answer that starts an attempt. */
  readonly otp: string;
  readonly encoded_token: string;
}

/** Where the server makes root tokens, and who may ask it. */
interface Api {
  readonly client: VaultClient;
  readonly path: string;
}

/**
 * Makes a root token from unseal keys.
 * @param operator the operator's view where its token is valid: OpenBao from 2.6 on answers no request without a token
 * @throws SetupError when the server makes none, or the keys are not its own
 */
export async function generateRootToken(
  vault: VaultClient,
  operator: VaultClient | undefined,
  keys: readonly string[],
): Promise<string> {
  const apis: Api[] = [{ client: vault.withToken(), path: "sys/generate-root" }];
  if (operator) apis.push({ client: operator, path: "sys/generate-root-token" });
  for (const api of apis) {
    const attempt = await begin(api);
    if (attempt) return finish(api, attempt, keys);
  }
  throw new SetupError(
    `the Vault at ${vault.address} generates no root token from unseal keys without a valid token (OpenBao from 2.5.3 on): set VAULT_TOKEN to a root token, or disable_unauthed_generate_root_endpoints = false in its listener, restart it, and run npx leasehold init again`,
  );
}

/** Returns nothing where the server does not have this API, or not for this token. */
async function begin({ client, path }: Api): Promise<Attempt | undefined> {
  const start = () => client.request("PUT", `${path}/attempt`, {});
  let answer = await start();
  if (answer.status === 400) {
    const { progress } = bodyOf(await client.request("GET", `${path}/attempt`));
    // No key was sent yet: most likely an attempt of a command that was killed, whose one-time password is lost.
    if (progress > 0) {
      throw new SetupError(
        `a root token is already being generated from the unseal keys (${String(progress)} sent): wait, or cancel it with vault delete ${path}/attempt`,
      );
    }
    await client.request("DELETE", `${path}/attempt`);
    answer = await start();
  }
  if ([403, 404, 405].includes(answer.status)) return undefined;
  if (answer.status >= 400) throw new VaultError(answer);
  return bodyOf(answer);
}

async function finish(
  { client, path }: Api,
  { nonce, otp }: Attempt,
  keys: readonly string[],
): Promise<string> {
  for (const key of keys) {
    const answer = await client.request("PUT", `${path}/update`, { key, nonce });
    if (answer.status >= 400) break;
    const { complete, encoded_token: encoded } = bodyOf(answer);
    if (complete) return decode(encoded, otp);
  }
  await client.request("DELETE", `${path}/attempt`);
  throw new SetupError(`the unseal keys are not those of the Vault at ${client.address}`);
}

/** The one API's answer is in `data`, the other's is not. */
function bodyOf({ body }: VaultAnswer): Attempt {
  return (body.data ?? body) as unknown as Attempt;
}

/** Base64 of the token XOR the one-time password. */
export function decode(encoded: string, otp: string): string {
  const password = Buffer.from(otp);
  return Buffer.from(Buffer.from(encoded, "base64").map((byte, i) => byte ^ password[i]!)).toString();
}
