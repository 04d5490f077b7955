import { Outage } from "../../clients/outage";
import { failureOf, type VaultAnswer } from "../../clients/vault-client";
import type { LoggedInContext } from "../context";
import { loginMethod } from "../login/login";
import type { RowDescription } from "../report/check";
import { compare, type Observation } from "../report/compare";
import { Notes } from "../report/evidence";
import { rowId } from "../report/recorder";
import { rulesFor, ruleText } from "./policies";

/** A row of the matrix on what a persona's token may do in Vault. */
interface VaultRow extends RowDescription {
  readonly declared: boolean;
}

/** A request that uses a path. */
interface Use {
  readonly method: "GET" | "LIST" | "POST";
  /** Of a listing, with a slash at the end: so Vault sees it. */
  readonly path: string;
  readonly body?: object;
}

const TOKEN_LOOKUP = row("its token's lookup", true, "The persona's token looks itself up.");
const TOKEN_RENEWAL = row("its token's renewal", true, "The persona's token renews itself.");
const OTHER_CREDENTIALS = row(
  "other credentials",
  false,
  "The persona's token is refused the credentials of every other role of the database.",
);
const OTHER_PATHS = row(
  "other paths",
  false,
  "The persona's token is refused what configures roles, logins, policies and mounts, and what lists leases, tokens and identities.",
);
const DECLARED_PATHS = row(
  "declared paths",
  true,
  "The persona's token has the declared capabilities on what the config gives it beside, by Vault's own word; nothing is read or written there.",
);
const CREDENTIALS = row("its credentials", true, "The persona's token leases its own credentials.");
const LEASE_RENEWAL = row("its lease's renewal", true, "The persona's token renews its lease.");
const LEASE_END = row("a lease's end", true, "The persona's token may end a lease whose id it holds.");
const TOKEN_END = row("its token's end", true, "The persona's token ends itself, and is no longer one.");

/** In the order in which they are made. */
export const VAULT_ROWS: readonly VaultRow[] = [
  TOKEN_LOOKUP,
  TOKEN_RENEWAL,
  OTHER_CREDENTIALS,
  OTHER_PATHS,
  DECLARED_PATHS,
  CREDENTIALS,
  LEASE_RENEWAL,
  LEASE_END,
  TOKEN_END,
];

function row(name: string, declared: boolean, proves: string): VaultRow {
  return { kind: "vault", name, declared, proves };
}

/** What the token may do before there is a lease. No request changes anything, should it be allowed. */
export async function exercisePaths(context: LoggedInContext): Promise<void> {
  const { database, persona, vault } = context;
  const { mount, connection } = database.vault;
  const role = persona.databaseRole.name;
  const others = database.personas
    .map(({ databaseRole }) => databaseRole.name)
    .concat(database.probes ? Object.values(database.probes) : [])
    .filter((other) => other !== role);
  const statics = database.staticRoles.filter((other) => other.persona !== persona.name);
  const use = (path: string): Use => ({ method: path.endsWith("/") ? "LIST" : "GET", path });

  await exercise(context, TOKEN_LOOKUP, [use("auth/token/lookup-self")]);
  await exercise(context, TOKEN_RENEWAL, [{ method: "POST", path: "auth/token/renew-self", body: {} }]);
  await exercise(context, OTHER_CREDENTIALS, [
    ...others.map((other) => use(`${mount}/creds/${other}`)),
    ...statics.map((other) => use(`${mount}/static-creds/${other.name}`)),
  ]);
  await exercise(
    context,
    OTHER_PATHS,
    [
      `${mount}/config/${connection}`,
      `${mount}/config/`,
      `${mount}/roles/${role}`,
      `${mount}/roles/`,
      ...loginMethod(persona).paths(persona),
      "sys/policies/acl/",
      ...persona.login.policies.map((policy) => `sys/policies/acl/${policy}`),
      "sys/mounts",
      "sys/auth",
      // A namespace has none of its own, which Vault says before it asks a policy.
      ...(vault.namespace ? [] : ["sys/audit"]),
      `sys/leases/lookup/${mount}/creds/${role}/`,
      "auth/token/accessors/",
      "cubbyhole/",
      "identity/entity/id/",
    ].map(use),
  );
  await askOfDeclaredPaths(context);
}

