import { request as plain, type IncomingHttpHeaders } from "node:http";
import { request as encrypted } from "node:https";

export interface HttpRequest {
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /**
   * Certificates of the authority that vouches for the server, as PEM text.
   * @default - the authorities that Node knows
   */
  readonly ca?: string;
  /** For the whole exchange. */
  readonly timeoutMilliseconds: number;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** What TLS says of a server that is not the one it should be (https://nodejs.org/docs/latest-v20.x/api/tls.html#x509-certificate-error-codes). */
const UNTRUSTED = /^(UNABLE_TO_|CERT_|ERR_TLS_CERT_|DEPTH_ZERO_|SELF_SIGNED_)/;

/** Why a server's certificate is not trusted; undefined for an error that is about something else. */
export function distrust({ code, message }: NodeJS.ErrnoException): string | undefined {
  if (!UNTRUSTED.test(code ?? "")) return undefined;
  // Later versions of Node add advice on starting Node.
  return message.replace(/; if the root CA is installed locally.*$/s, "");
}

/**
 * One exchange; any status is an answer. `fetch` takes no certificate authority of one's own.
 * @throws Error with a message of one line, where no answer came
 */
export function send(url: string, options: HttpRequest): Promise<HttpResponse> {
  const { method, headers, body, ca, timeoutMilliseconds } = options;
  return new Promise((resolve, reject) => {
    const isEncrypted = new URL(url).protocol === "https:";
    const signal = AbortSignal.timeout(timeoutMilliseconds);
    const fail = (error: NodeJS.ErrnoException) => {
      const late = `no answer to ${method} ${new URL(url).pathname} within ${String(timeoutMilliseconds / 1000)} s`;
      reject(new Error(signal.aborted ? late : reason(error), { cause: error }));
    };
    const content = body === undefined ? undefined : Buffer.from(body);
    const common = {
      method,
      headers: { ...headers, ...(content && { "content-length": String(content.length) }) },
      signal,
    };
    const request = isEncrypted ? encrypted(url, { ...common, ca }) : plain(url, common);
    request.on("error", (error: NodeJS.ErrnoException) => {
      // The server had closed the kept connection before it was asked (https://nodejs.org/docs/latest-v20.x/api/http.html#requestreusedsocket).
      if (request.reusedSocket && error.code === "ECONNRESET") resolve(send(url, options));
      else fail(error);
    });
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", fail);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        resolve({ status: response.statusCode!, headers: response.headers, text });
      });
    });
    request.end(content);
  });
}

function reason(error: NodeJS.ErrnoException): string {
  const untrusted = distrust(error);
  if (untrusted !== undefined) return `its certificate is not trusted (${untrusted})`;
  // Where a name has several addresses, the error holds one for each and no message of its own.
  return error.message || (error.code ?? error.name);
}
