import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { columns } from "../../clients/text";

/** By what people call it, the values that a secret has had. */
export type Secrets = ReadonlyMap<string, ReadonlySet<string>>;

/** Something that somebody could read. */
export interface Readable {
  readonly name: string;
  readonly text: string;
  /** Secrets that belong there. */
  readonly holds?: readonly string[];
}

const INTERVAL_MILLISECONDS = 50;

/** Looks at every process of the machine, and at a folder for temporary files, again and again, and keeps what it saw. */
export class Watch {
  private readonly seen = new Map<string, { command: string; environment: string }>();
  private readonly files = new Map<string, string>();
  private readonly timer = setInterval(() => {
    this.look();
  }, INTERVAL_MILLISECONDS);

  constructor(private readonly folder: string) {}

  stop(): void {
    clearInterval(this.timer);
  }

  get commands(): string {
    return [...this.seen.values()].map(({ command }) => command).join("\n");
  }

  /** Of the processes whose command line matches, or of all others. */
  environments(command: RegExp, matches = true): string {
    return [...this.seen.values()]
      .filter((process) => command.test(process.command) === matches)
      .map(({ environment }) => environment)
      .join("\n");
  }

  get temporary(): string {
    return [...this.files.values()].join("\n");
  }

  private look(): void {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      const command = quietly(() => readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " "));
      const key = `${pid} ${command ?? ""}`;
      if (!command || Number(pid) === process.pid || this.seen.has(key)) continue;
      // One that has just begun may not have its environment yet.
      const environment = quietly(() => readFileSync(`/proc/${pid}/environ`, "utf8"));
      if (environment) this.seen.set(key, { command, environment });
    }
    for (const file of filesBelow(this.folder)) {
      const version = quietly(() => statSync(file).mtimeMs);
      const key = `${file} ${String(version)}`;
      if (!this.files.has(key)) this.files.set(key, quietly(() => readFileSync(file, "latin1")) ?? "");
    }
  }
}

/** No link is followed. */
export function filesBelow(folder: string): string[] {
  const entries = quietly(() => readdirSync(folder, { recursive: true, withFileTypes: true })) ?? [];
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

/** Each place and each secret: where one belongs and is, where it is not, and where it must not be. */
export function search(places: readonly Readable[], secrets: Secrets): { table: string; found: string[] } {
  const found: string[] = [];
  const rows = places.map(({ name, text, holds = [] }) => {
    const cells = [...secrets].map(([secret, values]) => {
      if (![...values].some((value) => text.includes(value))) return "·";
      if (holds.includes(secret)) return "here";
      found.push(`${secret} in ${name}`);
      return "LEAKED";
    });
    return [name, ...cells];
  });
  const lines = columns([["", ...secrets.keys()], ...rows]);
  return { table: lines.join("\n"), found };
}

/** What Vault has handed out, in what was said over its wire. */
export function handedOut(
  heard: string,
): Record<"root token" | "unseal key" | "token" | "secret id" | "password", Set<string>> {
  const all = (...patterns: RegExp[]) =>
    new Set(patterns.flatMap((pattern) => [...heard.matchAll(pattern)].map(([, value]) => value!)));
  return {
    "root token": all(/"root_token":"([^"]+)"/g),
    "unseal key": all(/"keys":\["([0-9a-f]{64,})"/g, /"keys_base64":\["([^"]+)"/g),
    token: all(/"client_token":"([^"]+)"/g),
    "secret id": all(/"secret_id":"([^"]+)","secret_id_accessor"/g, /"wrap_info":\{"token":"([^"]+)"/g),
    password: all(/"password":"([^"]+)"/g),
  };
}

/** What is gone in the meantime is nothing to read. */
function quietly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
