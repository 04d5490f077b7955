import type { PersonaContext } from "./context";
import { escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { secretIdOf, type Lease, type Leases, type PersonaToken } from "./session/leases";
import { heirOf, type ManifestPersona } from "../manifest/schema";
import { memberships } from "./privileges/access";
import { beyondMatrix } from "./privileges/beyond-matrix";
import { connect } from "./privileges/connect";
import { leaseContext, type LeaseContext, type SessionContext } from "./privileges/context";
import { exerciseMatrix } from "./privileges/matrix";
import { otherDatabases } from "./privileges/other-databases";
import { roleChanges } from "./privileges/role-changes";
import { PROBE_COLUMNS, probePrefix, probeTable } from "./session/probes";
import type { Check } from "./report/check";
import type { Recorder } from "./report/recorder";
import { firstText, LOGIN_REFUSED, loginRefusal, Session, SESSION_ENDED } from "./session/session";
import { exerciseOwnCredentials, exercisePaths, exerciseRenewal, holderOf, type Holder } from "./vault/paths";

/** Vault counts in whole seconds, keeps a few seconds of grace in VALID UNTIL, and an answer takes its time. */
const SECONDS_OF_TOLERANCE = 10;

/** Everything about one persona: its way to a lease, the lease, its use, its end. */
export async function verifyPersona(scene: PersonaContext): Promise<void> {
  const { persona, recorder } = scene;
  const token = await logIn(scene, persona, recorder);
  if (!token) return;
  const { database, leases } = scene;
  const holder = await holderOf({ database, persona, token, leases, recorder });
  await exercisePaths(holder);
  const leftBehind = holdTable(scene, persona);
  const lease = await takeLease(scene, holder);
  if (lease) await useAndRevoke(scene, persona, lease, leftBehind, recorder);
  await token.revoke();
}

/**
 * A persona that may create makes a table and leaves it. In custody before the lease is, since the owner can only drop it
 * once revocation has made it the owner's.
 */
function holdTable(
  { database, owner, custody, run, readOnly }: PersonaContext,
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
  { leases }: PersonaContext,
  persona: ManifestPersona,
  recorder: Recorder,
): Promise<PersonaToken | undefined> {
  const { authMount, name } = persona.appRole;
  let secretId = "";
  const opened = await recorder.check("secret id wrapped, opened once", async (check) => {
    const unwrapped = await leases.vault.request("POST", `auth/${authMount}/role/${name}/secret-id`, {
      num_uses: 1,
    });
    check.noteAnswer(unwrapped, "without wrapping");
    if (unwrapped.status !== 403)
      return `a secret id without wrapping must be refused with HTTP 403, received ${String(unwrapped.status)}`;
    const wrapping = await leases.wrappedSecretId(persona);
    const first = await leases.unwrap(wrapping);
    check.noteAnswer(first, "first");
    secretId = secretIdOf(first);
    if (first.status !== 200 || !secretId)
      return `opening the wrapping must give a secret id, received HTTP ${String(first.status)}`;
    const second = await leases.unwrap(wrapping);
    check.noteAnswer(second, "second");
    return second.status === 400
      ? undefined
      : `the second opening must be refused with HTTP 400, received ${String(second.status)}`;
  });
  if (!opened) {
    // Nobody may be let in with the role id alone, whatever is wrong with the secret ids.
    await loginsRefused(leases, persona, recorder, [["missing", undefined]]);
    return undefined;
  }

  let token: PersonaToken | undefined;
  await recorder.check("login: policies and TTLs", async (check) => {
    const roleId = await leases.roleId(persona);
    const answer = await leases.login(persona, roleId, secretId);
    check.noteAnswer(answer);
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
    check.noteAnswer(renewed);
    const longest = renewed.body.auth?.lease_duration ?? 0;
    if (longest > tokenMaxTtl || longest < tokenMaxTtl - SECONDS_OF_TOLERANCE) {
      findings.push(`token max TTL declared: ${String(tokenMaxTtl)} s; renewing gives ${String(longest)} s`);
    }
    return findings.length ? findings.join("; ") : undefined;
  });
  if (!token) return undefined;

  await loginsRefused(leases, persona, recorder, [
    ["used-up", secretId],
    ["wrong", "00000000-0000-0000-0000-000000000000"],
    ["missing", undefined],
  ]);
  return token;
}

/** Logins with a role id and a secret id that must not do. */
async function loginsRefused(
  leases: Leases,
  persona: ManifestPersona,
  recorder: Recorder,
  secretIds: readonly (readonly [string, string | undefined])[],
): Promise<void> {
  await recorder.check("login refused without secret id", async (check) => {
    const roleId = await leases.roleId(persona);
    const findings: string[] = [];
    for (const [what, secretId] of secretIds) {
      const answer = await leases.login(persona, roleId, secretId);
      check.noteAnswer(answer, `${what} secret id`);
      if (answer.body.auth) await leases.keepToken(persona, answer, roleId, "").revoke();
      if (answer.status !== 400)
        findings.push(`a ${what} secret id must be refused with HTTP 400, received ${String(answer.status)}`);
    }
    return findings.length ? findings.join("; ") : undefined;
  });
}

async function takeLease(scene: PersonaContext, holder: Holder): Promise<Lease | undefined> {
  const { persona, recorder } = holder;
  const { defaultTtl, maxTtl } = persona.databaseRole;
  const answer = await exerciseOwnCredentials(holder);
  let lease: Lease | undefined;
  await recorder.check("lease: login, id, duration", (check) => {
    check.noteAnswer(answer);
    lease = scene.leases.keep(answer);
    return Promise.resolve(
      lease.duration === defaultTtl
        ? undefined
        : `lease TTL declared: ${String(defaultTtl)} s; the lease has ${String(lease.duration)} s`,
    );
  });
  if (!lease) return undefined;
  const { username, duration, issuedAt } = lease;
  await recorder.check("VALID UNTIL the lease's end", async (check) => {
    const sql = `SELECT extract(epoch FROM rolvaliduntil - now())::float AS seconds FROM pg_roles WHERE rolname = ${literal(username)}`;
    const outcome = await scene.owner.attempt(sql, check);
    const seconds = "rows" in outcome ? outcome.rows[0]?.["seconds"] : undefined;
    if (typeof seconds !== "number") return "the leased role has no VALID UNTIL";
    const left = duration - (performance.now() - issuedAt) / 1000;
    check.note("VALID UNTIL, from now", `${seconds.toFixed(1)} s, of a lease that has ${left.toFixed(1)} s`);
    return Math.abs(seconds - left) <= SECONDS_OF_TOLERANCE
      ? undefined
      : `VALID UNTIL is ${seconds.toFixed(0)} s away, the lease's end ${left.toFixed(0)} s`;
  });
  await recorder.check("connection limit as declared", async (check) => {
    const { connectionLimit } = persona.databaseRole;
    const sql = `SELECT rolconnlimit AS limit FROM pg_roles WHERE rolname = ${literal(username)}`;
    const outcome = await scene.owner.attempt(sql, check);
    const limit = "rows" in outcome ? outcome.rows[0]?.["limit"] : undefined;
    return limit === connectionLimit
      ? undefined
      : `connection limit declared: ${String(connectionLimit)}; the login has ${limit === -1 ? "none" : String(limit)}`;
  });
  // Asks for more than there is: what comes back is the maximum.
  const renewed = await exerciseRenewal(holder, lease.id, maxTtl * 2);
  await recorder.check("lease max TTL", (check) => {
    check.noteAnswer(renewed);
    const longest = renewed.body.lease_duration ?? 0;
    return Promise.resolve(
      longest <= maxTtl && longest >= maxTtl - SECONDS_OF_TOLERANCE
        ? undefined
        : `lease max TTL declared: ${String(maxTtl)} s; renewing gives ${longest > 0 ? `${String(longest)} s` : `HTTP ${String(renewed.status)}`}`,
    );
  });
  return lease;
}

async function useAndRevoke(
  scene: PersonaContext,
  persona: ManifestPersona,
  lease: Lease,
  leftBehind: string | undefined,
  recorder: Recorder,
): Promise<void> {
  const { database, address, owner } = scene;
  const context = await leaseContext(scene, lease);
  await recorder.check("memberships as declared", (check) => {
    memberships(context, check);
    return Promise.resolve(undefined);
  });
  const session = await connect(context);
  if (session) {
    await useSession(context, session);
    await recorder.check("other declared databases refused", async (check) => {
      await otherDatabases(context, check);
      return undefined;
    });
    if (leftBehind) await session.attempt(`CREATE TABLE ${leftBehind} ${PROBE_COLUMNS}`);
  }

  await recorder.check("revoked: open session ended", async (check) => {
    const status = await lease.revoke();
    check.note(`POST sys/leases/revoke ${lease.id}`, `HTTP ${String(status)}`);
    if (!session) return "there was no session to end";
    const end = await session.waitForEnd();
    check.note("the open session", end);
    // A server that goes away ends every session.
    if (end !== SESSION_ENDED) await owner.query("SELECT");
    return end === SESSION_ENDED ? undefined : `the session must end with ${SESSION_ENDED}, it is ${end}`;
  });
  await session?.close();
  await recorder.check("revoked: login, role, lease gone", async (check) => {
    const refusal = await loginRefusal(address, database.name, lease);
    check.note(`login as ${lease.username}`, refusal ?? "logged in");
    if (!refusal || !LOGIN_REFUSED.includes(refusal))
      return `the login must be refused with ${LOGIN_REFUSED.join(" or ")}, received ${refusal ?? "a session"}`;
    const gone = await owner.attempt(
      `SELECT FROM pg_roles WHERE rolname = ${literal(lease.username)}`,
      check,
    );
    if (!("count" in gone) || gone.count !== 0) return `the role ${lease.username} is still there`;
    const renewal = await scene.leases.vault.request("POST", "sys/leases/renew", { lease_id: lease.id });
    check.noteAnswer(renewal);
    return renewal.status === 400
      ? undefined
      : `a revoked lease must be unknown to Vault (HTTP 400), received ${String(renewal.status)}`;
  });
  if (leftBehind) {
    const kept = await recorder.check("its objects are handed over", async (check) => {
      const sql = `SELECT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE oid = to_regclass(${literal(leftBehind)})`;
      const outcome = await owner.attempt(sql, check);
      const found = firstText(outcome, "owner");
      const heir = heirOf(database, persona);
      return found === heir
        ? undefined
        : `${leftBehind} must belong to ${heir}, it belongs to ${found ?? "nobody: it is gone"}`;
    });
    if (kept && persona.actsAsOwner) scene.left.push(probeTable(database.schemas[0]!, leftBehind));
  }
}

/** What the session can do, as it is and as what it can make of itself. */
async function useSession(leased: LeaseContext, session: Session): Promise<void> {
  const { recorder } = leased;
  await recorder.check("session: user, search path", (check) => startsAs(session, leased, check));
  const context: SessionContext = { ...leased, session, found: await exerciseMatrix(leased, session) };
  await recorder.check("nothing else granted or owned", async (check) => {
    await beyondMatrix(context, check);
    return undefined;
  });
  await recorder.check("no more after a change of role", async (check) => {
    await roleChanges(context, check);
    return undefined;
  });
}

/** The roles and the search path with which a session begins. */
async function startsAs(
  session: Session,
  { persona, database, lease }: LeaseContext,
  check: Check,
): Promise<string | undefined> {
  const outcome = await session.attempt(
    `SELECT current_user::pg_catalog.text AS "user", session_user::pg_catalog.text AS login, pg_catalog.current_setting('search_path') AS path, pg_catalog.quote_ident(${literal(database.schema)}) AS schema`,
    check,
  );
  const user = persona.actsAsOwner ? database.owner : lease.username;
  const findings: string[] = [];
  const expect = (what: string, declared: string, found = "nothing") => {
    if (found !== declared) findings.push(`${what} declared: ${declared}; found: ${found}`);
  };
  expect("user", user, firstText(outcome, "user"));
  expect("login", lease.username, firstText(outcome, "login"));
  expect("search path", firstText(outcome, "schema") ?? database.schema, firstText(outcome, "path"));
  return findings.length ? findings.join("; ") : undefined;
}
