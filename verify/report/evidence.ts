import type { Evidence } from "./report";
import { errorText, type VaultAnswer } from "../../clients/vault-client";

/** Keeps a request and its answer as evidence. */
export function note(evidence: Evidence[], answer: VaultAnswer, what?: string): void {
  const { method, path, status } = answer;
  const message = status >= 400 ? `: ${errorText(answer)}` : "";
  evidence.push({
    sent: `${method} ${path}${what ? ` (${what})` : ""}`,
    got: `HTTP ${String(status)}${message}`,
  });
}
