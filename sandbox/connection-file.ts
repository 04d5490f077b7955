import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PostgresServer } from "./postgres-server";
import type { Sandbox } from "./sandbox";

const FOLDER = join(__dirname, "../.sandbox");

/**
 * Writes `.sandbox/connection.json`, for other clients of a sandbox that is kept; readable by its owner alone. Where
 * another sandbox of this checkout holds that name, this one's is `.sandbox/connection-<pid>.json`.
 * @param workspace the sandbox's folder: as long as it is there, the file holds
 */
export function writeConnectionFile(sandbox: Sandbox, workspace: string, folder = FOLDER): string {
  const { operator, verifier } = sandbox.initialised.tokens;
  const content = {
    vault: { address: sandbox.vault.address, token: operator, verifierToken: verifier },
    postgres: describe(sandbox.postgres),
    servers: Object.fromEntries([...sandbox.servers].map(([name, server]) => [name, describe(server)])),
    ...(sandbox.caFile && { caFile: sandbox.caFile }),
    workspace,
  };
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  clearStaleConnectionFiles(folder);
  const text = `${JSON.stringify(content, undefined, 2)}\n`;
  for (const name of ["connection.json", `connection-${String(process.pid)}.json`]) {
    const file = join(folder, name);
    try {
      writeFileSync(file, text, { mode: 0o600, flag: "wx" });
      return file;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
  throw new Error(`${folder} holds files of this process already`);
}

function describe({ host, port, database, superuser: user, password }: PostgresServer): object {
  return { host, port, database, user, password };
}

export function removeConnectionFile(file: string): void {
  rmSync(file, { force: true });
}

/** Of sandboxes that were killed: their folders were cleared when the next one started. */
export function clearStaleConnectionFiles(folder = FOLDER): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder).filter((file) => /^connection(-\d+)?\.json$/.test(file))) {
    const file = join(folder, name);
    let workspace: unknown;
    try {
      workspace = (JSON.parse(readFileSync(file, "utf8")) as { workspace?: unknown }).workspace;
    } catch {
      // Cut off while it was written.
    }
    if (typeof workspace !== "string" || !existsSync(workspace)) removeConnectionFile(file);
  }
}
