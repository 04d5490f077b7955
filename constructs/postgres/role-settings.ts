/** What each login that is leased in a group has of its own: a login does not inherit what is set for its group. */
export interface LoginSettings {
  /**
   * How many sessions a login may have at a time.
   * @default - 20
   */
  readonly connectionLimit?: number;
  /**
   * Schemas in which its sessions look names up, of the database's and others, such as that of an extension.
   * @default - the database's schemas
   */
  readonly searchPath?: readonly string[];
  /**
   * What its sessions start with, such as `{ statement_timeout: "30s" }`.
   * @default - nothing
   */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A role's settings that a DBA may have set, and that no deploy takes back. */
export const OF_A_DBA = ["statement_timeout", "idle_in_transaction_session_timeout"];
