import type { ManifestDatabase, ManifestPersona } from "../../manifest/schema";
import { Notes, type Evidence } from "../report/evidence";
import type { VaultClient } from "../../clients/vault-client";

/** A `path` block of a policy. */
export interface PolicyRule {
  readonly policy: string;
  readonly path: string;
  readonly capabilities: readonly string[];
}

/** What a persona's policies have to allow, and all that they may. */
export function declaredRules(
  database: ManifestDatabase,
  persona: ManifestPersona,
): Omit<PolicyRule, "policy">[] {
  return [
    { path: `${database.vault.mount}/creds/${persona.databaseRole.name}`, capabilities: ["read"] },
    ...database.staticRoles
      .filter((role) => role.persona === persona.name)
      .map(({ name }) => ({ path: `${database.vault.mount}/static-creds/${name}`, capabilities: ["read"] })),
    { path: "auth/token/renew-self", capabilities: ["update"] },
    { path: "sys/leases/renew", capabilities: ["update"] },
  ];
}

export interface Policies {
  readonly rules: readonly PolicyRule[];
  /** Names of those that the verifier may not read. */
  readonly unread: readonly string[];
  readonly evidence: readonly Evidence[];
}

/** Reads the policies of a token with the verifier's. */
export async function readPolicies(vault: VaultClient, names: readonly string[]): Promise<Policies> {
  const notes = new Notes();
  const rules: PolicyRule[] = [];
  const unread: string[] = [];
  for (const policy of names) {
    const answer = await vault.request("GET", `sys/policies/acl/${policy}`);
    notes.noteAnswer(answer);
    const text = answer.body.data?.["policy"];
    if (typeof text === "string") rules.push(...parse(policy, text));
    else unread.push(policy);
  }
  return { rules, unread, evidence: notes.evidence };
}

/** The rules of a policy in HCL or JSON (https://developer.hashicorp.com/vault/docs/concepts/policies#policy-syntax). */
export function parse(policy: string, text: string): PolicyRule[] {
  if (text.trimStart().startsWith("{")) {
    const { path = {} } = JSON.parse(text) as { path?: Record<string, { capabilities?: string[] }> };
    return Object.entries(path).map(([name, { capabilities = [] }]) => ({
      policy,
      path: name,
      capabilities,
    }));
  }
  const code = text.replace(/^\s*(#|\/\/).*$/gm, "");
  const starts = [...code.matchAll(/path\s+"([^"]+)"\s*\{/g)];
  return starts.map(({ 0: start, 1: path, index }, i) => {
    const block = code.slice(index + start.length, starts[i + 1]?.index);
    // The older spelling: policy = "read".
    const list = /(?:capabilities|policy)\s*=\s*(\[[^\]]*\]|"[^"]*")/.exec(block)?.[1] ?? "";
    return { policy, path: path!, capabilities: [...list.matchAll(/"([^"]+)"/g)].map(([, name]) => name!) };
  });
}

export function ruleText({ policy, path, capabilities }: PolicyRule): string {
  return `policy ${policy}: path "${path}" [${capabilities.join(", ")}]`;
}

/** Rules that speak about a path, with `+` for a segment and a `*` at the end for any rest. */
export function rulesFor({ rules }: Policies, path: string): PolicyRule[] {
  // Vault asks about a listing with a slash at the end, and takes a rule without one as well.
  const spellings = [path, path.replace(/\/$/, "")];
  return rules.filter((rule) => {
    const pattern = rule.path
      .replace(/[.?^${}()|[\]\\*+]/g, "\\$&")
      .replace(/(^|\/)\\\+(?=\/|$)/g, "$1[^/]+")
      .replace(/\\\*$/, ".*");
    const matches = new RegExp(`^${pattern}$`);
    return spellings.some((spelling) => matches.test(spelling));
  });
}

/** What the policies allow beyond what is declared. */
export function undeclaredRules(
  { rules }: Policies,
  declared: readonly Omit<PolicyRule, "policy">[],
): PolicyRule[] {
  return rules.filter(
    ({ path, capabilities }) =>
      !capabilities.includes("deny") &&
      !declared.some(
        (rule) => rule.path === path && capabilities.every((name) => rule.capabilities.includes(name)),
      ),
  );
}
