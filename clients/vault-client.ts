import { send, type HttpResponse } from "./http";
import { Outage } from "./outage";
import { Pace } from "./pace";
import { activeNode, isAsEncrypted } from "./vault-cluster";
import { until } from "./within";

/** What came back: the status is part of a check's evidence, so an error status is an answer here and not an exception. */
export interface VaultAnswer {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly body: VaultBody;
  /** When it was given, by Vault's clock, in milliseconds of the epoch and whole seconds. */
  readonly date?: number;
}

export interface VaultBody {
  readonly lease_id?: string;
  /** Seconds. */
  readonly lease_duration?: number;
  readonly data?: Readonly<Record<string, unknown>> | null;
  readonly auth?: {
    readonly client_token: string;
    readonly accessor: string;
    readonly policies: readonly string[];
    readonly token_policies?: readonly string[];
    /** Seconds. */
    readonly lease_duration: number;
    readonly renewable: boolean;
  } | null;
  readonly wrap_info?: { readonly token: string; readonly ttl: number } | null;
  readonly warnings?: readonly string[] | null;
  readonly errors?: readonly string[];
}

/** Vault refused what had to work. The message is one line and holds no secret. */
export class VaultError extends Error {
  override readonly name = "VaultError";
  constructor(readonly answer: VaultAnswer) {
    super(`${answer.method} ${answer.path}: HTTP ${String(answer.status)}: ${errorText(answer)}`);
  }
}

/** What to make of an answer that is an error: where Vault itself reaches no PostgreSQL, it is an outage. */
export function failureOf(answer: VaultAnswer): VaultError | Outage {
  const error = new VaultError(answer);
  return NO_POSTGRES.test(error.message) ? new Outage(error.message) : error;
}

