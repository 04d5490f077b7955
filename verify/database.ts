import { DatabaseError } from "pg";
import { Outage } from "../clients/outage";
import { few, oneLine } from "../clients/text";
import { sessionRemedy, tooOld } from "../clients/session-refusal";
import { VaultError } from "../clients/vault-client";
import type { ManifestDatabase } from "../manifest/schema";
import {
  BEFORE,
  LIFECYCLE,
  NOTHING_LEFT,
  OF_PERSONAS,
  OWN_LEASE_GONE,
  ROLES,
  workloadChecks,
} from "./checks";
import type { DatabaseContext } from "./context";
import { CannotVerify, Ended, RunInterrupted } from "./errors";
import { readClocks } from "./lifecycle/clocks";
import { verifyPersona } from "./persona";
import { otherRoles } from "./privileges/groups";
import type { Acceptance } from "./report/accepted";
import { Recorder } from "./report/recorder";
import { Custody } from "./session/custody";
import { Leases, type Lease } from "./session/leases";
import type { LockWaits } from "./session/lock-waits";
import { actsAs, eventTriggers, loginTriggers, makeGuarded, makeProbes } from "./session/probes";
import { Session, type PoolMode, type PostgresAddress } from "./session/session";
import { join, NO_TARGETS } from "./session/targets";
import type { DatabaseRun, VerifyOptions } from "./verify";

/** For taking away what was made, whatever does not answer. */
const CLEANUP_MILLISECONDS = 30_000;

/** Of an outage among the last checks the report has the finding, and the rest is to be taken away all the same. */
function rethrowUnlessReported(error: unknown): void {
  if (!(error instanceof Ended)) throw error;
}

/** Verifies one database and takes away what that made, whatever happens in between. */
export async function verifyDatabase(
  options: VerifyOptions,
  run: DatabaseRun,
  id: string,
  acceptance: Acceptance,
  lockWaits: LockWaits,
): Promise<void> {
  const { manifest, vault, selection = {}, startApplication, signal, onStep } = options;
  const { database, recorder } = run;
  let address = options.postgres(database.server);
  const step = (text: string) => {
    if (signal?.aborted) throw new RunInterrupted();
    onStep?.(`${database.name}: ${text}`);
  };

  // The owner's lease comes first and goes last: its session drops the probe objects and looks what is left.
  const ownerCustody = new Custody(vault.run.pace.now);
  const custody = new Custody(vault.run.pace.now);
  const { mount } = database.vault;
  const ownerLeases = new Leases(vault, mount, ownerCustody);
  const leases = new Leases(vault, mount, custody);
  let lease: Lease | undefined;
  let owner: Session | undefined;
  let outage = false;
  try {
    step("probe objects");
    lease = await ownerLeases.take(vault, database.probes!.owner).catch((error: unknown) => {
      if (!(error instanceof VaultError || error instanceof Outage)) throw error;
      const remedy = sessionRemedy(error.message, undefined, "deploy with tls: true of the server");
      throw new CannotVerify(`${oneLine(error)}${remedy === undefined ? "" : `; of PostgreSQL: ${remedy}`}`);
    });
    owner = await openOwner(address, database, lease);
    address = { ...address, pooler: await owner.poolMode() };
    if (address.pooler) run.remarks.push(poolerText(address, address.pooler));
    const [server] = await owner.query<{ version: string; number: number; standby: boolean }>(
      `SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
         pg_is_in_recovery() AS standby`,
    );
    run.version = server!.version;
    const where = `PostgreSQL at ${address.host}:${String(address.port)}`;
    const old = tooOld(where, server!.number);
    if (old !== undefined) throw new CannotVerify(old);
    if (server!.standby)
      throw new CannotVerify(
        `${where} is a standby, which is behind and where nothing can be made: set PGHOST and PGPORT to the primary's`,
      );
    const triggers = options.readOnly ? [] : await eventTriggers(owner);
    const readOnly = options.readOnly === true || triggers.length > 0;
    if (triggers.length > 0)
      run.remarks.push(
        `${database.name}: nothing is made, since it would run ${few(triggers)}: the catalogs tell, as with --read-only`,
      );
    const atLogin = await loginTriggers(owner);
    if (atLogin.length > 0)
      run.remarks.push(
        `${database.name}: each login runs ${few(atLogin)}, a leased one and verify's own too`,
      );
    // Roles are global to a server, and CONNECT to a neighbour is nobody's.
    const neighbours = manifest.databases.filter(({ server }) => server === database.server);
    const bare: DatabaseContext = {
      environment: manifest.environment,
      ...{ database, address, vault, leases, custody, owner, run: id, acceptance, readOnly, lockWaits },
      remarked: new Set(),
      remark: (text) => run.remarks.push(`${database.name}: ${text}`),
      before: NO_TARGETS,
      left: [],
      version: server!.number,
      clocks: await readClocks(vault, owner),
      roles: await otherRoles(owner, neighbours),
      databases: neighbours,
      otherDatabases: manifest.servers.find(({ name }) => name === database.server)?.otherDatabases ?? "keep",
      ...{ startApplication, signal },
    };
    await recorder.runAll(BEFORE, bare);
    const context: DatabaseContext = readOnly
      ? bare
      : { ...bare, before: join(await makeProbes(bare, "before"), await makeGuarded(bare)) };

    step("roles and PUBLIC");
    await recorder.runAll(ROLES, context);
    const { workload } = database;
    if (!readOnly && workload && recorder.wantsAny(workloadChecks(workload.kind))) {
      step(`${workload.kind} example`);
      const table = context.before.tables[0]!.name;
      await recorder.runAll(workloadChecks(workload.kind), { ...context, workload, table });
    }
    for (const persona of database.personas) {
      const own = new Recorder(selection);
      run.personas.set(persona.name, own);
      if (!own.wantsAny(OF_PERSONAS)) continue;
      step(persona.name);
      await verifyPersona({ ...context, persona, recorder: own });
    }
    if (recorder.wantsAny(LIFECYCLE)) {
      step("the life of a lease");
      await recorder.runAll(LIFECYCLE, { ...context, loggedIn: [] });
    }
  } catch (error) {
    outage = error instanceof Ended || error instanceof Outage;
    throw error;
  } finally {
    onStep?.(`${database.name}: taking away what was made`);
    // What stays after an outage is named, and to look for it would only say so again.
    const isKnown = (stays: readonly string[]) => outage && stays.length > 0;
    const stays = await custody.releaseAll(CLEANUP_MILLISECONDS, owner);
    if (owner && !isKnown(stays))
      await recorder.run(NOTHING_LEFT, { owner, vault, leases, run: id }).catch(rethrowUnlessReported);
    await owner?.close();
    const ownerStays = await ownerCustody.releaseAll(CLEANUP_MILLISECONDS);
    run.left.push(...stays, ...ownerStays);
    if (lease && !isKnown(ownerStays))
      await recorder.run(OWN_LEASE_GONE, { vault, address, database, lease }).catch(rethrowUnlessReported);
  }
}

