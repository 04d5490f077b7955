import { environmentNames } from "../../config/load";
import { testEnvironmentNames } from "../environments/load";
import { Deployment, findings } from "./deployment";
import { query } from "./hand-made";

/** The whole verifier on each environment. */
test.each([...environmentNames(), ...testEnvironmentNames()])(
  "the environment %s holds, with its workload, and nothing is left",
  async (env) => {
    const deployment = await Deployment.start({ env });
    const report = await deployment.verify();
    expect(findings(report)).toEqual([]);
    expect(report.left).toEqual([]);
    const { databases, servers } = deployment.manifest;
    expect(new Set(report.cells.map(({ database }) => database))).toEqual(
      new Set(databases.map(({ name }) => name)),
    );
    for (const { name, workload } of databases) {
      const examples = report.checks.filter(
        (check) => check.database === name && check.name.startsWith(`${workload!.kind} example: `),
      );
      expect(examples.length).toBeGreaterThanOrEqual(3);
    }
    expect(deployment.sandbox.servers.size).toBe(servers.length);
    for (const server of deployment.sandbox.servers.values())
      expect(await query(server, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'")).toEqual([]);
    await deployment.stop();
  },
);
