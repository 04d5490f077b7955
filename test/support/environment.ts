import type { SandboxOptions } from "../../sandbox/sandbox";
import { testEnvironmentNames } from "../environments/load";
import { dump, readGolden } from "../golden/golden";
import { record } from "./seen";
import { Deployment, findings } from "./deployment";
import { query } from "./hand-made";
import { PROJECT_ENVIRONMENTS } from "./project-environments";
import { cellsOf, checksOf } from "../../verify/report/report";

export const ENVIRONMENTS = [...PROJECT_ENVIRONMENTS, ...testEnvironmentNames()];

/** What is to hold of each environment on each server: its state is a real deploy's, the whole verifier holds, nothing is left. */
export async function holds(env: string, options: Partial<SandboxOptions> = {}): Promise<void> {
  const deployment = await Deployment.start({ env, ...options });
  const { sandbox, manifest } = deployment;
  expect(await dump(deployment)).toEqual(readGolden(deployment));

  const report = await deployment.verify({ expiry: true });
  record(report, sandbox.vault.label, "sandbox");
  expect(findings(report)).toEqual([]);
  expect(report.left).toEqual([]);
  expect(new Set(cellsOf(report).map(({ database }) => database))).toEqual(
    new Set(manifest.databases.map(({ name }) => name)),
  );
  for (const { name, workload } of manifest.databases) {
    const examples = checksOf(report).filter(
      ({ database, result }) => database === name && result.title.startsWith(`${workload!.kind} example: `),
    );
    expect(examples.length).toBeGreaterThanOrEqual(2);
  }
  expect(sandbox.servers.size).toBe(manifest.servers.length);
  for (const server of sandbox.servers.values())
    expect(await query(server, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'")).toEqual([]);
  await deployment.stop();
}
