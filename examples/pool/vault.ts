export interface Lease {
  readonly id: string;
  readonly username: string;
  readonly password: string;
  /** Seconds. */
  readonly ttl: number;
}

/** As much of Vault's HTTP API as an application needs: a login with AppRole, a lease, and their renewal. */
export class Vault {
  private token?: string;

  constructor(
    private readonly address: string,
    private readonly namespace?: string,
  ) {}

  /**
   * Opens a wrapped secret id and logs in with it. Returns the token's TTL in seconds.
   * @throws Error when the wrapping is not the AppRole's, or somebody else has opened it: then the secret id is not secret
   */
  async logIn(login: {
    authMount: string;
    appRole: string;
    roleId: string;
    wrappedSecretId: string;
  }): Promise<number> {
    const path = `auth/${login.authMount}/role/${login.appRole}/secret-id`;
    const wrapping = await this.request("POST", "sys/wrapping/lookup", { token: login.wrappedSecretId });
    if (wrapping.data?.["creation_path"] !== path) throw new Error(`the wrapped secret id is not of ${path}`);
    // The wrapping's token is the one that may open it.
    const opened = await this.request("POST", "sys/wrapping/unwrap", undefined, login.wrappedSecretId);
    const { auth } = await this.request("POST", `auth/${login.authMount}/login`, {
      role_id: login.roleId,
      secret_id: opened.data?.["secret_id"],
    });
    this.token = auth!.client_token;
    return auth!.lease_duration;
  }

  /** Returns the token's new TTL in seconds: less than was asked for where the token comes to its end. */
  async renewToken(increment: number): Promise<number> {
    return (await this.request("POST", "auth/token/renew-self", { increment })).auth!.lease_duration;
  }

  async lease(path: string): Promise<Lease> {
    const { lease_id: id, lease_duration: ttl, data } = await this.request("GET", path);
    return { id: id!, ttl: ttl!, username: String(data?.["username"]), password: String(data?.["password"]) };
  }

  /** Returns the lease's new TTL in seconds: less than was asked for where the lease comes to its max TTL. */
  async renewLease(id: string, increment: number): Promise<number> {
    return (await this.request("POST", "sys/leases/renew", { lease_id: id, increment })).lease_duration!;
  }

  private async request(method: string, path: string, body?: object, token = this.token): Promise<Answer> {
    const response = await fetch(`${this.address}/v1/${path}`, {
      method,
      headers: {
        ...(token && { "X-Vault-Token": token }),
        ...(this.namespace && { "X-Vault-Namespace": this.namespace }),
      },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    const answer = (await response.json()) as Answer;
    if (!response.ok) {
      const words = (answer.errors ?? []).join("; ").replace(/\s+/g, " ").trim();
      throw new Error(`${method} ${path}: HTTP ${String(response.status)}: ${words}`);
    }
    return answer;
  }
}

interface Answer {
  readonly lease_id?: string;
  readonly lease_duration?: number;
  readonly auth?: { readonly client_token: string; readonly lease_duration: number } | null;
  readonly data?: Readonly<Record<string, unknown>> | null;
  readonly errors?: readonly string[];
}
