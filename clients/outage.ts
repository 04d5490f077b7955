/** A server that has stopped to answer, or lets nobody in: whatever were tried next would tell nothing. One line. */
export class Outage extends Error {
  override readonly name: string = "Outage";
}

/** The checks of a database ended early, and the report says why already. */
export class Ended extends Error {
  override readonly name = "Ended";
}

/** A verification that could not begin: nobody answers, Vault is sealed, the token is refused. One line. */
export class CannotVerify extends Error {
  override readonly name = "CannotVerify";
}
