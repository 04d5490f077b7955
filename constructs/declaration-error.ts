/** Thrown by a construct for what it refuses, in one line that names the property and the value received. */
export class DeclarationError extends Error {
  override readonly name = "DeclarationError";
}
