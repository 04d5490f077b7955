import { send, type HttpResponse } from "./http";
import { Outage } from "./outage";

/** What came back: the status is part of a check's evidence, so an error status is an answer here and not an exception. */
export interface VaultAnswer {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly body: VaultBody;
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
  ) {}

  withToken(token?: string): VaultClient {
    return new VaultClient(this.address, token, this.namespace, this.ca);
  }

  /**
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
    const headers: Record<string, string> = { "X-Vault-Request": "true" };
    if (this.token) headers["X-Vault-Token"] = this.token;
    if (this.namespace) headers["X-Vault-Namespace"] = this.namespace;
    if (wrapTtl) headers["X-Vault-Wrap-TTL"] = wrapTtl;
    let response: HttpResponse;
    try {
      const options = {
        method,
        headers,
        body: body && JSON.stringify(body),
        ca: this.ca,
        timeoutMilliseconds,
      };
      response = await send(`${this.address}/v1/${path}`, options);
      const { location } = response.headers;
      // Of a standby that does not forward (https://developer.hashicorp.com/vault/docs/concepts/ha), never to less encryption.
      if (
        response.status === 307 &&
        location?.startsWith(this.address.startsWith("https:") ? "https:" : "http")
      )
        response = await send(location, options);
    } catch (error) {
      const { message, cause } = error as Error;
      const isRefused = (cause as NodeJS.ErrnoException | undefined)?.code === "ECONNREFUSED";
      throw new VaultUnreachable(`Vault does not answer at ${this.address}: ${message}`, !isRefused);
    }
    const { status, text } = response;
    let parsed: VaultBody;
    try {
      parsed = text ? (JSON.parse(text) as VaultBody) : {};
    } catch {
      throw new VaultUnreachable(`${this.address} does not answer like Vault: HTTP ${String(status)}`);
    }
    const answer: VaultAnswer = { method, path, status, body: parsed };
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

/** Vault's own words, on one line. */
export function errorText(answer: VaultAnswer): string {
  const text = (answer.body.errors ?? []).join("; ").replace(/\s+/g, " ").trim();
  return text || "no message";
}