/** Asks what the token may do on the paths of others that are declared. What is there is theirs: no request uses it. */
async function askOfDeclaredPaths({
  persona,
  token,
  leases,
  policies,
  recorder,
}: LoggedInContext): Promise<void> {
  if (persona.paths.length === 0 || !recorder.wants(rowId(DECLARED_PATHS))) return;
  const notes = new Notes();
  const start = performance.now();
  const found = await leases.capabilities(
    token,
    persona.paths.map(({ path }) => path),
  );
  const observations = persona.paths.map(({ path, capabilities }): Observation => {
    const has = found.get(path) ?? [];
    notes.note(`POST sys/capabilities ${path}`, has.join(", ") || "no answer");
    const causes = rulesFor(policies, path).map((rule) => `by ${ruleText(rule)}`);
    return {
      what: `${capabilities.join(", ")} on ${path}`,
      catalogued: capabilities.every((capability) => has.includes(capability)),
      exercised: [],
      said: `sys/capabilities says ${has.join(", ") || "nothing"}`,
      causes: causes.length > 0 ? causes : ["no policy speaks of it"],
    };
  });
  const { evidence } = notes;
  const milliseconds = performance.now() - start;
  recorder.cell(DECLARED_PATHS, { ...compare(true, observations), remarks: [], evidence, milliseconds });
}

/** Asks for the persona's own credentials. The lease in the answer is not in custody yet. */
export async function exerciseCredentials(context: LoggedInContext): Promise<VaultAnswer> {
  const path = `${context.database.vault.mount}/creds/${context.persona.databaseRole.name}`;
  const [answer] = await exercise(context, CREDENTIALS, [{ method: "GET", path }]);
  return answer!;
}

/** Renews a lease, for so many seconds, with the token that took it. */
export async function exerciseRenewal(
  context: LoggedInContext,
  leaseId: string,
  seconds: number,
): Promise<VaultAnswer> {
  const body = { lease_id: leaseId, increment: seconds };
  const [answer] = await exercise(context, LEASE_RENEWAL, [
    { method: "POST", path: "sys/leases/renew", body },
  ]);
  return answer!;
}

/** Has the token end a lease that there is not, which Vault takes for done, and then itself, with what it has leased. */
export async function exerciseEnds(context: LoggedInContext): Promise<void> {
  const { mount } = context.database.vault;
  const lease_id = `${mount}/creds/${context.persona.databaseRole.name}/leasehold-verify`;
  await exercise(context, LEASE_END, [
    { method: "POST", path: "sys/leases/revoke", body: { lease_id, sync: true } },
  ]);
  const [answer] = await exercise(context, TOKEN_END, [
    { method: "POST", path: "auth/token/revoke-self", body: {} },
  ]);
  if (answer && answer.status < 300) context.token.forget();
}

const CAPABILITIES = { GET: "read", LIST: "list", POST: "update" } as const;

/** Sends requests and records the row's cell. Declared ones are sent even where the row is not asked for: later steps need their answers. */
async function exercise(
  { token, leases, policies, recorder }: LoggedInContext,
  row: VaultRow,
  uses: readonly Use[],
): Promise<VaultAnswer[]> {
  const { declared } = row;
  const isWanted = recorder.wants(rowId(row));
  if (uses.length === 0 || !(isWanted || declared)) return [];
  const notes = new Notes();
  const start = performance.now();
  const capabilities = await leases.capabilities(
    token,
    uses.map(({ path }) => path),
  );
  const answers = await Promise.all(
    uses.map(({ method, path, body }) => token.vault.request(method, path.replace(/\/$/, ""), body)),
  );
  const observations: Observation[] = [];
  for (const [i, answer] of answers.entries()) {
    const { method, path } = uses[i]!;
    const has = capabilities.get(path);
    notes.note(`POST sys/capabilities ${path}`, has?.join(", ") ?? "no answer");
    notes.noteAnswer(answer);
    if (!declared && answer.body.lease_id) await leases.keep(answer).revoke();
    // A listing of nothing is 404 as well; only 403 speaks of rights.
    const works = answer.status < 300 || answer.status === 404;
    const allowed = works ? true : answer.status === 403 ? false : undefined;
    const held =
      has &&
      (declared
        ? [CAPABILITIES[method], "root"].some((wanted) => has.includes(wanted))
        : !has.includes("deny"));
    const isAsDeclared = allowed === declared && held === declared;
    const causes = isAsDeclared
      ? []
      : [
          ...rulesFor(policies, path).map((rule) => `by ${ruleText(rule)}`),
          ...policies.unread.map((policy) => `by policy ${policy}, which the verifier may not read`),
        ];
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
  if (isWanted)
    recorder.cell(row, { ...compare(declared, observations), remarks: [], evidence, milliseconds });
  return answers;
}
