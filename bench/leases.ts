import { Client } from "pg";
import type { Sandbox } from "../sandbox/sandbox";
import type { ManifestDatabase } from "../verify/manifest";
import type { VaultBody } from "../verify/vault-client";
import { compare, type Comparison } from "./measure";

/** What a leased login costs an application, beside what it would do without. As root, on a sandbox that has it. */
export async function benchLeases(
  sandbox: Sandbox,
  { name: database, server, vault: { mount }, personas }: ManifestDatabase,
  rounds: number,
): Promise<Comparison[]> {
  const root = sandbox.vaultClient(sandbox.initialised.rootToken);
  const { host, port, superuser, password, ssl = false } = sandbox.servers.get(server)!;
  const persona = personas.at(-1)!;
  const lease = () => root.call("GET", `${mount}/creds/${persona.databaseRole.name}`);
  const revoke = ({ lease_id }: VaultBody) => root.call("PUT", "sys/leases/revoke", { lease_id, sync: true });
  const open = async (user: string, secret: string) => {
    const client = new Client({ host, port, database, user, password: secret, ssl });
    client.on("error", () => undefined);
    await client.connect();
    await client.query("SELECT 1");
    return client;
  };
  const openLeased = async () => {
    const leased = await lease();
    const { username, password: secret } = leased.data as { username: string; password: string };
    return { leased, client: await open(username, secret) };
  };
  /** Done beforehand, since it is not what is measured. */
  const prepared = async <T>(make: () => Promise<T>) => {
    const things: T[] = [];
    for (let i = 0; i <= rounds; i += 1) things.push(await make());
    return () => things.pop()!;
  };

  const made: VaultBody[] = [];
  const comparisons = [
    await compare(
      [`lease a login (${persona.name})`, "a request to Vault that asks PostgreSQL nothing"],
      rounds,
      async () => made.push(await lease()),
      () => root.call("GET", "auth/token/lookup-self"),
    ),
    await compare(
      ["lease, log in, query", "log in with a password, query"],
      rounds,
      async () => {
        const { leased, client } = await openLeased();
        made.push(leased);
        await client.end();
      },
      async () => (await open(superuser, password)).end(),
    ),
  ];
  const [used, unused] = [await prepared(openLeased), await prepared(lease)];
  comparisons.push(
    await compare(
      ["revoke, a session open", "revoke, none open"],
      rounds,
      () => revoke(used().leased),
      () => revoke(unused()),
    ),
  );
  for (const leased of made) await revoke(leased);
  return comparisons;
}
