import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { SetupError } from "../../clients/setup-error";
import { withoutBrackets } from "../../clients/text";
import { VaultClient } from "../../clients/vault-client";
import { accessManifestSchema, type AccessManifest } from "../../manifest/schema";
import type { PostgresAddress } from "../../verify/session/session";
import { Deployment } from "../deployment/deployment";
import { Home } from "../deployment/home";
import { checkVaultAddress } from "../vault/address";

/** What there is to verify, and how to reach it. */
export interface VerificationTarget {
  readonly manifest: AccessManifest;
  /** With the verifier's token. */
  readonly vault: VaultClient;
  readonly postgres: (server: string) => PostgresAddress;
  /** To be known of the manifest. */
  readonly note?: string;
}

/** What the last synth of this checkout declared, whatever it was for. */
const SYNTHESIZED = "cdktf.out/access.json";

/**
 * From VAULT_ADDR, VAULT_TOKEN, the PG* variables and, for what they leave open, the deployment beside the manifest.
 * @param given the manifest. @default - what was synthesized last
 * @throws SetupError that names what is missing or not allowed
 */
export function verificationTarget(given?: string): VerificationTarget {
  const file = given ?? SYNTHESIZED;
  const manifest = readManifest(file);
  const home = Home.open(manifest.environment);
  const note = given === undefined ? noteOf(home, manifest) : undefined;
  const env = environmentFor(file);
  const { VAULT_ADDR: address, VAULT_TOKEN: token, VAULT_NAMESPACE: namespace, VAULT_CACERT: ca } = env;
  if (address) checkVaultAddress("VAULT_ADDR", address);
  if (!address || !token) {
    const missing = [
      !address && "VAULT_ADDR is not set: export Vault's address, such as http://127.0.0.1:8200",
      !token && "VAULT_TOKEN is not set: export a token with the verifier's policy",
      given === undefined &&
        !home.token("verifier") &&
        `this machine has no token of the verifier's for the environment ${manifest.environment} (${home.folder}), which npx leasehold init or deploy keeps there: verify where it was deployed from, or export these and, where PostgreSQL is elsewhere, PGHOST and PGPORT`,
    ];
    throw new SetupError(missing.filter((each) => each !== false).join("; "));
  }
  const encrypted = new Set(manifest.servers.filter(({ tls }) => tls).map(({ name }) => name));
  const addresses = new Map(
    serversOf(manifest).map(({ server, suffix }) => [server, addressOf(env, suffix, encrypted.has(server))]),
  );
  return {
    ...{ manifest, note },
    vault: new VaultClient(
      address.replace(/\/+$/, ""),
      token,
      namespace,
      ca ? certificates("VAULT_CACERT", ca) : undefined,
    ),
    postgres: (server) => addresses.get(server)!,
  };
}

/** A diff, or a synth of another branch, leaves in cdktf.out what nobody may have deployed: plain cdktf deploys it as well. */
function noteOf(home: Home, { environment }: AccessManifest): string | undefined {
  const last = home.deployedAccess();
  if (!last || last.text === readFileSync(SYNTHESIZED, "utf8")) return undefined;
  return `judged by ${SYNTHESIZED}, which is not what leasehold deploy last deployed from this machine (${last.at.toISOString()}): where it is another branch's, --env ${environment} takes this checkout's config, and --manifest ${home.deployedAccessFile} what was deployed`;
}

/** Those that have a database, with what their variables end in: nothing for the first server of all. */
function serversOf({ servers, databases }: AccessManifest): { server: string; suffix: string }[] {
  const used = [...new Set(databases.map(({ server }) => server))];
  const [first] = servers.length > 0 ? servers.map(({ name }) => name) : used;
  return used.map((server) => ({ server, suffix: server === first ? "" : `_${server.toUpperCase()}` }));
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
  const host = withoutBrackets(env[`PGHOST${suffix}`] ?? "127.0.0.1");
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
    throw new SetupError(
      `${file} can't be read: name the environment with --env, run npx cdktf synth, or name the manifest with --manifest`,
    );
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
