import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import type { Custody } from "./custody";
import { secretIdOf, type Lease, type Leases, type PersonaToken } from "./leases";
import type { ManifestDatabase, ManifestPersona } from "./manifest";
import { exercise } from "./matrix";
import { join, makeProbes, ownObjects, probePrefix, type Targets } from "./probes";
import type { Evidence, Recorder } from "./report";
import { firstText, loginRefusal, Session, type PostgresAddress } from "./session";
import { errorText, type VaultAnswer } from "./vault-client";

/** What the checks of a database's personas share. */
export interface Scene {
  readonly database: ManifestDatabase;
  readonly address: PostgresAddress;
  readonly leases: Leases;
  readonly custody: Custody;
  /** Acts as the schema's owner. */
  readonly owner: Session;
  readonly run: string;
  /** Made before the persona's lease. Empty when nothing may be made. */
  readonly before: Targets;
  readonly readOnly: boolean;
}

/** Vault counts in whole seconds, keeps a few seconds of grace in VALID UNTIL, and an answer takes its time. */
const SECONDS_OF_TOLERANCE = 10;

/** SQLSTATEs with which PostgreSQL refuses a login that is not (any more) valid. */
const LOGIN_REFUSED = ["28P01", "28000"];
const SESSION_ENDED = "57P01";

/** Everything about one persona: its way to a lease, the lease, its use, its end. */
export async function verifyPersona(
  scene: Scene,
  persona: ManifestPersona,
  recorder: Recorder,
): Promise<void> {
  const token = await logIn(scene, persona, recorder);
  if (!token) return;
  await forbiddenPaths(scene, persona, token, recorder);
  const leftBehind = holdTable(scene, persona);
  const lease = await takeLease(scene, persona, token, recorder);
  if (lease) await useAndRevoke(scene, persona, lease, leftBehind, recorder);
  await token.revoke();
}

/**
 * A persona that may create makes a table and leaves it. In custody before the lease is, since the owner can only drop it
 * once revocation has made it the owner's.
 */
function holdTable(
  { database, owner, custody, run, readOnly }: Scene,
  persona: ManifestPersona,
): string | undefined {
  if (readOnly || !persona.privileges.schema.includes("CREATE")) return undefined;
  const table = `${ident(database.schema)}.${ident(`${probePrefix(run)}left_${String(database.personas.indexOf(persona))}`)}`;
  custody.hold(`probe TABLE ${table}`, async () => {
    await owner.query(`DROP TABLE IF EXISTS ${table}`);
  });
  return table;
}