function poolerText({ host, port }: PostgresAddress, mode: PoolMode): string {
  const left =
    mode === "session"
      ? ""
      : "; that the server ended a session, which is the pooler's in this mode, can't be told, so that the catalogs and a new login tell whether access has ended";
  return `a connection pooler in ${mode} mode answers at ${host}:${String(port)}: what refuses a login there is its own word (08P01), which stands here as PostgreSQL's code, and logins to other databases and reconnecting clients are not tried${left}; set PGHOST and PGPORT to the server itself to try all`;
}

/** PostgreSQL says of a login past its VALID UNTIL what it says of a wrong password. */
function anotherServer({ duration, date }: Lease): string {
  const clock =
    date === undefined
      ? ""
      : `; or set its clock, where it is more than the lease's ${String(duration)} s ahead of Vault's, which says ${new Date(date).toISOString()}`;
  return `set PGHOST and PGPORT${clock}`;
}

async function openOwner(
  address: PostgresAddress,
  database: ManifestDatabase,
  lease: Lease,
): Promise<Session> {
  // Of several owners none may look into the others' schemas, and the login may do what each of them may.
  const asItself = actsAs(database) === undefined;
  return Session.open(address, database.name, lease, { catalogs: true, asItself }).catch((error: unknown) => {
    throw new CannotVerify(
      `PostgreSQL at ${address.host}:${String(address.port)} ${refusalText(error instanceof Outage ? error.cause : error, lease)}`,
    );
  });
}

function refusalText(reason: unknown, lease: Lease): string {
  const words = oneLine(reason);
  if (!(reason instanceof DatabaseError)) return `can't be reached: ${words}; set PGHOST and PGPORT`;
  const encrypt = "set PGSSLMODE to verify-full, and PGSSLROOTCERT";
  const remedy = sessionRemedy(reason.message, reason.code, encrypt);
  if (remedy === undefined) return `rejects the login ${lease.username}: ${words}; ${anotherServer(lease)}`;
  return `refuses a session (${reason.code!}: ${words}): ${remedy}`;
}
