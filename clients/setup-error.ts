/** A problem of the machine or of what was given, not of this program: one line that says what is wrong and what to do. */
export class SetupError extends Error {
  override readonly name = "SetupError";
}
