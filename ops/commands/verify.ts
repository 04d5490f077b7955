import { renderTable } from "../../verify/report/table";
import { verify } from "../../verify/verify";
import { color } from "../terminal/color";
import { startApplication } from "../verification/application";
import { checkReportFile, exitCode, writeReport } from "../verification/report-file";
import { verificationTarget } from "../verification/target";

export interface VerifyCommandOptions {
  /** Commander's for `--no-expiry`: true unless that is given. */
  readonly expiry: boolean;
  readonly json?: string;
  readonly manifest: string;
  readonly readOnly?: boolean;
}

/** Verifies a deployment that is there already. Returns the exit code. */
export async function verifyCommand(
  { expiry, json, manifest: file, readOnly }: VerifyCommandOptions,
  signal: AbortSignal,
): Promise<number> {
  const target = verificationTarget(file);
  if (json) checkReportFile(json);
  const report = await verify({
    ...target,
    readOnly,
    expiry,
    startApplication,
    signal,
    onStep: (step) => {
      if (process.stderr.isTTY) console.error(step);
    },
  });
  console.log(renderTable(report, target.manifest, color()));
  if (json) writeReport(json, report);
  return exitCode(report);
}
