import type { VaultClient } from "../../clients/vault-client";
import type { LoggedInContext } from "../context";
import type { Check } from "../report/check";
import { Notes, type Evidence } from "../report/evidence";

/** A `path` block of a policy. */
export interface PolicyRule {
  readonly policy: string;
  readonly path: string;
  readonly capabilities: readonly string[];
}

/** The policies of a token, as Vault has them. */
export interface Policies {
  /** By name. */
  readonly texts: ReadonlyMap<string, string>;
  readonly rules: readonly PolicyRule[];
  /** Names of those that the verifier can't read. */
  readonly unread: readonly string[];
  readonly evidence: readonly Evidence[];
}

/** Reads policies with the verifier's token. */
export async function readPolicies(vault: VaultClient, names: readonly string[]): Promise<Policies> {
  const notes = new Notes();
  const texts = new Map<string, string>();
  for (const name of names) {
    const answer = await vault.request("GET", `sys/policies/acl/${name}`);
    notes.noteAnswer(answer);
    const text = answer.body.data?.["policy"];
    if (typeof text === "string") texts.set(name, text);
  }
  return {
    texts,
    rules: [...texts].flatMap(([name, text]) => parse(name, text).rules),
    unread: names.filter((name) => !texts.has(name)),
    evidence: notes.evidence,
  };
}

/** The texts of the token's own policies are the declared ones, and it has no policy that is not declared. */
export function policiesAsDeclared({ persona, token, policies }: LoggedInContext, check: Check): void {
  check.noteAll(policies);
  const declared = new Map(persona.policies.map(({ name, text }) => [name, text]));
  for (const name of new Set([...persona.login.policies, ...token.auth.policies])) {
    const text = declared.get(name);
    const found = policies.texts.get(name);
    if (!persona.login.policies.includes(name)) check.find(`policy ${name} is not declared`);
    else if (!token.auth.policies.includes(name)) check.find(`the token has no policy ${name}`);
    else if (!declared.has(name)) check.find(`the manifest has no text of policy ${name}`);
    else if (text === undefined) check.note(`policy ${name}`, "somebody else's: held by its name");
    else if (found === undefined) check.find(`the verifier's token can't read policy ${name}`);
    else check.find(...differences(name, text, found));
  }
}

/** Vault gives a policy's text back as it was written; what differs is named by its rules where these tell. */
export function differences(policy: string, declared: string, found: string): string[] {
  if (declared.trim() === found.trim()) return [];
  const [wanted, had] = [parse(policy, declared), parse(policy, found)];
  const [wantedRules, hadRules] = [wanted.rules.map(ruleText), had.rules.map(ruleText)];
  const findings = [
    ...hadRules.filter((rule) => !wantedRules.includes(rule)).map((rule) => `not declared: ${rule}`),
    ...wantedRules.filter((rule) => !hadRules.includes(rule)).map((rule) => `declared and missing: ${rule}`),
  ];
  if (had.rest !== undefined) findings.push(`policy ${policy} can't be read from here on: ${had.rest}`);
  if (findings.length > 0) return findings;
  const lines = declared.trim().split("\n");
  const other = found.trim().split("\n");
  const at = other.findIndex((line, i) => line !== lines[i]);
  return [`policy ${policy} is not as declared${at < 0 ? ", it ends early" : `: ${other[at]!.trim()}`}`];
}

const TOKEN = /(\s+|#.*|\/\/.*|\/\*[^]*?\*\/)|"(?:[^"\\\n]|\\.)*"|[\w.-]+|[{}[\]=,:]/y;
const PUNCTUATION = /^[{}[\]=,:]$/;
const REST_LENGTH = 60;

interface Token {
  readonly text: string;
  readonly at: number;
}

/**
 * The rules of a policy in HCL (https://developer.hashicorp.com/vault/docs/concepts/policies#policy-syntax). They tell where
 * a difference comes from; nothing else is decided on them.
 * @returns as `rest` the beginning of what could not be read
 */
export function parse(policy: string, text: string): { rules: PolicyRule[]; rest?: string } {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  let end = 0;
  for (let match; (match = TOKEN.exec(text)); end = TOKEN.lastIndex)
    if (match[1] === undefined) tokens.push({ text: match[0], at: end });
  const rules: PolicyRule[] = [];
  let next = 0;
  while (next < tokens.length) {
    const [keyword, path, brace] = tokens.slice(next, next + 3);
    const close = closingBrace(tokens, next + 2);
    const isRule = unquoted(keyword!) === "path" && brace?.text === "{" && close > 0;
    if (!isRule || PUNCTUATION.test(path!.text)) break;
    const capabilities = capabilitiesOf(tokens.slice(next + 3, close));
    rules.push({ policy, path: unquoted(path!), capabilities });
    next = close + 1;
  }
  const unread = tokens[next]?.at ?? end;
  return unread < text.length ? { rules, rest: text.slice(unread).trim().slice(0, REST_LENGTH) } : { rules };
}

/** Where the block ends that starts here; -1 where none does. */
function closingBrace(tokens: readonly Token[], open: number): number {
  let depth = 0;
  return tokens.findIndex(({ text }, i) => {
    if (i < open) return false;
    if (text === "{") depth += 1;
    if (text === "}") depth -= 1;
    return depth === 0;
  });
}

/** `capabilities = ["read", "list"]`, or `policy = "read"`, which is the older spelling. */
function capabilitiesOf(block: readonly Token[]): string[] {
  const words = block.map(unquoted);
  const at = words.findIndex(
    (word, i) => (word === "capabilities" || word === "policy") && words[i + 1] === "=",
  );
  if (at < 0) return [];
  if (words[at + 2] !== "[") return words.slice(at + 2, at + 3);
  return words.slice(at + 3, words.indexOf("]", at)).filter((word) => word !== ",");
}

/** Escapes stay as they are written. */
function unquoted({ text }: Token): string {
  return text.startsWith('"') ? text.slice(1, -1) : text;
}

export function ruleText({ policy, path, capabilities }: PolicyRule): string {
  return `policy ${policy}: path "${path}" [${capabilities.join(", ")}]`;
}

/** Rules that speak about a path, with `+` for a segment and a `*` at the end for any rest. */
export function rulesFor({ rules }: Pick<Policies, "rules">, path: string): PolicyRule[] {
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
