import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Deployment } from "../support/deployment";
import { dumpPostgres, dumpVault } from "./dump";

/** The state of each database of a deployment, and of its Vault. */
export async function dump(deployment: Deployment): Promise<object> {
  const { databases } = deployment.manifest;
  const dumps = await Promise.all(
    databases.map(async (database) => {
      const client = await deployment.connect(database);
      const state = await dumpPostgres(client);
      await client.end();
      return [database.name, state] as const;
    }),
  );
  const vault = await dumpVault(deployment.root);
  // One database's needs no name.
  return { postgres: dumps.length === 1 ? dumps[0]![1] : Object.fromEntries(dumps), vault };
}

/** One dump an environment and a major version of PostgreSQL. */
export function goldenFile({ manifest, sandbox }: Deployment): string {
  const major = sandbox.postgres.version.split(".")[0]!;
  return join(__dirname, `${manifest.environment}-postgresql-${major}.json`);
}

export function readGolden(deployment: Deployment): object {
  const file = goldenFile(deployment);
  if (!existsSync(file))
    throw new Error(`${file} is missing: make it from a real deploy with UPDATE_GOLDEN=1 npm run e2e`);
  return JSON.parse(readFileSync(file, "utf8")) as object;
}

export function writeGolden(deployment: Deployment, state: object): void {
  writeFileSync(goldenFile(deployment), `${JSON.stringify(state, undefined, 1)}\n`);
}