async function logIn(
  { leases }: Scene,
  persona: ManifestPersona,
  recorder: Recorder,
): Promise<PersonaToken | undefined> {
  const { authMount, name } = persona.appRole;
  let secretId = "";
  const opened = await recorder.check("secret id wrapped, opened once", async (evidence) => {
    const unwrapped = await leases.vault.request("POST", `auth/${authMount}/role/${name}/secret-id`, {
      num_uses: 1,
    });
    note(evidence, unwrapped, "without wrapping");
    if (unwrapped.status !== 403)
      return `a secret id without wrapping must be refused with HTTP 403, received ${String(unwrapped.status)}`;
    const wrapping = await leases.wrappedSecretId(persona);
    const first = await leases.unwrap(wrapping);
    note(evidence, first, "first");
    secretId = secretIdOf(first);
    if (first.status !== 200 || !secretId)
      return `opening the wrapping must give a secret id, received HTTP ${String(first.status)}`;
    const second = await leases.unwrap(wrapping);
    note(evidence, second, "second");
    return second.status === 400
      ? undefined
      : `the second opening must be refused with HTTP 400, received ${String(second.status)}`;
  });
  if (!opened) return undefined;

  let token: PersonaToken | undefined;
  await recorder.check("login: policies and TTLs", async (evidence) => {
    const roleId = await leases.roleId(persona);
    const answer = await leases.login(persona, roleId, secretId);
    note(evidence, answer);
    token = leases.keepToken(persona, answer, roleId, secretId);
    const { auth } = token;
    const { tokenTtl, tokenMaxTtl } = persona.appRole;
    const findings: string[] = [];
    const policies = [...auth.policies].sort().join(", ");
    const declared = [...persona.appRole.policies].sort().join(", ");
    if (policies !== declared) findings.push(`policies declared: ${declared}; the token has: ${policies}`);
    if (auth.lease_duration !== tokenTtl) {
      findings.push(
        `token TTL declared: ${String(tokenTtl)} s; the token has ${String(auth.lease_duration)} s`,
      );
    }
    // Asks for more than there is: what comes back is the maximum.
    const renewed = await token.vault.request("POST", "auth/token/renew-self", {
      increment: tokenMaxTtl * 2,
    });
    note(evidence, renewed);
    const longest = renewed.body.auth?.lease_duration ?? 0;
    if (longest > tokenMaxTtl || longest < tokenMaxTtl - SECONDS_OF_TOLERANCE) {
      findings.push(`token max TTL declared: ${String(tokenMaxTtl)} s; renewing gives ${String(longest)} s`);
    }
    return findings.length ? findings.join("; ") : undefined;
  });
  if (!token) return undefined;

  const { roleId } = token;
  await recorder.check("login refused without secret id", async (evidence) => {
    for (const [what, attempted] of [
      ["used-up", secretId],
      ["wrong", "00000000-0000-0000-0000-000000000000"],
      ["missing", undefined],
    ] as const) {
      const answer = await leases.login(persona, roleId, attempted);
      note(evidence, answer, `${what} secret id`);
      if (answer.body.auth) await leases.keepToken(persona, answer, roleId, "").revoke();
      if (answer.status !== 400)
        return `a ${what} secret id must be refused with HTTP 400, received ${String(answer.status)}`;
    }
    return undefined;
  });
  return token;
}

/** Requests outside the persona's policy. None of them changes anything, should it be allowed. */
async function forbiddenPaths(
  { database, leases }: Scene,
  persona: ManifestPersona,
  token: PersonaToken,
  recorder: Recorder,
): Promise<void> {
  const { mount, connection } = database.vault;
  const { authMount, name } = persona.appRole;
  const role = persona.databaseRole.name;
  const others = database.personas
    .filter((other) => other.databaseRole.name !== role)
    .map((other) => other.databaseRole.name);
  const probes = database.probes ? Object.values(database.probes) : [];

  await recorder.check("other credentials refused", async (evidence) => {
    const paths = [...others, ...probes].map((other) => ["GET", `${mount}/creds/${other}`] as const);
    return firstAllowed(paths, evidence);
  });
  await recorder.check("other paths refused", async (evidence) =>
    firstAllowed(
      [
        ["GET", `${mount}/config/${connection}`],
        ["LIST", `${mount}/config`],
        ["GET", `${mount}/roles/${role}`],
        ["LIST", `${mount}/roles`],
        ["GET", `auth/${authMount}/role/${name}`],
        ["GET", `auth/${authMount}/role/${name}/role-id`],
        ["LIST", `auth/${authMount}/role`],
        ["LIST", `auth/${authMount}/role/${name}/secret-id`],
        ["LIST", "sys/policies/acl"],
        ...persona.appRole.policies.map((policy) => ["GET", `sys/policies/acl/${policy}`] as const),
        ["GET", "sys/mounts"],
        ["GET", "sys/auth"],
        ["GET", "sys/audit"],
        ["LIST", `sys/leases/lookup/${mount}/creds/${role}/`],
        ["LIST", "auth/token/accessors"],
        ["GET", "auth/token/lookup-self"],
        ["LIST", "identity/entity/id"],
      ],
      evidence,
    ),
  );

  async function firstAllowed(
    requests: readonly (readonly [string, string])[],
    evidence: Evidence[],
  ): Promise<string | undefined> {
    const findings: string[] = [];
    for (const [method, path] of requests) {
      const answer = await token.vault.request(method, path);
      note(evidence, answer);
      if (answer.body.lease_id) await leases.keep(answer).revoke();
      if (answer.status !== 403)
        findings.push(
          `${method} ${path} must be refused with HTTP 403, received ${String(answer.status)}: a policy of ${name} allows it`,
        );
    }
    return findings.length ? findings.join("; ") : undefined;
  }
}

