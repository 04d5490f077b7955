import { connect, createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { VaultClient, type VaultAnswer } from "../../clients/vault-client";

/** A client with somebody in the middle, who is told of each request and sends it or something else. */
export function between(
  client: VaultClient,
  intercept: (request: string, send: () => Promise<VaultAnswer>) => Promise<VaultAnswer>,
): VaultClient {
  class Watched extends VaultClient {
    constructor(private readonly inner: VaultClient) {
      super(inner.address, undefined, undefined, inner.ca, inner.run);
    }

    override withToken(token?: string): VaultClient {
      return new Watched(this.inner.withToken(token));
    }

    override request(method: string, path: string, body?: object, wrapTtl?: string): Promise<VaultAnswer> {
      return intercept(`${method} ${path}`, () => this.inner.request(method, path, body, wrapTtl));
    }
  }
  return new Watched(client);
}

/** A client that runs something before the first request that matches, so that a fault falls between two known steps. */
export function before(client: VaultClient, wanted: RegExp, happen: () => unknown): VaultClient {
  let has = false;
  return between(client, async (request, send) => {
    if (!has && wanted.test(request)) {
      has = true;
      await happen();
    }
    return send();
  });
}

/** A network of its own between two servers, which can be cut. */
export class Proxy {
  static async start(target: number): Promise<Proxy> {
    const server = createServer();
    const proxy = new Proxy(server, target);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return proxy;
  }

  private mode: "open" | "refusing" | "silent" = "open";
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly target: number,
  ) {
    server.on("connection", (client) => {
      this.join(client);
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Connections are reset, and new ones as well. */
  refuse(): void {
    this.mode = "refusing";
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  /** Nothing goes through any more, and nobody is told. */
  silence(): void {
    this.mode = "silent";
    for (const socket of this.sockets) socket.unpipe().pause();
  }

  /** As at first; connections from before are gone. */
  heal(): void {
    this.mode = "open";
    for (const socket of this.sockets) socket.destroy();
  }

  stop(): void {
    this.heal();
    this.server.close();
  }

  private join(client: Socket): void {
    if (this.mode === "refusing") {
      client.resetAndDestroy();
      return;
    }
    const upstream = this.mode === "silent" ? undefined : connect(this.target, "127.0.0.1");
    for (const socket of [client, upstream]) {
      if (!socket) continue;
      this.sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.sockets.delete(socket);
        client.destroy();
        upstream?.destroy();
      });
    }
    if (upstream) client.pipe(upstream).pipe(client);
  }
}
