import { setTimeout as delay } from "node:timers/promises";
import { errorText, type VaultAnswer } from "../../clients/vault-client";
import type { ManifestPersona } from "../../manifest/schema";
import type { PersonaContext } from "../context";
import type { ExpiryContext } from "../lifecycle/expiry";
import { forEach, type LifecycleContext } from "../lifecycle/logged-in";
import type { Check } from "../report/check";
import { expectCut } from "../lifecycle/valid-until";
import { AppRole, APPROLE_FIELDS, appRolePersonas, secretIdOf, type SecretIdLimits } from "./approle";
import type { LoginContext, LoginMethod } from "./login";
import { whyCut } from "../vault/max-lease-ttl";

/** The way to log in that Vault calls AppRole: a role id, and a secret id that is delivered wrapped. */
export const APPROLE: LoginMethod = {
  fields: APPROLE_FIELDS,
  persona: [
    {
      id: "secret-id-wrapped",
      title: "secret id wrapped, opened once",
      proves: "A secret id is issued only wrapped, and its wrapping opens once.",
      group: "login",
      isStep: true,
      run: deliver,
    },
    {
      id: "login",
      title: "login: policies and TTLs",
      proves: "Role id and secret id log in, and the token has the declared policies, TTL and maximum.",
      group: "login",
      isStep: true,
      applies: ({ credential }) => credential !== undefined,
      run: logIn,
    },
    {
      id: "login-refused",
      title: "login refused without secret id",
      proves:
        "The role id is refused a login without a secret id, with a wrong one or with one that is used up.",
      group: "login",
      run: refuseLogins,
    },
  ],
  lifecycle: [
    {
      id: "secret-id-limits",
      title: "secret ids: uses, TTL and ranges as declared",
      proves: "Vault gives no secret id more uses, a longer life or a wider address range than is declared.",
      group: "the life of a lease",
      applies: isUsed,
      run: (context, check) =>
        forEach(appRolePersonas(context.database), check, (persona, own) =>
          expectLimits(context, persona, own),
        ),
    },
    {
      id: "wrapping-opened-by-another",
      title: "a wrapping that another opened is noticed",
      proves:
        "A wrapping tells where it comes from until it is opened; after that its recipient is refused, and so notices.",
      group: "the life of a lease",
      isStep: true,
      applies: isUsed,
      run: (context, check) =>
        forEach(appRolePersonas(context.database), check, (persona, own) =>
          openByAnother(context, persona, own),
        ),
    },
  ],
  expiry: [
    {
      id: "secret-id-expired",
      title: "ended by itself: a secret id",
      proves: "A secret id past its TTL is refused a login.",
      group: "the life of a lease",
      applies: isUsed,
      run: outliveSecretId,
    },
  ],
  logIn: (context, persona) => new AppRole(context, persona).logIn(),
  applicationLogin: async (context, persona) => {
    const appRole = new AppRole(context, persona);
    const { authMount, name } = persona.login;
    return {
      variables: { AUTH_MOUNT: authMount, APP_ROLE: name },
      files: { ROLE_ID_FILE: await appRole.roleId(), SECRET_ID_FILE: await appRole.wrappedSecretId() },
    };
  },
  paths: ({ login: { authMount, name } }) => [
    `auth/${authMount}/role/${name}`,
    `auth/${authMount}/role/${name}/role-id`,
    `auth/${authMount}/role/`,
    `auth/${authMount}/role/${name}/secret-id/`,
  ],
};

function isUsed({ database }: Pick<ExpiryContext, "database">): boolean {
  return appRolePersonas(database).length > 0;
}

/** The TTL of secret ids that are not to be used. */
const AT_ONCE = "1s";
const AT_ONCE_SECONDS = 1;
/** Where the AppRole has ranges, this is refused, with them. */
const ANYWHERE = "0.0.0.0/0";
/** Vault counts in whole seconds. */
const PAST_MILLISECONDS = 2_000;

