import { secretIdOf, type Leases, type PersonaToken } from "../session/leases";
import { together } from "../lifecycle/logged-in";
import type { ManifestPersona } from "../../manifest/schema";
import type { Check } from "../report/check";
import { errorText, type VaultAnswer } from "../../clients/vault-client";

/** A secret id that nobody will use is gone a second later. */
const AT_ONCE = "1s";
/** Where the AppRole has ranges, this is refused, with them. */
const ANYWHERE = "0.0.0.0/0";

/**
 * The AppRole's uses, TTL and address ranges, which the verifier may not read. Vault refuses a secret id that is to have
 * more than they give, and says what it has of one that is to have as much.
 */
export async function limitsOfSecretIds(
  leases: Leases,
  persona: ManifestPersona,
  check: Check,
): Promise<string | undefined> {
  const { secretIdUses: uses, secretIdTtl: ttl, secretIdBoundCidrs, tokenBoundCidrs } = persona.appRole;
  const findings: string[] = [];
  const refused = async (
    what: string,
    limits: { readonly ttl: string; readonly [other: string]: unknown },
  ): Promise<string> => {
    const answer = await leases.mint(persona, limits);
    check.noteAnswer(answer, what);
    if (answer.status >= 400) return errorText(answer);
    findings.push(`a secret id with ${what} must be refused, received HTTP 200`);
    if (limits.ttl !== AT_ONCE) await useUp(await leases.unwrap(answer.body.wrap_info?.token ?? ""));
    return "";
  };
  /** What would last can't be taken back; its one use can. */
  const useUp = (opened: VaultAnswer) => leases.keepSecretId(persona, secretIdOf(opened))();
  const given = async (what: string, limits: object, field: string, declared: number) => {
    const opened = await leases.unwrap(await leases.wrappedSecretId(persona, limits));
    const found = opened.body.data?.[field];
    check.note(`${opened.method} ${opened.path} (${what})`, `${field} ${String(found)}`);
    if (found !== declared)
      findings.push(
        `a secret id with ${what} must have ${field} ${String(declared)}, it has ${String(found)}`,
      );
    return opened;
  };
  if (uses !== undefined) {
    await refused(`${String(uses + 1)} uses`, { num_uses: uses + 1, ttl: AT_ONCE });
    await given(`${String(uses)} uses`, { num_uses: uses, ttl: AT_ONCE }, "secret_id_num_uses", uses);
  }
  if (ttl !== undefined) {
    await refused(`a TTL of ${String(ttl + 1)} s`, { num_uses: 1, ttl: `${String(ttl + 1)}s` });
    await useUp(await given("the AppRole's TTL", { num_uses: 1 }, "secret_id_ttl", ttl));
  }
  for (const [field, declared] of [
    ["cidr_list", secretIdBoundCidrs],
    ["token_bound_cidrs", tokenBoundCidrs],
  ] as const) {
    if (declared === undefined) continue;
    const said = await refused(`${field} ${ANYWHERE}`, { num_uses: 1, ttl: AT_ONCE, [field]: [ANYWHERE] });
    const ranges = [...(/on the role \[([^\]]*)\]/.exec(said)?.[1] ?? "").matchAll(/"([^"]+)"/g)].map(
      ([, range]) => range!,
    );
    // A single address, which Vault keeps without a mask, it tells with one of 32 bits, IPv6 or not.
    const told = declared.map((range) => range.replace(/\/128$/, field === "cidr_list" ? "$&" : "/32"));
    if (said !== "" && ranges.sort().join() !== told.sort().join())
      findings.push(`${field} declared: ${declared.join(", ")}; Vault says: ${said}`);
  }
  return together(...findings);
}

/**
 * Somebody opens the wrapping on its way, and uses what is in it. Whom it was for learns of it in two ways: looking it up,
 * which before that tells where it comes from, and opening it.
 */
export async function wrappingOpenedByAnother(
  leases: Leases,
  persona: ManifestPersona,
  check: Check,
): Promise<{ token: PersonaToken; finding?: string }> {
  const { authMount, name } = persona.appRole;
  const findings: string[] = [];
  const wrapping = await leases.wrappedSecretId(persona);
  const lookUp = async (when: string) => {
    const answer = await leases.lookUpWrapping(wrapping);
    check.noteAnswer(answer, when);
    return answer;
  };
  const before = (await lookUp("before")).body.data?.["creation_path"];
  const path = `auth/${authMount}/role/${name}/secret-id`;
  check.note("its creation_path", String(before));
  if (before !== path) findings.push(`the wrapping must come from ${path}, it comes from ${String(before)}`);

  const another = await leases.unwrap(wrapping);
  check.noteAnswer(another, "by another");
  const after = await lookUp("after");
  const own = await leases.unwrap(wrapping);
  check.noteAnswer(own, "by whom it was for");
  for (const { path: asked, status } of [after, own]) {
    if (status !== 400)
      findings.push(`${asked} must be refused with HTTP 400 once it was opened, received ${String(status)}`);
  }
  const [roleId, secretId] = [await leases.roleId(persona), secretIdOf(another)];
  const login = await leases.login(persona, roleId, secretId);
  return { token: leases.keepToken(persona, login, roleId, secretId), finding: together(...findings) };
}
