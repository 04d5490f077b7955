import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";

/** PostgreSQL's own count. */
const ITERATIONS = 4096;

/**
 * What PostgreSQL stores of a password, so that a statement which sets it does not hold it
 * (https://www.postgresql.org/docs/18/catalog-pg-authid.html).
 */
export function scramVerifier(password: string, salt = randomBytes(16)): string {
  const salted = pbkdf2Sync(password.normalize("NFKC"), salt, ITERATIONS, 32, "sha256");
  const key = (name: string) => createHmac("sha256", salted).update(name).digest();
  const stored = createHash("sha256").update(key("Client Key")).digest();
  const text = (bytes: Buffer) => bytes.toString("base64");
  return `SCRAM-SHA-256$${String(ITERATIONS)}:${text(salt)}$${text(stored)}:${text(key("Server Key"))}`;
}
