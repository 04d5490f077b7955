import { createServer, type AddressInfo } from "node:net";

/** A port of 127.0.0.1 that nobody listens on now. Somebody may in the next moment: who binds it must be able to try again. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => {
        resolve(port);
      });
    });
  });
}

/** How often a port is tried that somebody else took in between. */
export const PORT_TRIES = 5;
