/**
 * The comment on each role that Vault leases for a database, written as it is made. Its holder can't write one, so it tells
 * a leased login from a forged one. A revocation that could not drop the role adds {@link REVOKED} and the SQLSTATE.
 */
export function leaseMark(environment: string, database: string): string {
  return `leasehold ${environment} ${database}`;
}

/** What follows the mark of a role that is closed and waits for a deploy to drop it (sql/revocation.sql). */
export const REVOKED = ": revoked, not dropped";
