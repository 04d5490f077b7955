import type { Leases, PersonaToken } from "../session/leases";
import type { ManifestDatabase, ManifestPersona } from "../../manifest/schema";
import { declaredRules, readPolicies, rulesFor, ruleText, undeclaredRules, type Policies } from "./policies";
import { Outage } from "../../clients/outage";
import { compare, type Observation } from "../report/compare";
import { Notes } from "../report/evidence";
import type { Recorder } from "../report/recorder";
import { failureOf, type VaultAnswer } from "../../clients/vault-client";

/** A persona's token, what Vault is asked about it, and where the answers go. */
export interface Holder {
  readonly database: ManifestDatabase;
  readonly persona: ManifestPersona;
  readonly token: PersonaToken;
  readonly leases: Leases;
  readonly policies: Policies;
  readonly recorder: Recorder;
}

/** A request that uses a path. */
interface Use {
  readonly method: "GET" | "LIST" | "POST";
  /** Of a listing, with a slash at the end: so Vault sees it. */
  readonly path: string;
  readonly body?: object;
}

const CAPABILITIES = { GET: "read", LIST: "list", POST: "update" } as const;

/** What the token may do in Vault before there is a lease. No request changes anything, should it be allowed. */
export async function exercisePaths(holder: Holder): Promise<void> {
  const { database, persona, policies, recorder } = holder;
  const { mount, connection } = database.vault;
  const { authMount, name } = persona.appRole;
  const role = persona.databaseRole.name;
  const others = database.personas
    .map(({ databaseRole }) => databaseRole.name)
    .concat(database.probes ? Object.values(database.probes) : [])
    .filter((other) => other !== role);
  const statics = database.staticRoles.filter((other) => other.persona !== persona.name);
  const get = (path: string): Use => ({ method: "GET", path });
  const list = (path: string): Use => ({ method: "LIST", path: `${path}/` });

  await exerciseUses(holder, "its token's renewal", true, [
    { method: "POST", path: "auth/token/renew-self", body: {} },
  ]);
  const named = [
    ...(await exerciseUses(holder, "other credentials", false, [
      ...others.map((other) => get(`${mount}/creds/${other}`)),
      ...statics.map((other) => get(`${mount}/static-creds/${other.name}`)),
    ])),
    ...(await exerciseUses(holder, "other paths", false, [
      get(`${mount}/config/${connection}`),
      list(`${mount}/config`),
      get(`${mount}/roles/${role}`),
      list(`${mount}/roles`),
      get(`auth/${authMount}/role/${name}`),
      get(`auth/${authMount}/role/${name}/role-id`),
      list(`auth/${authMount}/role`),
      list(`auth/${authMount}/role/${name}/secret-id`),
      list("sys/policies/acl"),
      ...persona.appRole.policies.map((policy) => get(`sys/policies/acl/${policy}`)),
      get("sys/mounts"),
      get("sys/auth"),
      // A namespace has none of its own, which Vault says before it asks a policy.
      ...(holder.leases.vault.namespace ? [] : [get("sys/audit")]),
      list(`sys/leases/lookup/${mount}/creds/${role}`),
      list("auth/token/accessors"),
      get("auth/token/lookup-self"),
      list("identity/entity/id"),
    ])),
  ];
  await recorder.check("policies as declared", (check) => {
    check.noteAll(policies);
    const findings = undeclaredRules(policies, declaredRules(database, persona))
      .map(ruleText)
      .filter((text) => !named.includes(text))
      .map((text) => `not declared: ${text}`);
    const unread = policies.unread.filter((policy) => persona.appRole.policies.includes(policy));
    if (unread.length > 0) findings.push(`the verifier's token may not read ${unread.join(", ")}`);
    return Promise.resolve(findings.length ? findings.join("; ") : undefined);
  });
}

/** The cell of the persona's own credentials. The lease in the answer is not in custody yet. */
export async function exerciseOwnCredentials(holder: Holder): Promise<VaultAnswer> {
  const { database, persona } = holder;
  const path = `${database.vault.mount}/creds/${persona.databaseRole.name}`;
  let taken: VaultAnswer | undefined;
  await exerciseUses(holder, "its credentials", true, [{ method: "GET", path }], (answer) => {
    taken = answer;
    return Promise.resolve();
  });
  return taken!;
}

/** The cell of a lease's renewal by the token that took it. Returns Vault's answer to a wish for so many seconds. */
export async function exerciseRenewal(
  holder: Holder,
  leaseId: string,
  seconds: number,
): Promise<VaultAnswer> {
  const body = { lease_id: leaseId, increment: seconds };
  let renewed: VaultAnswer | undefined;
  await exerciseUses(
    holder,
    "its lease's renewal",
    true,
    [{ method: "POST", path: "sys/leases/renew", body }],
    (answer) => {
      renewed = answer;
      return Promise.resolve();
    },
  );
  return renewed!;
}

/** Returns the policies' lines that findings name. */
async function exerciseUses(
  { token, leases, policies, recorder }: Holder,
  name: string,
  declared: boolean,
  uses: readonly Use[],
  /** What becomes of an answer. @default - a lease in it is revoked */
  onAnswer = async (answer: VaultAnswer) => {
    if (answer.body.lease_id) await leases.keep(answer).revoke();
  },
): Promise<string[]> {
  if (uses.length === 0) return [];
  const named: string[] = [];
  const observations: Observation[] = [];
  const notes = new Notes();
  const start = performance.now();
  const paths = uses.map(({ path }) => path);
  const capabilities = await leases.capabilities(token, paths);
  const answers = await Promise.all(
    uses.map(({ method, path, body }) => token.vault.request(method, path.replace(/\/$/, ""), body)),
  );
  for (const [i, answer] of answers.entries()) {
    const { method, path } = uses[i]!;
    const has = capabilities.get(path);
    notes.note(`POST sys/capabilities ${path}`, has?.join(", ") ?? "no answer");
    notes.noteAnswer(answer);
    await onAnswer(answer);
    // A listing of nothing is 404 as well; only 403 speaks of rights.
    const works = answer.status < 300 || answer.status === 404;
    const allowed = works ? true : answer.status === 403 ? false : undefined;
    const held =
      has &&
      (declared
        ? [CAPABILITIES[method], "root"].some((wanted) => has.includes(wanted))
        : !has.includes("deny"));
    const isAsDeclared = allowed === declared && held === declared;
    const rules = isAsDeclared ? [] : rulesFor(policies, path).map(ruleText);
    named.push(...rules);
    const unread = policies.unread.map((policy) => `policy ${policy}, which the verifier may not read`);
    const causes = [...rules, ...unread].map((text) => `by ${text}`);
    observations.push({
      what: `${method} ${path}`,
      catalogued: held,
      exercised: [allowed],
      said: `sys/capabilities says ${has?.join(", ") ?? "nothing"}`,
      causes: causes.length > 0 ? causes : ["no policy speaks of it"],
      example: `HTTP ${String(answer.status)}`,
    });
  }
  // That Vault reaches no PostgreSQL says nothing of rights.
  const outage = answers.map(failureOf).find((failure) => failure instanceof Outage);
  if (outage) throw outage;
  const { evidence } = notes;
  const milliseconds = performance.now() - start;
  recorder.cell(
    { kind: "vault", name },
    { ...compare(declared, observations), remarks: [], evidence, milliseconds },
  );
  return named;
}

/** All that there is to ask about a token that has just logged in. */
export async function holderOf(parts: Omit<Holder, "policies">): Promise<Holder> {
  return { ...parts, policies: await readPolicies(parts.leases.vault, parts.token.auth.policies) };
}