async function takeLease(
  scene: Scene,
  persona: ManifestPersona,
  token: PersonaToken,
  recorder: Recorder,
): Promise<Lease | undefined> {
  const { mount } = scene.database.vault;
  const { name, defaultTtl } = persona.databaseRole;
  let lease: Lease | undefined;
  await recorder.check("lease: login, id, duration", async (evidence) => {
    const answer = await token.vault.request("GET", `${mount}/creds/${name}`);
    note(evidence, answer);
    lease = scene.leases.keep(answer);
    return lease.duration === defaultTtl
      ? undefined
      : `lease TTL declared: ${String(defaultTtl)} s; the lease has ${String(lease.duration)} s`;
  });
  if (!lease) return undefined;
  const { username, duration, issuedAt } = lease;
  await recorder.check("VALID UNTIL the lease's end", async (evidence) => {
    const sql = `SELECT extract(epoch FROM rolvaliduntil - now())::float AS seconds FROM pg_roles WHERE rolname = ${literal(username)}`;
    const outcome = await scene.owner.attempt(sql, evidence);
    const seconds = "rows" in outcome ? outcome.rows[0]?.["seconds"] : undefined;
    if (typeof seconds !== "number") return "the leased role has no VALID UNTIL";
    const left = duration - (performance.now() - issuedAt) / 1000;
    evidence.push({
      sent: "VALID UNTIL, from now",
      got: `${seconds.toFixed(1)} s, of a lease that has ${left.toFixed(1)} s`,
    });
    return Math.abs(seconds - left) <= SECONDS_OF_TOLERANCE
      ? undefined
      : `VALID UNTIL is ${seconds.toFixed(0)} s away, the lease's end ${left.toFixed(0)} s`;
  });
  return lease;
}

async function useAndRevoke(
  scene: Scene,
  persona: ManifestPersona,
  lease: Lease,
  leftBehind: string | undefined,
  recorder: Recorder,
): Promise<void> {
  const { database, address, owner, custody } = scene;
  const session = await connect(scene, persona, lease, recorder);
  if (session) {
    await recorder.check("memberships as declared", (evidence) =>
      memberships(owner, persona, database, lease, evidence),
    );
    const prefix = probePrefix(scene.run);
    const targets = [scene.before, await ownObjects(owner, database)];
    // Objects that come after the lease: what default privileges give.
    if (!scene.readOnly)
      targets.push(
        await makeProbes(
          owner,
          custody,
          database,
          prefix,
          `after_${String(database.personas.indexOf(persona))}`,
        ),
      );
    await exercise(
      session,
      { database, persona, targets: join(...targets), prefix, readOnly: scene.readOnly },
      recorder,
    );
    if (leftBehind) await session.attempt(`CREATE TABLE ${leftBehind} (id integer)`, []);
  }

  await recorder.check("revoked: open session ended", async (evidence) => {
    const status = await lease.revoke();
    evidence.push({ sent: `POST sys/leases/revoke ${lease.id}`, got: `HTTP ${String(status)}` });
    if (!session) return "there was no session to end";
    const end = await session.waitForEnd();
    evidence.push({ sent: "the open session", got: end });
    return end === SESSION_ENDED ? undefined : `the session must end with ${SESSION_ENDED}, it is ${end}`;
  });
  await session?.close();
  await recorder.check("revoked: login, role, lease gone", async (evidence) => {
    const refusal = await loginRefusal(address, database.name, lease);
    evidence.push({ sent: `login as ${lease.username}`, got: refusal ?? "logged in" });
    if (!refusal || !LOGIN_REFUSED.includes(refusal))
      return `the login must be refused with ${LOGIN_REFUSED.join(" or ")}, received ${refusal ?? "a session"}`;
    const gone = await owner.attempt(
      `SELECT FROM pg_roles WHERE rolname = ${literal(lease.username)}`,
      evidence,
    );
    if (!("count" in gone) || gone.count !== 0) return `the role ${lease.username} is still there`;
    const renewal = await scene.leases.vault.request("POST", "sys/leases/renew", { lease_id: lease.id });
    note(evidence, renewal);
    return renewal.status === 400
      ? undefined
      : `a revoked lease must be unknown to Vault (HTTP 400), received ${String(renewal.status)}`;
  });
  if (leftBehind) {
    await recorder.check("its objects are the owner's", async (evidence) => {
      const sql = `SELECT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE oid = to_regclass(${literal(leftBehind)})`;
      const outcome = await owner.attempt(sql, evidence);
      const found = firstText(outcome, "owner");
      return found === database.owner
        ? undefined
        : `${leftBehind} must belong to ${database.owner}, it belongs to ${found ?? "nobody: it is gone"}`;
    });
  }
}

