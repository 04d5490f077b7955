import { Token } from "cdktf";

/** Thrown by a construct for what it refuses, in one line that names the property and the value received. */
export class DeclarationError extends Error {
  override readonly name = "DeclarationError";
}

/** @throws DeclarationError that names the field and the value; a Token passes, since its value is not known yet. */
export function checkPositive(field: string, value: number): void {
  if (!Token.isUnresolved(value) && !(Number.isInteger(value) && value > 0))
    throw new DeclarationError(`${field} (${String(value)}) must be a positive whole number`);
}
