import { accessSync, constants, existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { SetupError } from "../../clients/setup-error";
import { accessManifestSchema, type AccessManifest } from "../../manifest/schema";
import type { Report } from "../../verify/report/report";
import type { PostgresAddress } from "../../verify/session/session";
import { renderTable } from "../../verify/report/table";
import { VaultClient } from "../../clients/vault-client";
import { verify } from "../../verify/verify";
import { startApplication } from "./application";
import { Deployment } from "../deployment/deployment";
import { checkVaultAddress } from "../vault/address";

export interface VerifyCommandOptions {
  /** Commander's for `--no-expiry`: true unless that is given. */
  readonly expiry: boolean;
  readonly json?: string;
  readonly manifest: string;
  readonly readOnly?: boolean;
}

/** Verifies a deployment that is there already. Returns the exit code. */
export async function verifyCommand(
  { expiry, json, manifest: file, readOnly }: VerifyCommandOptions,
  signal: AbortSignal,
): Promise<number> {
  const env = environmentFor(file);
  const { VAULT_ADDR: address, VAULT_TOKEN: token, VAULT_NAMESPACE: namespace } = env;
  const vaultCa = env["VAULT_CACERT"];
  if (!address)
    throw new SetupError("VAULT_ADDR is not set: export Vault's address, such as http://127.0.0.1:8200");
  checkVaultAddress("VAULT_ADDR", address);
  if (!token) throw new SetupError("VAULT_TOKEN is not set: export a token with the verifier's policy");
  if (json) checkReportFile(json);
  const manifest = readManifest(file);
  const encrypted = new Set(manifest.servers.filter(({ tls }) => tls).map(({ name }) => name));
  const addresses = new Map(
    [...new Set(manifest.databases.map(({ server }) => server))].map((server, i) => [
      server,
      addressOf(env, i === 0 ? "" : `_${server.toUpperCase()}`, encrypted.has(server)),
    ]),
  );
  const report = await verify({
    manifest,
    vault: new VaultClient(
      address.replace(/\/+$/, ""),
      token,
      namespace,
      vaultCa ? certificates("VAULT_CACERT", vaultCa) : undefined,
    ),
    postgres: (server) => addresses.get(server)!,
    readOnly,
    expiry,
    startApplication,
    signal,
    onStep: (step) => {
      if (process.stderr.isTTY) console.error(step);
    },
  });
  console.log(renderTable(report, color()));
  if (json) writeReport(json, report);
  return exitCode(report);
}

/** What is set; for the rest, what the deployment beside the manifest has, such as the verifier's token on file. */
function environmentFor(manifest: string): NodeJS.ProcessEnv {
  const set = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value));
  try {
    const deployment = Deployment.read(dirname(manifest));
    if (!deployment) return set;
    const known = deployment.verifierEnvironment();
    // After eval "$(npx leasehold env)": Terraform's token, which may not do what the verifier does.
    if (set["VAULT_TOKEN"] === deployment.home.token("operator")) delete set["VAULT_TOKEN"];
    return { ...known, ...set };
  } catch (error) {
    // Not this machine's deployment.
    if (error instanceof SetupError) return set;
    throw error;
  }
}

/**
 * The first server's address is in PGHOST and PGPORT, another's in PGHOST_<NAME> and PGPORT_<NAME>. TLS as the manifest
 * declares it, unless PGSSLMODE says otherwise: its certificate checked against PGSSLROOTCERT, or none at all.
 */
function addressOf(env: NodeJS.ProcessEnv, suffix: string, isEncrypted: boolean): PostgresAddress {
  const host = env[`PGHOST${suffix}`] ?? "127.0.0.1";
  const port = env[`PGPORT${suffix}`] ?? (suffix ? undefined : "5432");
  const number = Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535) {
    throw new SetupError(
      `PGPORT${suffix}: received ${port === undefined ? "nothing" : JSON.stringify(port)}, allowed: a whole number from 1 to 65535`,
    );
  }
  const mode = env[`PGSSLMODE${suffix}`] || (isEncrypted ? "verify-full" : "disable");
  if (mode !== "verify-full" && mode !== "disable") {
    throw new SetupError(
      `PGSSLMODE${suffix}: received ${JSON.stringify(mode)}, allowed: verify-full, disable`,
    );
  }
  if (mode === "disable") return { host, port: number };
  // One authority may vouch for all servers.
  const name = env[`PGSSLROOTCERT${suffix}`] ? `PGSSLROOTCERT${suffix}` : "PGSSLROOTCERT";
  const file = env[name];
  if (!file)
    throw new SetupError(
      "PGSSLROOTCERT is not set: export the file with the CA certificate of the PostgreSQL server",
    );
  return { host, port: number, ssl: { ca: certificates(name, file) } };
}

function certificates(variable: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new SetupError(`${variable} can't be read: ${(error as Error).message}`);
  }
}

function readManifest(file: string): AccessManifest {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    throw new SetupError(`${file} can't be read: run npx cdktf synth, or name the manifest with --manifest`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new SetupError(`${file} is not JSON: run npx cdktf synth`);
  }
  const parsed = accessManifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new SetupError(`${file}: ${issue.path.join(".")}: ${issue.message}`);
}

/** Before the work, so that a name that can't be written does not cost it. */
export function checkReportFile(file: string): void {
  try {
    accessSync(dirname(resolve(file)), constants.W_OK);
    if (existsSync(file)) accessSync(file, constants.W_OK);
  } catch (error) {
    throw new SetupError(
      `the report can't be written (${(error as Error).message}): name a file in a folder that exists and can be written`,
    );
  }
}

export function writeReport(file: string, report: Report): void {
  try {
    writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`);
  } catch (error) {
    throw new SetupError(`the report can't be written: ${(error as Error).message}`);
  }
}

/** 0 all held, 1 a check failed or something stays, 130 interrupted. */
export function exitCode({ failed, left, interrupted }: Report): number {
  if (failed > 0 || left.length > 0) return 1;
  return interrupted ? 130 : 0;
}

/** https://no-color.org */
export function color(): boolean {
  return process.stdout.isTTY && !process.env["NO_COLOR"];
}
