import { z } from "zod";
import { VaultError, type VaultAnswer } from "../../clients/vault-client";
import type { ManifestDatabase, ManifestPersona } from "../../manifest/schema";
import type { PersonaToken } from "../session/leases";
import type { LoginContext } from "./login";

/** How long the verifier's wrapped secret ids may wait to be opened. */
const WRAP_TTL = "60s";

/** Used at once; what an outage keeps from being used ends by itself before long. */
const ONE_LOGIN = { num_uses: 1, ttl: WRAP_TTL };

/** Vault's `num_uses`, `ttl`, `cidr_list` and `token_bound_cidrs`, each within the AppRole's own. */
export type SecretIdLimits = Readonly<Record<string, unknown>>;

/** The secret id in an answer; undefined where there is none. */
export function secretIdOf({ body }: VaultAnswer): string | undefined {
  const secretId = body.data?.["secret_id"];
  return typeof secretId === "string" && secretId ? secretId : undefined;
}

/** What an AppRole has that other kinds of logins have not. TTL in seconds. */
export const APPROLE_FIELDS = z.object({
  secretIdTtl: z.int().positive().optional(),
  secretIdUses: z.int().positive().optional(),
  secretIdBoundCidrs: z.array(z.string()).optional(),
});

/** Those personas of a database that log in with one. */
export function appRolePersonas({ personas }: ManifestDatabase): ManifestPersona[] {
  return personas.filter(({ login }) => login.kind === "approle");
}

/** A persona's AppRole (https://developer.hashicorp.com/vault/api-docs/auth/approle): what its deliverer and its application do. */
export class AppRole {
  private readonly name: string;
  private readonly loginPath: string;
  readonly path: string;
  readonly secretIdPath: string;
  readonly declared: z.output<typeof APPROLE_FIELDS>;

  constructor(
    private readonly context: LoginContext,
    { login }: ManifestPersona,
  ) {
    const { authMount, name } = login;
    this.declared = APPROLE_FIELDS.parse(login);
    this.name = name;
    this.loginPath = `auth/${authMount}/login`;
    this.path = `auth/${authMount}/role/${name}`;
    this.secretIdPath = `${this.path}/secret-id`;
  }

  /** Asks for a secret id, wrapped unless it is to be refused. */
  mint(limits: SecretIdLimits, wrapTtl: string | undefined = WRAP_TTL): Promise<VaultAnswer> {
    return this.context.vault.request("POST", this.secretIdPath, limits, wrapTtl);
  }

  /** Returns the token of the wrapping. */
  async wrappedSecretId(limits: SecretIdLimits = ONE_LOGIN): Promise<string> {
    const answer = await this.mint(limits);
    if (answer.status >= 400) throw new VaultError(answer);
    if (!answer.body.wrap_info) throw new Error(`${answer.path}: the answer is not wrapped`);
    return answer.body.wrap_info.token;
  }

  unwrap(wrappingToken: string): Promise<VaultAnswer> {
    return this.context.vault.withToken(wrappingToken).request("POST", "sys/wrapping/unwrap");
  }

  /** Whoever has a wrapping token may look it up: where it comes from, until it is opened. */
  lookUpWrapping(wrappingToken: string): Promise<VaultAnswer> {
    return this.context.vault.withToken().request("POST", "sys/wrapping/lookup", { token: wrappingToken });
  }

  async roleId(): Promise<string> {
    const { data } = await this.context.vault.call("GET", `${this.path}/role-id`);
    return String(data?.["role_id"]);
  }

  /** Logs in with the role id and a secret id, or without one; the token in the answer is not in custody yet. */
  async attempt(secretId: string | undefined): Promise<VaultAnswer> {
    const body = { role_id: await this.roleId(), secret_id: secretId };
    return this.context.vault.withToken().request("POST", this.loginPath, body);
  }

  /** @throws VaultError where the login was refused */
  keep(answer: VaultAnswer): PersonaToken {
    return this.context.leases.keepToken(this.name, answer);
  }

  /** As {@link attempt}; a token that comes of it is revoked. */
  async attemptAndRevoke(secretId: string | undefined): Promise<VaultAnswer> {
    const answer = await this.attempt(secretId);
    if (answer.body.auth) await this.keep(answer).revoke();
    return answer;
  }

  async logIn(): Promise<PersonaToken> {
    const opened = await this.unwrap(await this.wrappedSecretId());
    if (opened.status >= 400) throw new VaultError(opened);
    return this.keep(await this.attempt(secretIdOf(opened)));
  }

  /** What would last can't be taken back; its one use can. In custody until then. */
  async useUp(opened: VaultAnswer): Promise<void> {
    const use = this.context.custody.hold(`secret id of ${this.name}`, async () =>
      this.keep(await this.attempt(secretIdOf(opened))).revoke(),
    );
    await use();
  }
}
