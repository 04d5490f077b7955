/** A role's settings that a DBA may have set, and that no deploy takes back. */
export const OF_A_DBA = ["statement_timeout", "idle_in_transaction_session_timeout"];
