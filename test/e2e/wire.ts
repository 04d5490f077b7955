import { once } from "node:events";
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from "node:net";

/** Where a wire can be reached. */
interface Address {
  readonly host: string;
  /** @default - any */
  readonly port?: number;
}

interface Trap {
  readonly asked: RegExp;
  readonly happen: () => unknown;
  isSprung: boolean;
}

/**
 * Stands between the commands and a server, which is the real one: keeps what both say, and lets something happen at the moment
 * when the server has done what was asked and nobody knows it yet.
 */
export class Wire {
  /** All that was said, the answers among it. */
  heard = "";
  private trap: Trap | undefined;
  private readonly sockets = new Set<Socket>();

  static async open(server: NetConnectOpts, place: Address): Promise<Wire> {
    const wire = new Wire(createServer(), server, { port: 0, ...place });
    await wire.open();
    return wire;
  }

  private constructor(
    private readonly listener: Server,
    private readonly server: NetConnectOpts,
    private readonly place: { readonly host: string; port: number },
  ) {
    listener.on("connection", (client) => {
      this.join(client, connect(this.server));
    });
  }

  get port(): number {
    return (this.listener.address() as { port: number } | null)?.port ?? this.place.port;
  }

  /** The next time that the server answers what matches, this has happened before anybody hears the answer. */
  onAnswered(asked: RegExp, happen: () => unknown): Trap {
    return (this.trap = { asked, happen, isSprung: false });
  }

  /** As if the server had ended: nobody is let in any more. */
  close(): void {
    this.listener.close();
    for (const socket of this.sockets) socket.destroy();
  }

  async open(): Promise<void> {
    this.listener.listen(this.place.port, this.place.host);
    await once(this.listener, "listening");
    this.place.port = this.port;
  }

  private join(client: Socket, server: Socket): void {
    let asked = "";
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.sockets.add(from);
      // Whoever breaks off, the other one sees it.
      from
        .on("error", () => undefined)
        .on("close", () => {
          this.sockets.delete(from);
          to.destroy();
        });
      from.on("end", () => to.end());
      from.on("data", (bytes) => {
        const text = bytes.toString("latin1");
        this.heard += text;
        if (from === client) asked += text;
        const { trap } = this;
        if (from === client || !trap || trap.isSprung || !trap.asked.test(asked)) {
          to.write(bytes);
          return;
        }
        trap.isSprung = true;
        from.pause();
        void Promise.resolve(trap.happen()).then(() => {
          to.write(bytes);
          from.resume();
        });
      });
    }
  }
}
