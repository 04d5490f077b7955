import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { within } from "../../clients/within";
import type { Application, ApplicationSettings } from "../../verify/workloads/context";
import { ROOT } from "../deployment/synthesize";

const START_TIMEOUT_MILLISECONDS = 20_000;
const STOP_TIMEOUT_MILLISECONDS = 10_000;

/**
 * Runs examples/pool in a process of its own, told where the files are with which it logs in, and nothing secret.
 * @throws Error with the last line that it wrote, when it does not start
 */
export async function startApplication(settings: ApplicationSettings): Promise<Application> {
  // Loaded here, since it takes as long as all that a verification without an application loads.
  const { execa } = await import("execa");
  const folder = mkdtempSync(join(tmpdir(), "leasehold-pool-"));
  const file = (name: string, content: string) => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  const { vault, postgres, login } = settings;
  const authorities = [vault.ca, postgres.ssl?.ca].filter((ca) => ca !== undefined);
  const child = execa(process.execPath, ["--import", "tsx", "examples/pool/main.ts"], {
    cwd: ROOT,
    stdin: "ignore",
    // Out of the reach of the terminal's Ctrl-C: who started it ends it, after its last request.
    detached: true,
    reject: false,
    extendEnv: false,
    env: {
      PATH: process.env["PATH"],
      ...(authorities.length > 0 && { NODE_EXTRA_CA_CERTS: file("ca.crt", authorities.join("\n")) }),
      VAULT_ADDR: vault.address,
      ...(vault.namespace && { VAULT_NAMESPACE: vault.namespace }),
      ...login.variables,
      ...Object.fromEntries(
        Object.entries(login.files).map(([name, content]) => [name, file(name, content)]),
      ),
      CREDENTIALS: settings.credentials,
      PGHOST: postgres.host,
      PGPORT: String(postgres.port),
      PGSSLMODE: postgres.ssl ? "verify-full" : "disable",
      PGDATABASE: settings.database,
      QUERY: settings.query,
      INCREMENT: String(settings.increment),
      MAX_AGE: String(settings.maxAge),
    },
  });
  const stop = async () => {
    child.kill("SIGTERM", { forceKillAfterTimeout: STOP_TIMEOUT_MILLISECONDS });
    const { exitCode, signal } = await child;
    rmSync(folder, { recursive: true, force: true });
    return signal ?? exitCode;
  };
  const listening = once(createInterface({ input: child.stdout! }), "line") as Promise<[url: string]>;
  const [url] = await within(
    START_TIMEOUT_MILLISECONDS,
    Promise.race([listening, child.then(() => [undefined])]),
    [undefined],
  );
  if (url !== undefined) return { url, stop };
  await stop();
  const { stderr } = await child;
  throw new Error(`the application did not start: ${stderr.split("\n").at(-1) ?? ""}`);
}
