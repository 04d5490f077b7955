import { readFileSync, writeFileSync } from "node:fs";
import { SetupError } from "../sandbox/setup-error";
import { accessManifestSchema, type AccessManifest } from "../verify/manifest";
import type { Report } from "../verify/report";
import type { PostgresAddress } from "../verify/session";
import { renderTable } from "../verify/table";
import { VaultClient } from "../verify/vault-client";
import { verify } from "../verify/verify";

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
  const { VAULT_ADDR: address, VAULT_TOKEN: token, VAULT_NAMESPACE: namespace } = process.env;
  if (!address)
    throw new SetupError("VAULT_ADDR is not set: export Vault's address, such as http://127.0.0.1:8200");
  if (!token) throw new SetupError("VAULT_TOKEN is not set: export a token with the verifier's policy");
  const manifest = readManifest(file);
  const addresses = new Map(
    [...new Set(manifest.databases.map(({ server }) => server))].map((server, i) => [
      server,
      addressOf(i === 0 ? "" : `_${server.toUpperCase()}`),
    ]),
  );
  const report = await verify({
    manifest,
    vault: new VaultClient(address.replace(/\/+$/, ""), token, namespace),
    postgres: (server) => addresses.get(server)!,
    readOnly,
    expiry,
    signal,
    onStep: (step) => {
      if (process.stderr.isTTY) console.error(step);
    },
  });
  if (json) writeReport(json, report);
  console.log(renderTable(report, manifest, color()));
  return exitCode(report);
}

/** The first server's address is in PGHOST and PGPORT, another's in PGHOST_<NAME> and PGPORT_<NAME>. */
function addressOf(suffix: string): PostgresAddress {
  const host = process.env[`PGHOST${suffix}`] ?? "127.0.0.1";
  const port = process.env[`PGPORT${suffix}`] ?? (suffix ? undefined : "5432");
  const number = Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535) {
    throw new SetupError(
      `PGPORT${suffix}: received ${port === undefined ? "nothing" : JSON.stringify(port)}, allowed: a whole number from 1 to 65535`,
    );
  }
  return { host, port: number };
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
