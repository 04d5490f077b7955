import type { VaultClient } from "../../clients/vault-client";
import type { ManifestLogin, ManifestPersona } from "../../manifest/schema";
import type { PersonaContext } from "../context";
import type { ExpiryContext } from "../lifecycle/expiry";
import type { LifecycleContext } from "../lifecycle/logged-in";
import type { CheckDefinition } from "../report/check";
import type { Custody } from "../session/custody";
import type { Leases, PersonaToken } from "../session/leases";
import { APPROLE } from "./approle-checks";

/** What logging in needs of a verification. */
export interface LoginContext {
  /** With the verifier's token. */
  readonly vault: VaultClient;
  readonly leases: Leases;
  readonly custody: Custody;
}

/** What an application is told, so that it can log in itself. The secret id is wrapped and serves once. */
export interface ApplicationLogin {
  readonly authMount: string;
  readonly appRole: string;
  readonly roleId: string;
  readonly wrappedSecretId: string;
}

/** A way to log in, which is a kind of the manifest's `login`. Nothing outside this folder knows more of it. */
export interface LoginMethod {
  /** Of a persona, before all others; one of them sets the context's token. */
  readonly persona: readonly CheckDefinition<PersonaContext>[];
  /** Over the personas of a database; one of them logs each in. */
  readonly lifecycle: readonly CheckDefinition<LifecycleContext>[];
  /** Of what ends by itself. */
  readonly expiry: readonly CheckDefinition<ExpiryContext>[];
  /** The whole way of an application. @throws VaultError */
  logIn(context: LoginContext, persona: ManifestPersona): Promise<PersonaToken>;
  applicationLogin(context: LoginContext, persona: ManifestPersona): Promise<ApplicationLogin>;
  /** What Vault has on the persona's login, which its own token may neither read nor list: a listing ends with a slash. */
  paths(persona: ManifestPersona): readonly string[];
}

export const LOGIN_METHODS: Readonly<Record<ManifestLogin["kind"], LoginMethod>> = { approle: APPROLE };

export function loginMethod({ login }: ManifestPersona): LoginMethod {
  return LOGIN_METHODS[login.kind];
}
