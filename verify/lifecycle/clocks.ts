import type { VaultClient } from "../../clients/vault-client";
import type { DatabaseContext } from "../context";
import type { Check } from "../report/check";
import type { Session } from "../session/session";
import { SECONDS_OF_TOLERANCE } from "./valid-until";

/** What Vault's and PostgreSQL's clocks say at one moment, in milliseconds of the epoch. */
export interface Clocks {
  readonly vault: number;
  readonly postgres: number;
}

/** Half of the second in which Vault's Date counts. */
const HALF_A_SECOND = 500;

/** @returns undefined where Vault's answers have no Date */
export async function readClocks(vault: VaultClient, owner: Session): Promise<Clocks | undefined> {
  const { date } = await vault.request("GET", "auth/token/lookup-self");
  const answered = performance.now();
  const [row] = await owner.query<{ now: number }>(
    "SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now",
  );
  const later = performance.now() - answered;
  return date === undefined ? undefined : { vault: date + HALF_A_SECOND + later, postgres: row!.now };
}

/** Seconds by which PostgreSQL's clock is ahead; 0 within what is tolerated. */
export function secondsAhead(clocks: Clocks | undefined): number {
  const seconds = clocks === undefined ? 0 : (clocks.postgres - clocks.vault) / 1000;
  return Math.abs(seconds) > SECONDS_OF_TOLERANCE ? seconds : 0;
}

/** Vault writes a lease's end into VALID UNTIL by its clock, and PostgreSQL refuses the login by its own. */
export function clocksAgree({ clocks }: DatabaseContext, check: Check): void {
  if (clocks === undefined) {
    check.remark("Vault's answers have no Date: its clock can't be compared with PostgreSQL's");
    return;
  }
  const [vault, postgres] = [clocks.vault, clocks.postgres].map((at) => new Date(at).toISOString());
  check.note("Date of Vault's answer, and clock_timestamp()", `${vault!}, ${postgres!}`);
  const seconds = secondsAhead(clocks);
  if (seconds === 0) return;
  const by = `${Math.abs(seconds).toFixed(0)} s`;
  check.find(
    `PostgreSQL's clock says ${postgres!} when Vault's says ${vault!}: it is ${by} ${seconds > 0 ? "ahead, so that a login ends before its lease" : "behind, so that a login whose lease Vault does not revoke outlives it"}; have both machines keep time (timedatectl set-ntp true)`,
  );
}
