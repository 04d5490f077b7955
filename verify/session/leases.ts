import type { Custody } from "./custody";
import type { ManifestPersona } from "../../manifest/schema";
import type { Login } from "./session";
import {
  failureOf,
  VaultClient,
  VaultError,
  VaultUnreachable,
  type VaultAnswer,
  type VaultBody,
} from "../../clients/vault-client";

export interface Lease extends Login {
  readonly id: string;
  /** Seconds, from the moment of the answer. */
  readonly duration: number;
  /** `performance.now()` of the moment of the answer. */
  readonly issuedAt: number;
  /**
   * Revokes it, and waits until Vault has run the revocation statements. Returns the HTTP status.
   * @throws VaultError, with Vault's words on the statement that failed
   */
  revoke(): Promise<number>;
}

export interface PersonaToken {
  readonly vault: VaultClient;
  readonly auth: NonNullable<VaultBody["auth"]>;
  readonly roleId: string;
  readonly secretId: string;
  revoke(): Promise<unknown>;
}

/** The secret id in an opened wrapping; empty where there is none. */
export function secretIdOf({ body }: VaultAnswer): string {
  const secretId = body.data?.["secret_id"];
  return typeof secretId === "string" ? secretId : "";
}

/** How long the verifier's wrapped secret ids may wait to be opened. */
const WRAP_TTL = "60s";

/** Used at once; what an outage keeps from being used ends by itself before long. */
const ONE_LOGIN = { num_uses: 1, ttl: WRAP_TTL };

/** Takes leases and tokens, and keeps them in custody. */
export class Leases {
  /** Every lease, revoked or not. */
  readonly taken: Lease[] = [];

  constructor(
    /** With the verifier's token. */
    readonly vault: VaultClient,
    private readonly custody: Custody,
  ) {}

  /**
   * Leases a login with a token.
   * @throws VaultError, or an Error that says which part of a lease is missing
   */
  async take(vault: VaultClient, mount: string, role: string): Promise<Lease> {
    const path = `${mount}/creds/${role}`;
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
    const revoke = this.custody.hold(`lease ${id}${login}`, () => this.revokeLease(id), end);
    if (typeof username !== "string" || !username)
      throw new Error(`${answer.path}: the answer has no username`);
    if (typeof password !== "string" || !password)
      throw new Error(`${answer.path}: the answer has no password`);
    if (!duration || duration <= 0)
      throw new Error(`${answer.path}: the lease's duration is ${String(duration)}`);
    const lease = { id, username, password, duration, issuedAt, revoke };
    this.taken.push(lease);
    return lease;
  }

  private async revokeLease(id: string): Promise<number> {
    const answer = await this.vault.request("POST", "sys/leases/revoke", { lease_id: id, sync: true });
    if (answer.status >= 400) throw failureOf(answer);
    return answer.status;
  }

  /**
   * Asks for a wrapped secret id.
   * @param limits Vault's `num_uses`, `ttl`, `cidr_list` and `token_bound_cidrs`, each within the AppRole's own
   */
  mint({ appRole }: ManifestPersona, limits: object): Promise<VaultAnswer> {
    const path = `auth/${appRole.authMount}/role/${appRole.name}/secret-id`;
    return this.vault.request("POST", path, limits, WRAP_TTL);
  }

  /** Mints a secret id, and returns the token of its wrapping. */
  async wrappedSecretId(persona: ManifestPersona, limits: object = ONE_LOGIN): Promise<string> {
    const answer = await this.mint(persona, limits);
    if (answer.status >= 400) throw new VaultError(answer);
    if (!answer.body.wrap_info) throw new Error(`${answer.path}: the answer is not wrapped`);
    return answer.body.wrap_info.token;
  }

  unwrap(wrappingToken: string): Promise<VaultAnswer> {
    return this.vault.withToken(wrappingToken).request("POST", "sys/wrapping/unwrap");
  }

  /** A secret id that would last, in custody from now on. Returns what takes it away, which is its one use. */
  keepSecretId(persona: ManifestPersona, secretId: string): () => Promise<void> {
    return this.custody.hold(`secret id of ${persona.appRole.name}`, async () => {
      const roleId = await this.roleId(persona);
      const answer = await this.login(persona, roleId, secretId);
      await this.keepToken(persona, answer, roleId, secretId).revoke();
    });
  }

  /** Whoever has a wrapping token may look it up: where it comes from, until it is opened. */
  lookUpWrapping(wrappingToken: string): Promise<VaultAnswer> {
    return this.vault.withToken().request("POST", "sys/wrapping/lookup", { token: wrappingToken });
  }

  async roleId({ appRole }: ManifestPersona): Promise<string> {
    const body = await this.vault.call("GET", `auth/${appRole.authMount}/role/${appRole.name}/role-id`);
    return String(body.data?.["role_id"]);
  }

  /** AppRole login, without keeping the token where it is refused. */
  login({ appRole }: ManifestPersona, roleId: string, secretId: string | undefined): Promise<VaultAnswer> {
    const path = `auth/${appRole.authMount}/login`;
    return this.vault.withToken().request("POST", path, { role_id: roleId, secret_id: secretId });
  }

  /** The token of a login, in custody from now on. */
  keepToken(persona: ManifestPersona, answer: VaultAnswer, roleId: string, secretId: string): PersonaToken {
    const { auth } = answer.body;
    if (answer.status >= 400 || !auth) throw new VaultError(answer);
    const token = auth.client_token;
    const revoke = this.custody.hold(
      `token of ${persona.appRole.name}, with its leases`,
      () => this.vault.call("POST", "auth/token/revoke", { token }),
      // A batch token has no accessor, and can't be revoked.
      `it ends with its TTL${auth.accessor && `; to end it now: vault token revoke -accessor ${auth.accessor}`}`,
    );
    return { vault: this.vault.withToken(token), auth, roleId, secretId, revoke };
  }

  /** What Vault says that a token can do with each path. Without a path that it gives no answer for. */
  async capabilities({ auth }: PersonaToken, paths: readonly string[]): Promise<Map<string, string[]>> {
    const asked = { token: auth.client_token, paths };
    const { body } = await this.vault.request("POST", "sys/capabilities", asked);
    const data = (body.data ?? {}) as Record<string, string[]>;
    return new Map(paths.flatMap((path) => (data[path] ? [[path, data[path]]] : [])));
  }

  /** The whole way of an application: a wrapped secret id, opened, and a login with it. */
  async logIn(persona: ManifestPersona): Promise<PersonaToken> {
    const roleId = await this.roleId(persona);
    const opened = await this.unwrap(await this.wrappedSecretId(persona));
    if (opened.status >= 400) throw new VaultError(opened);
    const secretId = secretIdOf(opened);
    return this.keepToken(persona, await this.login(persona, roleId, secretId), roleId, secretId);
  }
}
