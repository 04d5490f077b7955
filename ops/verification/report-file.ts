import { accessSync, chmodSync, constants, existsSync, statSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { SetupError } from "../../clients/setup-error";
import type { Report } from "../../verify/report/report";

/** Before the work, so that a name that can't be written does not cost it. */
export function checkReportFile(file: string, what = "the report"): void {
  try {
    accessSync(dirname(resolve(file)), constants.W_OK);
    if (existsSync(file)) accessSync(file, constants.W_OK);
    if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) throw new Error(`${file} is a folder`);
  } catch (error) {
    throw new SetupError(
      `${what} can't be written (${(error as Error).message}): name a file in a folder that exists and can be written`,
    );
  }
}

export function writeReport(file: string, report: Report): void {
  write("the report", () => {
    writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`);
  });
}

export const FIX_SQL = "the file with statements";

/** Replaces a file that is there. Statements for a superuser are for nobody else to change. */
export function writeFixSql(file: string, sql: string): void {
  write(FIX_SQL, () => {
    if (existsSync(file)) chmodSync(file, 0o600);
    writeFileSync(file, sql, { mode: 0o600 });
  });
}

function write(what: string, writing: () => void): void {
  try {
    writing();
  } catch (error) {
    throw new SetupError(`${what} can't be written: ${(error as Error).message}`);
  }
}

/** 0 all held, 1 a check failed or something stays, 130 interrupted. */
export function exitCode({ failed, left, interrupted }: Report): number {
  if (failed > 0 || left.length > 0) return 1;
  return interrupted ? 130 : 0;
}