/** Words of Vault's driver, pgx, and PostgreSQL's own of connections, resources, a server that stops. */
const NO_POSTGRES =
  /failed to connect to `|dial error|connection reset by peer|unexpected EOF|SQLSTATE (08|53|57P0)/;

/** There is no answer at the address, or none in Vault's JSON, or Vault is not serving requests. */
export class VaultUnreachable extends Outage {
  override readonly name = "VaultUnreachable";
  constructor(
    message: string,
    /** The request may have reached Vault, and done there what was asked. */
    readonly isUnanswered = false,
  ) {
    super(message);
  }
}

/** The longest answer is that of one lease's revocation, which waits for PostgreSQL. */
const TIMEOUT_MILLISECONDS = 20_000;

/** Within which a cluster that loses its active node has another: one that is killed is missed after 15 s. */
const ELECTION_MILLISECONDS = 60_000;
const LOOK_MILLISECONDS = 200;
/** Of a node that is not active. */
const NO_ACTIVE_NODE = "active cluster node not found";

/** What the clients of a run share. */
export interface VaultRun {
  readonly pace: Pace;
  /** The address of the cluster's active node. @default - the client's own */
  node?: string;
}

/** A token's view of Vault's HTTP API (https://developer.hashicorp.com/vault/api-docs). */
export class VaultClient {
  constructor(
    readonly address: string,
    private readonly token?: string,
    /** Of Vault Enterprise and OpenBao. */
    readonly namespace?: string,
    /**
     * Certificates of the authority that vouches for Vault's, as PEM text.
     * @default - the authorities that Node knows
     */
    readonly ca?: string,
    readonly run: VaultRun = { pace: new Pace() },
  ) {}

  withToken(token?: string): VaultClient {
    return new VaultClient(this.address, token, this.namespace, this.ca, this.run);
  }

  /**
   * Waits, within bounds, where a rate limit refuses it: that says nothing of what was asked.
   * @param wrapTtl asks for the answer to be wrapped, as a duration of Vault's
   * @param timeoutMilliseconds for what works longer than on one lease
   * @throws VaultUnreachable
   */
  async request(
    method: string,
    path: string,
    body?: object,
    wrapTtl?: string,
    timeoutMilliseconds = TIMEOUT_MILLISECONDS,
  ): Promise<VaultAnswer> {
    for (let tries = 0; ; tries += 1) {
      await this.run.pace.ready();
      const exchange = () => this.exchange(method, path, body, wrapTtl, timeoutMilliseconds);
      let response = await exchange();
      if (!response) {
        await this.untilElected();
        response = await exchange();
        if (!response)
          throw new VaultUnreachable(
            `Vault at ${this.address} is a standby, and its cluster has no active node that can be asked from here: set VAULT_ADDR to the active node's address, or see vault operator raft list-peers`,
          );
      }
      if (!isRateLimited(response)) return this.answer(method, path, response);
      if (this.run.pace.hold(response.headers["retry-after"], tries)) continue;
      throw new VaultUnreachable(
        `Vault at ${this.address} limits the rate of requests (HTTP 429), and a run waits for it no longer than ${String(this.run.pace.bounds.run / 60_000)} min: raise its quota (sys/quotas/rate-limit), or try again later`,
      );
    }
  }

  /**
   * Has all clients of its run talk to the cluster's active node: what a standby answers may be behind.
   * @returns what keeps them from it, on one line; undefined where nothing does
   */
  async useActiveNode(): Promise<string | undefined> {
    try {
      const node = await activeNode(this.address, this.ca);
      this.run.node = node === this.address ? undefined : node;
      return node === undefined ? "it knows of no active node" : undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** Waits, within a bound, until the cluster has an active node, and talks to that. */
  private async untilElected(): Promise<void> {
    const nodes = [this.address, this.run.node].filter((node) => node !== undefined);
    this.run.node = await until(
      ELECTION_MILLISECONDS,
      async () => {
        for (const node of nodes) {
          const active = await activeNode(node, this.ca).catch(() => undefined);
          if (active !== undefined) return active;
        }
        return undefined;
      },
      { intervalMilliseconds: LOOK_MILLISECONDS },
    );
  }

  /** @returns undefined where a node that is not active has not done it, and knows of none that is */
  private async exchange(
    method: string,
    path: string,
    body: object | undefined,
    wrapTtl: string | undefined,
    timeoutMilliseconds: number,
  ): Promise<HttpResponse | undefined> {
    const at = this.run.node ?? this.address;
    let isRedirected = false;
    const headers: Record<string, string> = { "X-Vault-Request": "true" };
    if (this.token) headers["X-Vault-Token"] = this.token;
    if (this.namespace) headers["X-Vault-Namespace"] = this.namespace;
    if (wrapTtl) headers["X-Vault-Wrap-TTL"] = wrapTtl;
    try {
      const options = {
        method,
        headers,
        body: body && JSON.stringify(body),
        ca: this.ca,
        timeoutMilliseconds,
      };
      let response = await send(`${at}/v1/${path}`, options);
      const { location } = response.headers;
      // Of a standby that does not forward (https://developer.hashicorp.com/vault/docs/concepts/ha), never to less encryption.
      isRedirected = response.status === 307 && location !== undefined && isAsEncrypted(location, at);
      if (isRedirected) response = await send(location!, options);
      if (response.status === 307 && location !== undefined && !isAsEncrypted(location, at))
        throw new Error(
          `it is a standby, and the active node, ${new URL(location).origin}, is not encrypted`,
        );
      const isSealed = response.status === 503 && at !== this.address;
      const isStandby =
        response.status === 307 || (response.status === 500 && response.text.includes(NO_ACTIVE_NODE));
      return isSealed || isStandby ? undefined : response;
    } catch (error) {
      const { message, cause } = error as Error;
      const isRefused = (cause as NodeJS.ErrnoException | undefined)?.code === "ECONNREFUSED";
      // The active node is gone, and the others have not noticed yet.
      if (isRefused && (isRedirected || at !== this.address)) return undefined;
      throw new VaultUnreachable(`Vault does not answer at ${this.address}: ${message}`, !isRefused);
    }
  }

  private answer(method: string, path: string, { status, text, headers }: HttpResponse): VaultAnswer {
    let parsed: VaultBody;
    try {
      parsed = text ? (JSON.parse(text) as VaultBody) : {};
    } catch {
      throw new VaultUnreachable(`${this.address} does not answer like Vault: HTTP ${String(status)}`);
    }
    const date = Date.parse(headers.date ?? "");
    const answer: VaultAnswer = {
      ...{ method, path, status, body: parsed },
      ...(!Number.isNaN(date) && { date }),
    };
    // Of a sealed or standby Vault; sys/health has this status too, without `errors`.
    if (status === 503 && parsed.errors) {
      const said = errorText(answer);
      const hint = said.includes("sealed") ? ": run npx leasehold init, or vault operator unseal" : "";
      throw new VaultUnreachable(
        `Vault at ${this.address} is not serving requests (HTTP 503: ${said})${hint}`,
      );
    }
    return answer;
  }

  /** @throws VaultError for an error status, VaultUnreachable */
  async call(method: string, path: string, body?: object, wrapTtl?: string): Promise<VaultBody> {
    const answer = await this.request(method, path, body, wrapTtl);
    if (answer.status >= 400) throw new VaultError(answer);
    return answer.body;
  }
}

/** A quota's answer, or a proxy's before Vault; of sys/health, whose body is its status, 429 says that it is a standby. */
function isRateLimited({ status, text }: HttpResponse): boolean {
  return status === 429 && !/"standby"\s*:/.test(text);
}

/** Vault's own words, on one line. */
export function errorText(answer: VaultAnswer): string {
  const text = (answer.body.errors ?? []).join("; ").replace(/\s+/g, " ").trim();
  return text || "no message";
}