async function connect(
  { address, database }: Scene,
  persona: ManifestPersona,
  lease: Lease,
  recorder: Recorder,
): Promise<Session | undefined> {
  const declared = persona.privileges.database.includes("CONNECT");
  const start = performance.now();
  let session: Session | undefined;
  let refusal: string | undefined;
  try {
    session = await Session.open(address, database.name, lease);
  } catch (error) {
    refusal = (error as { code?: string }).code ?? String(error);
  }
  const proven = session ? true : refusal === "42501" ? false : undefined;
  const found = session ? "is allowed" : `is refused with ${refusal ?? ""}`;
  recorder.cell({
    name: "database.CONNECT",
    privilege: "database.CONNECT",
    declared,
    proven,
    held: proven === declared,
    finding:
      proven === declared
        ? undefined
        : `CONNECT on ${database.name} ${declared ? "is declared" : "is not declared"} and ${found}`,
    evidence: [{ sent: `login as ${lease.username}`, got: refusal ? `SQLSTATE ${refusal}` : "a session" }],
    milliseconds: performance.now() - start,
  });
  return session;
}

/** All roles that the lease can act as: its group, and for a persona that acts as the owner the owner. */
async function memberships(
  owner: Session,
  persona: ManifestPersona,
  database: ManifestDatabase,
  lease: Lease,
  evidence: Evidence[],
): Promise<string | undefined> {
  const sql = `WITH RECURSIVE held(role) AS (
      SELECT roleid FROM pg_auth_members WHERE member = ${literal(ident(lease.username))}::regrole
      UNION SELECT roleid FROM pg_auth_members JOIN held ON member = held.role
    ) SELECT role::regrole::text AS name FROM held ORDER BY 1`;
  const outcome = await owner.attempt(sql, evidence);
  if ("sqlstate" in outcome) return outcome.message;
  const unquoted = (name: unknown) => String(name).replace(/^"|"$/g, "");
  const found = outcome.rows.map(({ name }) => unquoted(name)).sort();
  const declared = [persona.groupRole, ...(persona.actsAsOwner ? [database.owner] : [])].sort();
  if (found.join() === declared.join()) return undefined;
  return `memberships declared: ${declared.join(", ")}; found: ${found.join(", ")}`;
}

function note(evidence: Evidence[], answer: VaultAnswer, what?: string): void {
  const { method, path, status } = answer;
  const message = status >= 400 ? `: ${errorText(answer)}` : "";
  evidence.push({
    sent: `${method} ${path}${what ? ` (${what})` : ""}`,
    got: `HTTP ${String(status)}${message}`,
  });
}
