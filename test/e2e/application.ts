import { Client, type ClientConfig } from "pg";
import type { VaultAnswer } from "../../clients/vault-client";

/** An application that leases anew as soon as its session ends. */
export async function leaseAgainAndAgain(
  lease: () => Promise<VaultAnswer>,
  server: ClientConfig,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const { status, body } = await lease();
    if (status !== 200) continue;
    const { username: user, password } = body.data as { username: string; password: string };
    const client = new Client({ ...server, user, password });
    client.on("error", () => undefined);
    const ended = new Promise((resolve) => client.once("end", resolve));
    if (
      await client.connect().then(
        () => true,
        () => false,
      )
    )
      await ended;
  }
}
