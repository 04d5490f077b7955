/** The checks of a database ended early, and the report says why already. */
export class Ended extends Error {
  override readonly name = "Ended";
}

/** A verification that could not begin: a server does not answer, Vault is sealed, the token is refused. One line. */
export class CannotVerify extends Error {
  override readonly name = "CannotVerify";
}

/** Somebody ended the run. */
export class RunInterrupted extends Error {
  override readonly name = "RunInterrupted";
}
