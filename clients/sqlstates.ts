// SQLSTATEs that several rooms look at (https://www.postgresql.org/docs/18/errcodes-appendix.html).

export const INSUFFICIENT_PRIVILEGE = "42501";
/** Of a name in a session's startup. */
export const NO_SUCH_DATABASE = "3D000";
export const TOO_MANY_CONNECTIONS = "53300";
/** By RAISE of a function. */
export const RAISED = "P0001";
export const READ_ONLY_TRANSACTION = "25006";
export const LOCK_NOT_AVAILABLE = "55P03";
export const WRONG_PASSWORD = "28P01";
/** With which PostgreSQL refuses a login that is not (any more) valid. */
export const LOGIN_REFUSED: readonly string[] = [WRONG_PASSWORD, "28000"];
