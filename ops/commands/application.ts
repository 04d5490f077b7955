import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Application, ApplicationSettings } from "../../verify/workloads/context";
import { ROOT } from "../deployment/synthesize";

const START_TIMEOUT_MILLISECONDS = 20_000;
const STOP_TIMEOUT_MILLISECONDS = 10_000;

/**
 * Runs examples/pool in a process of its own, told where its role id and its wrapped secret id are, and nothing secret.
 * @throws Error with the last line that it wrote, when it does not start
 */
export async function startApplication(settings: ApplicationSettings): Promise<Application> {
  const folder = mkdtempSync(join(tmpdir(), "leasehold-pool-"));
  const file = (name: string, content: string) => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  const { vault, postgres, login } = settings;
  const authorities = [vault.ca, postgres.ssl?.ca].filter((ca) => ca !== undefined);
  const child = spawn(process.execPath, ["--import", "tsx", "examples/pool/main.ts"], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    // Out of the reach of the terminal's Ctrl-C: who started it ends it, after its last request.
    detached: true,
    env: {
      PATH: process.env["PATH"],
      ...(authorities.length > 0 && { NODE_EXTRA_CA_CERTS: file("ca.crt", authorities.join("\n")) }),
      VAULT_ADDR: vault.address,
      ...(vault.namespace && { VAULT_NAMESPACE: vault.namespace }),
      AUTH_MOUNT: login.authMount,
      APP_ROLE: login.appRole,
      ROLE_ID_FILE: file("role-id", login.roleId),
      SECRET_ID_FILE: file("secret-id", login.wrappedSecretId),
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
  let output = "";
  let errors = "";
  const ended = new Promise<number | string>((resolve) => {
    child.on("error", (error) => {
      errors += error.message;
      resolve("error");
    });
    child.on("close", (code, signal) => {
      resolve(code ?? signal ?? "");
    });
  });
  const stop = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MILLISECONDS);
    const code = await ended;
    clearTimeout(timer);
    rmSync(folder, { recursive: true, force: true });
    return code;
  };
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const listening = new Promise<string>((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.includes("\n")) resolve(output.trim());
    });
  });
  const bound = new AbortController();
  const url = await Promise.race([
    listening,
    ended.then(() => undefined),
    delay(START_TIMEOUT_MILLISECONDS, undefined, { signal: bound.signal }).catch(() => undefined),
  ]);
  bound.abort();
  if (url !== undefined) return { url, stop };
  await stop();
  throw new Error(`the application did not start: ${errors.trim().split("\n").at(-1) ?? ""}`);
}
