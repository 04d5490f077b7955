import { errorText, type VaultAnswer } from "../../clients/vault-client";

/** What was sent, a statement or a request, and what came back: a SQLSTATE, a row count or an HTTP status. */
export interface Evidence {
  readonly sent: string;
  readonly got: string;
}

/** Where evidence is noted: a check, or a list that becomes part of one. */
export class Notes {
  readonly evidence: Evidence[] = [];

  note(sent: string, got: string): void {
    this.evidence.push({ sent, got });
  }

  /** A request and its answer. */
  noteAnswer(answer: VaultAnswer, what?: string): void {
    const { method, path, status } = answer;
    const message = status >= 400 ? `: ${errorText(answer)}` : "";
    this.note(`${method} ${path}${what ? ` (${what})` : ""}`, `HTTP ${String(status)}${message}`);
  }

  /** What was noted elsewhere, such as the last of several looks. */
  noteAll({ evidence }: { readonly evidence: readonly Evidence[] }): void {
    this.evidence.push(...evidence);
  }
}
