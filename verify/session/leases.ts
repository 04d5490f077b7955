import {
  failureOf,
  VaultClient,
  VaultError,
  VaultUnreachable,
  type VaultAnswer,
  type VaultBody,
} from "../../clients/vault-client";
import type { Notes } from "../report/evidence";
import type { Custody } from "./custody";
import type { Login } from "./session";

export interface Lease extends Login {
  readonly id: string;
  /** Seconds, from the moment of the answer. */
  readonly duration: number;
  /** `performance.now()` of the moment of the answer. */
  readonly issuedAt: number;
  /** The same moment by Vault's clock, in milliseconds of the epoch. */
  readonly date?: number;
  /**
   * Revokes it, and waits until Vault has run the revocation statements.
   * @throws VaultError, with Vault's words on the statement that failed
   */
  revoke(notes?: Notes): Promise<void>;
}

export interface PersonaToken {
  readonly vault: VaultClient;
  readonly auth: NonNullable<VaultBody["auth"]>;
  /** `performance.now()` of the moment of the answer. */
  readonly issuedAt: number;
  /** As evidence and custody name it. */
  readonly name: string;
  revoke(): Promise<unknown>;
  /** It has ended itself. */
  forget(): void;
}

/** Takes leases and tokens, and keeps them in custody. */
export class Leases {
  /** Every lease, revoked or not. */
  readonly taken: Lease[] = [];

  constructor(
    /** With the verifier's token. */
    readonly vault: VaultClient,
    /** Of the database secrets engine. */
    private readonly mount: string,
    private readonly custody: Custody,
  ) {}

  /**
   * Leases a login with a token.
   * @throws VaultError, or an Error that says which part of a lease is missing
   */
  async take(vault: VaultClient, role: string): Promise<Lease> {
    const path = `${this.mount}/creds/${role}`;
    const answer = await vault.request("GET", path).catch((error: unknown) => {
      // A persona's token takes its leases along; the verifier's stays.
      if (vault === this.vault && error instanceof VaultUnreachable && error.isUnanswered)
        this.custody.hold(`lease ${path}/…, if there is one`, () => Promise.reject(error));
      throw error;
    });
    return this.keep(answer);
  }

  /** The lease in an answer, in custody from now on. */
  keep(answer: VaultAnswer): Lease {
    if (answer.status >= 400) throw failureOf(answer);
    const { lease_id: id, lease_duration: duration, data } = answer.body;
    const issuedAt = performance.now();
    if (!id) throw new Error(`${answer.path}: the answer has no lease id`);
    const { username, password } = data ?? {};
    const login = typeof username === "string" ? `, login ${username}` : "";
    const end = `its login ends with its TTL; to end it now: vault lease revoke ${id}`;
    const release = this.custody.hold(`lease ${id}${login}`, () => this.revoke(id), end);
    if (typeof username !== "string" || !username)
      throw new Error(`${answer.path}: the answer has no username`);
    if (typeof password !== "string" || !password)
      throw new Error(`${answer.path}: the answer has no password`);
    if (!duration || duration <= 0)
      throw new Error(`${answer.path}: the lease's duration is ${String(duration)}`);
    const revoke = async (notes?: Notes) => {
      const status = await release();
      notes?.note(`POST sys/leases/revoke ${id}`, `HTTP ${String(status)}`);
    };
    const lease = { id, username, password, duration, issuedAt, date: answer.date, revoke };
    this.taken.push(lease);
    return lease;
  }

  private async revoke(id: string): Promise<number> {
    const answer = await this.vault.request("POST", "sys/leases/revoke", { lease_id: id, sync: true });
    if (answer.status >= 400) throw failureOf(answer);
    return answer.status;
  }

  /**
   * The token of a login, in custody from now on.
   * @throws VaultError where the login was refused
   */
  keepToken(name: string, answer: VaultAnswer): PersonaToken {
    const { auth } = answer.body;
    if (answer.status >= 400 || !auth) throw new VaultError(answer);
    const token = auth.client_token;
    const issuedAt = performance.now();
    let isEnded = false;
    const revoke = this.custody.hold(
      `token of ${name}, with its leases`,
      async () => isEnded || this.vault.call("POST", "auth/token/revoke", { token }),
      // A batch token has no accessor, and can't be revoked.
      `it ends with its TTL${auth.accessor && `; to end it now: vault token revoke -accessor ${auth.accessor}`}`,
    );
    const forget = () => {
      isEnded = true;
    };
    return { vault: this.vault.withToken(token), auth, issuedAt, name, revoke, forget };
  }

  /** What Vault says that a token can do with each path. Without a path that it gives no answer for. */
  async capabilities({ auth }: PersonaToken, paths: readonly string[]): Promise<Map<string, string[]>> {
    const asked = { token: auth.client_token, paths };
    const { body } = await this.vault.request("POST", "sys/capabilities", asked);
    const data = (body.data ?? {}) as Record<string, string[]>;
    return new Map(paths.flatMap((path) => (data[path] ? [[path, data[path]]] : [])));
  }
}
