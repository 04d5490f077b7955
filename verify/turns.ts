/** More at a time are no faster: what they wait for is the servers' work. */
const AT_ONCE = 4;
/** What a database's verification takes at most: its own sessions, clients that reconnect, and Vault's. */
const CONNECTIONS = 20;

/** Has databases verified side by side: few at a time, and on a server as many as it has connections for. */
export class Turns {
  private readonly running: string[] = [];
  private readonly most = new Map<string, number>();
  private readonly waiting = new Set<() => void>();

  /** Waits for a turn on a server; until it is known what the server has room for, for each turn before it. Returns what ends it. */
  async take(server: string): Promise<() => void> {
    while (!this.hasRoom(server)) await new Promise<void>((resolve) => this.waiting.add(resolve));
    this.running.push(server);
    return () => {
      this.running.splice(this.running.indexOf(server), 1);
      this.wake();
    };
  }

  /** @param free connections that a server has */
  allow(server: string, free: number): void {
    this.most.set(server, 1 + Math.floor(free / CONNECTIONS));
    this.wake();
  }

  private hasRoom(server: string): boolean {
    const here = this.running.filter((each) => each === server).length;
    return this.running.length < AT_ONCE && here < (this.most.get(server) ?? 1);
  }

  private wake(): void {
    const woken = [...this.waiting];
    this.waiting.clear();
    for (const resolve of woken) resolve();
  }
}
