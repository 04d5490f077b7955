import { LEASE, MEMBERSHIPS, POLICIES, REVOCATION, SESSION, SESSION_START } from "./checks";
import type { LoggedInContext, PersonaContext } from "./context";
import { loginMethod } from "./login/login";
import { connect } from "./privileges/connect";
import { leaseContext, type LeaseContext } from "./privileges/context";
import { exerciseMatrix } from "./privileges/matrix";
import { PROBE_COLUMNS, probeName } from "./session/probes";
import { exercisePaths } from "./vault/paths";
import { readPolicies } from "./vault/policies";

/** Everything about one persona: its way to a lease, the lease, its use, its end. */
export async function verifyPersona(context: PersonaContext): Promise<void> {
  const { persona, recorder, vault } = context;
  await recorder.runAll(loginMethod(persona).persona, context);
  const { token } = context;
  if (!token) return;
  const policies = await readPolicies(vault, token.auth.policies);
  const loggedIn: LoggedInContext = { ...context, token, policies };
  await exercisePaths(loggedIn);
  await recorder.runAll(POLICIES, loggedIn);
  const tableLeft = holdTable(context);
  await recorder.runAll(LEASE, loggedIn);
  if (loggedIn.lease) await useAndRevoke(await leaseContext(context, loggedIn.lease), tableLeft);
  await token.revoke();
}

async function useAndRevoke(context: LeaseContext, tableLeft?: string): Promise<void> {
  const { recorder } = context;
  await recorder.runAll(MEMBERSHIPS, context);
  const session = await connect(context);
  if (session) {
    await recorder.runAll(SESSION_START, { ...context, session });
    const found = await exerciseMatrix(context, session);
    await recorder.runAll(SESSION, { ...context, session, found });
    if (tableLeft) await session.attempt(`CREATE TABLE ${tableLeft} ${PROBE_COLUMNS}`);
  }
  await recorder.runAll(REVOCATION, { ...context, session, tableLeft });
  await session?.close();
}

/**
 * A persona that may create makes a table and leaves it. In custody before the lease is, since the owner can only drop it
 * once revocation has made it the owner's.
 */
function holdTable(context: PersonaContext): string | undefined {
  const { persona, database, owner, custody, run, readOnly } = context;
  if (readOnly || !persona.privileges.schema.includes("CREATE")) return undefined;
  const number = String(database.personas.indexOf(persona));
  const table = probeName(run, database.schemas[0]!, `left_${number}`);
  custody.hold(`probe TABLE ${table}`, () => owner.query(`DROP TABLE IF EXISTS ${table}`));
  return table;
}
