import { LEASE, MEMBERSHIPS, POLICIES, REVOCATION, SESSION, SESSION_START } from "./checks";
import type { LeasedContext, LoggedInContext, PersonaContext, SessionContext } from "./context";
import { loginMethod } from "./login/login";
import { readAccess } from "./privileges/access";
import { brokenViews } from "./privileges/broken-views";
import { connect } from "./privileges/connect";
import { schemasToLeaveIn } from "./privileges/declared";
import { exerciseMatrix } from "./privileges/matrix";
import { remarkLocks, withFacts } from "./privileges/users-objects";
import { makeProbes, PROBE_COLUMNS, probeName, probeTable } from "./session/probes";
import { join, NO_TARGETS, ownObjects, type Target, type Targets } from "./session/targets";
import { exerciseEnds, exercisePaths } from "./vault/paths";
import { readPolicies } from "./vault/policies";

/** Everything about one persona: its way to a lease, the lease, its use, its end. */
export async function verifyPersona(context: PersonaContext): Promise<void> {
  const { persona, recorder, vault, owner } = context;
  await recorder.runAll(loginMethod(persona).persona, context);
  const { token } = context;
  if (!token) return;
  const policies = await readPolicies(vault, token.auth.policies);
  const loggedIn: LoggedInContext = { ...context, token, policies };
  await exercisePaths(loggedIn);
  await recorder.runAll(POLICIES, loggedIn);
  const tablesLeft = holdTables(context);
  await recorder.runAll(LEASE, loggedIn);
  const { lease } = loggedIn;
  if (lease) {
    const [targets, locked] = await withFacts(context, await targetsOf(context));
    // It has the grants on these as well.
    const access = await readAccess(owner, lease.username);
    const broken = await brokenViews({ ...context, access });
    await useAndRevoke({ ...loggedIn, lease, targets, locked, access, broken, tablesLeft });
  }
  await exerciseEnds(loggedIn);
  await token.revoke();
}

async function useAndRevoke(context: LeasedContext): Promise<void> {
  const { recorder, tablesLeft, locked } = context;
  remarkLocks(context, locked);
  await recorder.runAll(MEMBERSHIPS, context);
  const session = await connect(context);
  context.session = session;
  if (session) {
    await useSession({ ...context, session, found: { rows: [], causes: [] } });
    for (const { name } of tablesLeft)
      await session.attempt(`CREATE UNLOGGED TABLE ${name} ${PROBE_COLUMNS}`);
  }
  await recorder.runAll(REVOCATION, context);
  await session?.close();
}

/** What the session can do, as it is and as what it can make of itself. */
async function useSession(context: SessionContext): Promise<void> {
  const { recorder } = context;
  await recorder.runAll(SESSION_START, context);
  await exerciseMatrix(context);
  await recorder.runAll(SESSION, context);
}

/**
 * A persona that may create makes a table in each schema and leaves it. In custody before the lease is, since the owner can
 * only drop it once revocation has made it the owner's.
 */
function holdTables({ persona, database, owner, custody, run, readOnly }: PersonaContext): Target[] {
  if (readOnly) return [];
  return schemasToLeaveIn(database, persona).map((schema) => {
    const table = probeName(run, schema, `left_${String(database.personas.indexOf(persona))}`);
    custody.hold(`probe TABLE ${table}`, () => owner.query(`DROP TABLE IF EXISTS ${table}`));
    return probeTable(schema, table);
  });
}

/** What the persona's statements are about: probe objects from before the lease and after it, and the users' own. */
async function targetsOf(context: PersonaContext): Promise<Targets> {
  const { persona, database, readOnly, before, left } = context;
  const targets = [before, { ...NO_TARGETS, tables: left }, await ownObjects(context)];
  // Objects that come after the lease: what default privileges give.
  const when = `after_${String(database.personas.indexOf(persona))}`;
  if (!readOnly) targets.push(await makeProbes(context, when));
  return join(...targets);
}
