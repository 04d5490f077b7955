import { escapeIdentifier as ident } from "pg";
import { LEASE, MEMBERSHIPS, POLICIES, REVOCATION, SESSION, SESSION_START } from "./checks";
import type { LeasedContext, LoggedInContext, PersonaContext, SessionContext } from "./context";
import { loginMethod } from "./login/login";
import { readAccess } from "./privileges/catalogs";
import { connect } from "./privileges/connect";
import { exercise } from "./privileges/matrix";
import { columnsOf, OF_ANOTHER_ROLE, type Place } from "./privileges/rows";
import type { Lease } from "./session/leases";
import {
  join,
  makeProbes,
  NO_TARGETS,
  ownObjects,
  PROBE_COLUMNS,
  probePrefix,
  withStray,
} from "./session/probes";
import { exercisePaths } from "./vault/paths";
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
  const tableLeft = holdTable(context);
  await recorder.runAll(LEASE, loggedIn);
  const { lease } = loggedIn;
  if (lease) {
    const place = await placeOf(context, lease);
    const access = await readAccess(owner, lease.username);
    await useAndRevoke({ ...loggedIn, lease, place, access, tableLeft });
  }
  await token.revoke();
}

async function useAndRevoke(context: LeasedContext): Promise<void> {
  const { recorder, owner, address, lease, place, access, tableLeft } = context;
  await recorder.runAll(MEMBERSHIPS, context);
  const session = await connect(owner, address, lease, place, access, recorder);
  context.session = session;
  if (session) {
    await useSession({ ...context, session, shown: { privileges: [], causes: [] } });
    if (tableLeft) await session.attempt(`CREATE TABLE ${tableLeft} ${PROBE_COLUMNS}`);
  }
  await recorder.runAll(REVOCATION, context);
  await session?.close();
}

/** What the session can do, as it is and as what it can make of itself. */
async function useSession(context: SessionContext): Promise<void> {
  const { recorder, owner, custody, session, access, place, database } = context;
  await recorder.runAll(SESSION_START, context);
  const parties = { session, asker: owner, access };
  context.shown = await exercise(parties, place, columnsOf(place.version), recorder);
  if (!place.readOnly)
    await withStray(owner, custody, database, place.prefix, (stray) =>
      exercise(parties, { ...place, targets: stray }, [OF_ANOTHER_ROLE], recorder),
    );
  await recorder.runAll(SESSION, context);
}

/**
 * A persona that may create makes a table and leaves it. In custody before the lease is, since the owner can only drop it
 * once revocation has made it the owner's.
 */
function holdTable({ persona, database, owner, custody, run, readOnly }: PersonaContext): string | undefined {
  if (readOnly || !persona.privileges.schema.includes("CREATE")) return undefined;
  const table = `${ident(database.schema)}.${ident(`${probePrefix(run)}left_${String(database.personas.indexOf(persona))}`)}`;
  custody.hold(`probe TABLE ${table}`, () => owner.query(`DROP TABLE IF EXISTS ${table}`));
  return table;
}

/** What the persona's statements are about: probe objects from before the lease and after it, and the users' own. */
async function placeOf(context: PersonaContext, lease: Lease): Promise<Place> {
  const { persona, database, owner, custody, version, roles, readOnly, run, before, left } = context;
  const prefix = probePrefix(run);
  const targets = [before, { ...NO_TARGETS, tables: left }, await ownObjects(owner, database)];
  // Objects that come after the lease: what default privileges give.
  const when = `after_${String(database.personas.indexOf(persona))}`;
  if (!readOnly) targets.push(await makeProbes(owner, custody, database, prefix, when));
  const login = lease.username;
  return { database, persona, targets: join(...targets), prefix, login, version, roles, readOnly };
}
