import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { until } from "../../clients/within";

/** Longer than Terraform takes to write one, which the orphan of a killed command may be at. */
const WRITTEN_MILLISECONDS = 1_000;

/** Where Terraform keeps the state that it is about to write over. */
export function backupOf(file: string): string {
  return `${file}.backup`;
}

/** Whether a file is a state to its end. */
export function isWhole(file: string): boolean {
  try {
    JSON.parse(readFileSync(file, "utf8"));
    return true;
  } catch {
    return false;
  }
}

/** Whether a file is a part of a state, or nothing of one that was there before. */
export function isCutOff(file: string): boolean {
  if (!existsSync(file) || isWhole(file)) return false;
  return readFileSync(file, "utf8") !== "" || isWhole(backupOf(file));
}

/**
 * Keeps a state as Terraform does. It writes over one that it does not change as well, and keeps none then: what is kept would be
 * older than that.
 */
export function keep(file: string): void {
  if (isWhole(file)) copyFileSync(file, backupOf(file));
}

/**
 * Puts the one that was kept in the place of one that is cut off.
 * @returns whether it did
 */
export async function mend(file: string): Promise<boolean> {
  if (!isCutOff(file) || !isWhole(backupOf(file))) return false;
  if (await until(WRITTEN_MILLISECONDS, () => isWhole(file) || undefined)) return false;
  copyFileSync(backupOf(file), file);
  return true;
}
