import type { z } from "zod";
import type { VaultClient } from "../../clients/vault-client";
import type { ManifestPersona } from "../../manifest/schema";
import { CannotVerify } from "../errors";
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

/** What an application finds in its environment, so that it can log in itself. */
export interface ApplicationLogin {
  readonly variables: Readonly<Record<string, string>>;
  /** The contents of files; the variables with these names say where the files are. */
  readonly files: Readonly<Record<string, string>>;
}

/** A way to log in, which is a kind of the manifest's `login`. Nothing outside this folder knows more of it. */
export interface LoginMethod {
  /** What the manifest's `login` has of this kind alone. */
  readonly fields: z.ZodType;
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

/** By kind. */
export const LOGIN_METHODS: Readonly<Record<string, LoginMethod>> = { approle: APPROLE };

/** @throws CannotVerify where its kind is not known, or what is the kind's own is not as it has to be */
export function loginMethod({ name, login }: ManifestPersona): LoginMethod {
  const method = Object.hasOwn(LOGIN_METHODS, login.kind) ? LOGIN_METHODS[login.kind] : undefined;
  const kinds = Object.keys(LOGIN_METHODS).join(", ");
  if (!method) throw new CannotVerify(`${name} logs in with ${login.kind}, allowed: ${kinds}`);
  const issue = method.fields.safeParse(login).error?.issues[0];
  if (issue) throw new CannotVerify(`the login of ${name}: ${issue.path.join(".")}: ${issue.message}`);
  return method;
}
