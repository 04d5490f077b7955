import { Client } from "pg";
import type { VaultClient } from "../../clients/vault-client";
import type { ManifestPersona } from "../../manifest/schema";
import type { Deployment } from "../support/deployment";

export interface Leased {
  readonly id: string;
  /** Seconds. */
  readonly ttl: number;
  readonly username: string;
  readonly password: string;
}

/** An application of a source: it has its role id, is delivered a wrapped secret id, logs in and leases. */
export class Application {
  static async logIn(deployment: Deployment, name: string): Promise<Application> {
    const [database] = deployment.manifest.databases;
    const persona = database!.personas.find((candidate) => candidate.name === name)!;
    const path = `auth/${persona.login.authMount}/role/${persona.login.name}`;
    const { data } = await deployment.as("operator").call("GET", `${path}/role-id`);
    const { wrap_info: wrapping } = await deployment
      .as("deliverer")
      .call("POST", `${path}/secret-id`, {}, "60s");
    const opened = await deployment.root.withToken(wrapping!.token).call("POST", "sys/wrapping/unwrap");
    const { auth } = await deployment.root.withToken().call("POST", `auth/${persona.login.authMount}/login`, {
      role_id: data!["role_id"],
      secret_id: opened.data!["secret_id"],
    });
    return new Application(deployment, persona, deployment.root.withToken(auth!.client_token));
  }

  private constructor(
    private readonly deployment: Deployment,
    private readonly persona: ManifestPersona,
    /** With its token. */
    readonly vault: VaultClient,
  ) {}

  async lease(): Promise<Leased> {
    const { vault } = this.deployment.manifest.databases[0]!;
    const path = `${vault.mount}/creds/${this.persona.databaseRole.name}`;
    const { lease_id: id, lease_duration: ttl, data } = await this.vault.call("GET", path);
    const { username, password } = data as { username: string; password: string };
    return { id: id!, ttl: ttl!, username, password };
  }
}

/** What a login is refused with; undefined where it gets a session. */
export async function refusal(
  deployment: Deployment,
  login: Pick<Leased, "username" | "password">,
): Promise<string | undefined> {
  return withSession(deployment, login, () => Promise.resolve(undefined)).catch(
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );
}

/** A session of a login, for as long as it is used. */
export async function withSession<T>(
  { sandbox: { postgres }, manifest }: Deployment,
  { username: user, password }: Pick<Leased, "username" | "password">,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const { host, port, ssl = false } = postgres;
  const client = new Client({ host, port, ssl, database: manifest.databases[0]!.name, user, password });
  client.on("error", () => undefined);
  await client.connect();
  return use(client).finally(() => client.end());
}
