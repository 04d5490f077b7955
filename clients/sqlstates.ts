// SQLSTATEs that several rooms look at (https://www.postgresql.org/docs/18/errcodes-appendix.html).

export const INSUFFICIENT_PRIVILEGE = "42501";
export const LOCK_NOT_AVAILABLE = "55P03";
export const WRONG_PASSWORD = "28P01";
/** With which PostgreSQL refuses a login that is not (any more) valid. */
export const LOGIN_REFUSED: readonly string[] = [WRONG_PASSWORD, "28000"];