async function deliver(context: PersonaContext, check: Check): Promise<void> {
  const appRole = new AppRole(context, context.persona);
  const plain = await appRole.mint({ num_uses: 1 }, "");
  check.noteAnswer(plain, "without wrapping");
  check.expectRefused("a secret id without wrapping", 403, plain);
  if (secretIdOf(plain)) await appRole.useUp(plain);
  const wrapping = await appRole.wrappedSecretId();
  const first = await appRole.unwrap(wrapping);
  check.noteAnswer(first, "first");
  context.credential = secretIdOf(first);
  if (!context.credential) {
    check.find(`opening the wrapping must give a secret id, received HTTP ${String(first.status)}`);
    return;
  }
  const second = await appRole.unwrap(wrapping);
  check.noteAnswer(second, "second");
  check.expectRefused("the second opening", 400, second);
}

async function logIn(context: PersonaContext, check: Check): Promise<void> {
  const { persona, credential } = context;
  const appRole = new AppRole(context, persona);
  const answer = await appRole.attempt(credential);
  check.noteAnswer(answer);
  const { auth, vault, issuedAt } = (context.token = appRole.keep(answer));
  const { policies, tokenTtl, tokenMaxTtl } = persona.login;
  check.expect("policies", [...policies].sort().join(", "), [...auth.policies].sort().join(", "));
  const why = (declared: number, found?: number) =>
    whyCut(context.vault, `auth/${persona.login.authMount}`, declared, found);
  const { lease_duration: ttl } = auth;
  check.expect("token TTL", tokenTtl, ttl, "s", await why(tokenTtl, ttl));
  // Asks for more than there is: what comes back is the maximum.
  const renewed = await vault.request("POST", "auth/token/renew-self", { increment: tokenMaxTtl * 2 });
  check.noteAnswer(renewed);
  const { lease_duration: most } = renewed.body.auth ?? {};
  await expectCut("token max TTL", tokenMaxTtl, renewed, most, issuedAt, check, why);
}

async function refuseLogins(context: PersonaContext, check: Check): Promise<void> {
  const { persona, credential, token } = context;
  const appRole = new AppRole(context, persona);
  const secretIds: [string, string | undefined][] = [["missing", undefined]];
  // The role id alone must be refused, whatever is wrong with the secret ids.
  if (token) secretIds.unshift(["used-up", credential], ["wrong", "00000000-0000-0000-0000-000000000000"]);
  for (const [what, secretId] of secretIds) {
    const answer = await appRole.attemptAndRevoke(secretId);
    check.noteAnswer(answer, `${what} secret id`);
    check.expectRefused(`a ${what} secret id`, 400, answer);
  }
}

/**
 * The AppRole's uses, TTL and address ranges, which the verifier may not read. Vault refuses a secret id that is to have
 * more than they give, and says what it has of one that is to have as much.
 */
