import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, escapeIdentifier } from "pg";
import type { Sandbox } from "../sandbox/sandbox";
import type { ManifestDatabase } from "../manifest/schema";
import type { VaultBody, VaultClient } from "../clients/vault-client";
import { compare, type Comparison } from "./measure";

/** The database role of a bench's own. */
const BEFORE = "leasehold-bench-0-1-0";

/** What a leased login costs an application, beside what it would do without. As root, on a sandbox that has it. */
export async function benchLeases(
  sandbox: Sandbox,
  { name: database, owner, server, vault: { mount, connection }, personas, leases }: ManifestDatabase,
  rounds: number,
): Promise<Comparison[]> {
  const root = sandbox.vaultClient(sandbox.initialised.rootToken);
  const { host, port, superuser, password, ssl = false } = sandbox.servers.get(server)!;
  const persona = personas.at(-1)!;
  const lease = (role = persona.databaseRole.name) => root.call("GET", `${mount}/creds/${role}`);
  const revoke = ({ lease_id }: VaultBody) => root.call("PUT", "sys/leases/revoke", { lease_id, sync: true });
  const open = async (user: string, secret: string) => {
    const client = new Client({ host, port, database, user, password: secret, ssl });
    client.on("error", () => undefined);
    await client.connect();
    await client.query("SELECT 1");
    return client;
  };
  const openLeased = async (role?: string) => {
    const leased = await lease(role);
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
  // 0.1.0's statements need CREATEROLE.
  if (leases === "functions") return comparisons;

  await declareBefore(root, { mount, connection, owner, role: persona.databaseRole.name });
  const ofEach = async <T>(make: (role?: string) => Promise<T>) =>
    [await prepared(() => make()), await prepared(() => make(BEFORE))] as const;
  const [inUse, inUseBefore] = await ofEach(openLeased);
  comparisons.push(
    await compare(
      ["revoke, a session open", "the same with 0.1.0's statements"],
      rounds,
      () => revoke(inUse().leased),
      () => revoke(inUseBefore().leased),
    ),
  );
  const [idle, idleBefore] = await ofEach(lease);
  comparisons.push(
    await compare(
      ["revoke, none open", "the same with 0.1.0's statements"],
      rounds,
      () => revoke(idle()),
      () => revoke(idleBefore()),
    ),
  );
  return comparisons;
}

/** A database role like another, but for the statements of its revocation, which are 0.1.0's. */
async function declareBefore(
  root: VaultClient,
  { mount, connection, owner, role }: { mount: string; connection: string; owner: string; role: string },
): Promise<void> {
  const config = `${mount}/config/${connection}`;
  const { plugin_name, allowed_roles } = (await root.call("GET", config)).data as {
    plugin_name: string;
    allowed_roles: string[];
  };
  await root.call("POST", config, { plugin_name, allowed_roles: [...allowed_roles, BEFORE] });
  const { data } = await root.call("GET", `${mount}/roles/${role}`);
  const revocation = readFileSync(join(__dirname, "revocation-0.1.0.sql"), "utf8")
    .replace(/^--.*\n/gm, "")
    .replaceAll(':"owner"', escapeIdentifier(owner));
  await root.call("POST", `${mount}/roles/${BEFORE}`, {
    ...data,
    revocation_statements: [revocation.trim()],
  });
}
