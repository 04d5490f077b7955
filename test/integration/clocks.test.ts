import { execFileSync, type ChildProcess } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { stopChild } from "../../sandbox/workspace";
import { Deployment, findings } from "../support/deployment";
import { eventually } from "../support/program";
import { unless } from "../support/skip";

/** Of Debian's package faketime. */
const library = execFileSync("find", ["/usr/lib", "-name", "libfaketime.so.1"], { encoding: "utf8" }).trim();
const { describe, because } = unless(
  !library && "there is no libfaketime, which Debian's package faketime has",
);

describe(`PostgreSQL under another clock than Vault's${because}`, () => {
  let deployment: Deployment;
  let shifted: ChildProcess | undefined;
  /** What started the server. */
  let command: string[];

  beforeAll(async () => {
    deployment = await Deployment.start();
  });

  afterEach(() => shifted && stopChild(shifted, "SIGINT", 10_000));

  afterAll(() => deployment.stop());

  test.each([
    [
      "-45s",
      /^ .*: PostgreSQL's clock says \S+Z when Vault's says \S+Z: it is 4[456] s behind, so that a login whose lease Vault does not revoke outlives it; have both machines keep time \(timedatectl set-ntp true\)$/,
    ],
    [
      "+45s",
      /^ .*: PostgreSQL's clock says \S+Z when Vault's says \S+Z: it is 4[456] s ahead, so that a login ends before its lease; have both machines keep time/,
    ],
  ])("by %s: one finding, with both times and the difference", async (shift, finding) => {
    shifted = await restartUnder(shift);
    const report = await deployment.verify({ selection: { only: ["clocks", "lease", "valid-until"] } });
    expect(findings(report)).toEqual([expect.stringMatching(finding)]);
    expect(report.left).toEqual([]);
    const only = await deployment.verify({ selection: { only: ["valid-until"] } });
    expect(findings(only)).toContainEqual(
      expect.stringMatching(/VALID UNTIL the lease's end: VALID UNTIL is \d+ s away, the lease's end \d+ s$/),
    );
  });

  test("ahead of every lease: no login of Vault's is accepted, and the line says what may be", async () => {
    shifted = await restartUnder("+40d");
    await expect(deployment.verify()).rejects.toThrow(
      /rejects the login v-\S+: password authentication failed .*; set PGHOST and PGPORT; or set its clock, where it is more than the lease's \d+ s ahead of Vault's, which says \S+Z$/,
    );
  });

  /** The same server, on the same port and with the same data. */
  async function restartUnder(shift: string): Promise<ChildProcess> {
    const { postgres } = deployment.sandbox;
    const { workspace } = deployment;
    if (shifted === undefined) {
      const [pid] = readFileSync(join(workspace.path("postgres-data"), "postmaster.pid"), "utf8").split("\n");
      command = readFileSync(`/proc/${pid!}/cmdline`, "utf8").split("\0").slice(0, -1);
      await postgres.stop();
    }
    const { uid, gid } = statSync(workspace.path("postgres-data"));
    const settings = [`LD_PRELOAD=${library}`, `FAKETIME=${shift}`, "FAKETIME_DONT_FAKE_MONOTONIC=1"];
    const user = process.getuid?.() === 0 ? { uid, gid } : undefined;
    const child = await workspace.spawn("postgres-shifted", "env", [...settings, ...command], { user });
    await eventually(accepts, 30_000, () => workspace.lastLine("postgres-shifted"));
    return child;
  }

  const accepts = () =>
    deployment.connect(deployment.manifest.databases[0]!).then(
      (client) => client.end().then(() => true),
      () => false,
    );
});
