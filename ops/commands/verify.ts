import { SetupError } from "../../clients/setup-error";
import { columns } from "../../clients/text";
import { describeChecks } from "../../verify/checks";
import { renderDetails } from "../../verify/report/details";
import { renderOverview } from "../../verify/report/overview";
import { verify } from "../../verify/verify";
import { Deployment } from "../deployment/deployment";
import { lock } from "../deployment/lock";
import { color } from "../terminal/color";
import { startApplication } from "../verification/application";
import { fixSql } from "../verification/fix-sql";
import { checkReportFile, exitCode, FIX_SQL, writeFixSql, writeReport } from "../verification/report-file";
import { verificationTarget } from "../verification/target";

export interface VerifyCommandOptions {
  /** Commander's for `--no-expiry`: true unless that is given. */
  readonly expiry: boolean;
  readonly details?: boolean;
  /** @default - the environment of the manifest that is there */
  readonly env?: string;
  readonly fixSql?: string;
  readonly json?: string;
  readonly list?: boolean;
  /** @default - what was deployed from this machine, else what was synthesized last */
  readonly manifest?: string;
  /** Ids of checks. */
  readonly only?: readonly string[];
  readonly skip?: readonly string[];
  readonly readOnly?: boolean;
}

/** Verifies a deployment that is there already. Returns the exit code. */
export async function verifyCommand(
  {
    details,
    env,
    expiry,
    fixSql: fixFile,
    json,
    list,
    manifest: file,
    only,
    readOnly,
    skip,
  }: VerifyCommandOptions,
  signal: AbortSignal,
): Promise<number> {
  if (list) {
    console.log(checkList());
    return 0;
  }
  checkIds("--only", only);
  checkIds("--skip", skip);
  if (json) checkReportFile(json);
  if (fixFile) checkReportFile(fixFile, FIX_SQL);
  if (env !== undefined) await synthesizeAnew(env, signal);
  const target = verificationTarget(file);
  const { note, ...deployment } = target;
  // With --env it is this checkout's config that counts.
  if (note !== undefined && env === undefined) console.error(note);
  const report = await verify({
    ...deployment,
    selection: { only, skip },
    readOnly,
    expiry,
    startApplication,
    signal,
    onStep: (step) => {
      if (process.stderr.isTTY) console.error(step);
    },
  });
  // What nobody looked at is not green.
  if (report.passed + report.failed === 0 && !report.interrupted)
    throw new SetupError(
      "no check was made: none that --only and --skip leave applies to this environment, with these options",
    );
  console.log((details ? renderDetails : renderOverview)(report, color()));
  if (json) writeReport(json, report);
  if (fixFile) {
    const { text, statements } = fixSql(report, target.manifest);
    writeFixSql(fixFile, text);
    console.log(
      statements === 0
        ? `${fixFile}: there is no statement that would mend anything`
        : `${fixFile}: statements that would mend it, for a superuser to read and run: psql -v ON_ERROR_STOP=1 -f ${fixFile}`,
    );
  }
  return exitCode(report);
}

/** The manifest in cdktf.out is that of whichever environment was synthesized last. */
async function synthesizeAnew(env: string, signal: AbortSignal): Promise<void> {
  const release = lock("verify");
  try {
    await Deployment.open(env, signal);
  } finally {
    release();
  }
}

/** Every check there is, a line each. */
function checkList(): string {
  return columns(describeChecks().map(({ id, group, proves }) => [id, group, proves])).join("\n");
}

function checkIds(option: string, ids: readonly string[] = []): void {
  const known = describeChecks().map(({ id }) => id);
  const unknown = ids.find((id) => !known.includes(id));
  if (unknown !== undefined)
    throw new SetupError(
      `${option}: received ${JSON.stringify(unknown)}, allowed: ids that npx leasehold verify --list prints`,
    );
}