async function expectLimits(context: LoginContext, persona: ManifestPersona, check: Check): Promise<void> {
  const appRole = new AppRole(context, persona);
  const { secretIdUses: uses, secretIdTtl: ttl, secretIdBoundCidrs } = appRole.declared;
  /** Returns Vault's words; nothing where it did not refuse. */
  const refused = async (what: string, limits: SecretIdLimits): Promise<string> => {
    const answer = await appRole.mint(limits);
    check.noteAnswer(answer, what);
    if (answer.status >= 400) return errorText(answer);
    check.find(`a secret id with ${what} must be refused, received HTTP 200`);
    if (limits["ttl"] !== AT_ONCE)
      await appRole.useUp(await appRole.unwrap(answer.body.wrap_info?.token ?? ""));
    return "";
  };
  const given = async (what: string, limits: SecretIdLimits, field: string, declared: number) => {
    const opened = await appRole.unwrap(await appRole.wrappedSecretId(limits));
    const found = opened.body.data?.[field];
    check.note(`${opened.method} ${opened.path} (${what})`, `${field} ${String(found)}`);
    if (found !== declared) {
      const why =
        field === "secret_id_ttl" && typeof found === "number" && found > 0
          ? await whyCut(context.vault, `auth/${persona.login.authMount}`, declared, found)
          : "";
      check.find(
        `a secret id with ${what} must have ${field} ${String(declared)}, it has ${String(found)}${why}`,
      );
    }
    return opened;
  };
  if (uses !== undefined) {
    await refused(`${String(uses + 1)} uses`, { num_uses: uses + 1, ttl: AT_ONCE });
    await given(`${String(uses)} uses`, { num_uses: uses, ttl: AT_ONCE }, "secret_id_num_uses", uses);
  }
  if (ttl !== undefined) {
    await refused(`a TTL of ${String(ttl + 1)} s`, { num_uses: 1, ttl: `${String(ttl + 1)}s` });
    await appRole.useUp(await given("the AppRole's TTL", { num_uses: 1 }, "secret_id_ttl", ttl));
  }
  for (const [field, declared] of [
    ["cidr_list", secretIdBoundCidrs],
    ["token_bound_cidrs", persona.login.tokenBoundCidrs],
  ] as const) {
    if (declared === undefined) continue;
    const said = await refused(`${field} ${ANYWHERE}`, { num_uses: 1, ttl: AT_ONCE, [field]: [ANYWHERE] });
    const list = /on the role \[([^\]]*)\]/.exec(said)?.[1] ?? "";
    const ranges = [...list.matchAll(/"([^"]+)"/g)].map(([, range]) => range!);
    // A single address, which Vault keeps without a mask, it tells with one of 32 bits, IPv6 or not.
    const told = declared.map((range) => range.replace(/\/128$/, field === "cidr_list" ? "$&" : "/32"));
    if (said !== "" && ranges.sort().join() !== told.sort().join())
      check.find(`${field} declared: ${declared.join(", ")}; Vault says: ${said}`);
  }
}

/**
 * Opens a wrapping before its recipient does, and logs in with what is in it. The recipient looks the wrapping up, which
 * tells where it comes from until it is opened, and tries to open it.
 */
async function openByAnother(
  context: LifecycleContext,
  persona: ManifestPersona,
  check: Check,
): Promise<void> {
  const appRole = new AppRole(context, persona);
  const wrapping = await appRole.wrappedSecretId();
  const noted = (answer: VaultAnswer, when: string) => {
    check.noteAnswer(answer, when);
    return answer;
  };
  const before = noted(await appRole.lookUpWrapping(wrapping), "before").body.data?.["creation_path"];
  check.note("its creation_path", String(before));
  if (before !== appRole.secretIdPath)
    check.find(`the wrapping must come from ${appRole.secretIdPath}, it comes from ${String(before)}`);
  const another = noted(await appRole.unwrap(wrapping), "by another");
  const after = noted(await appRole.lookUpWrapping(wrapping), "after");
  const own = noted(await appRole.unwrap(wrapping), "by its recipient");
  for (const answer of [after, own])
    check.expectRefused(`${answer.path}, once another opened it,`, 400, answer);
  const token = appRole.keep(await appRole.attempt(secretIdOf(another)));
  context.loggedIn.push({ ...persona, token });
}

async function outliveSecretId({ signal, ...context }: ExpiryContext, check: Check): Promise<void> {
  const appRole = new AppRole(context, appRolePersonas(context.database)[0]!);
  const limits = { num_uses: 1, ttl: AT_ONCE };
  const opened = await appRole.unwrap(await appRole.wrappedSecretId(limits));
  const ttl = opened.body.data?.["secret_id_ttl"];
  await delay(PAST_MILLISECONDS, undefined, { signal });
  const answer = await appRole.attemptAndRevoke(secretIdOf(opened));
  check.noteAnswer(answer, `with a secret id of ${AT_ONCE}, later than that`);
  if (answer.status === 400) return;
  // HashiCorp's Vault takes one that has ended until it removes it, which it does once a minute.
  check.note("secret_id_ttl when it was made", String(ttl));
  if (answer.status !== 200 || ttl !== AT_ONCE_SECONDS)
    check.find(
      `a secret id past its TTL must be refused with HTTP 400, received ${String(answer.status)}; Vault says a TTL of ${String(ttl)} s`,
    );
}
