import { DatabaseError, escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { CannotVerify, Ended, Outage } from "../clients/outage";
import { oneLine } from "../clients/text";
import { VaultError, type VaultClient } from "../clients/vault-client";
import type { ManifestDatabase } from "../manifest/schema";
import { BEFORE, ROLES } from "./checks";
import type { DatabaseContext } from "./context";
import { verifyLife } from "./lifecycle/lifecycle";
import { verifyPersona } from "./persona";
import { otherRoles } from "./privileges/groups";
import type { Acceptance } from "./report/accepted";
import { Recorder } from "./report/recorder";
import { Custody } from "./session/custody";
import { Leases, type Lease } from "./session/leases";
import { makeGuarded, makeProbes, probePrefix } from "./session/probes";
import { LOGIN_REFUSED, loginRefusal, Session, type PostgresAddress } from "./session/session";
import { join, NO_TARGETS } from "./session/targets";
import type { DatabaseRun, VerifyOptions } from "./verify";
import { runWorkload } from "./workloads/workload";

/** Somebody ended the run. */
export class Interrupted extends Error {}

/** For taking away what was made, whatever does not answer. */
const CLEANUP_MILLISECONDS = 30_000;

/** An outage among the last checks: the report has it, and the rest is to be taken away all the same. */
function saidAlready(error: unknown): void {
  if (!(error instanceof Ended)) throw error;
}

/** Verifies one database and takes away what that made, whatever happens in between. */
export async function verifyDatabase(
  options: VerifyOptions,
  run: DatabaseRun,
  id: string,
  acceptance: Acceptance,
): Promise<void> {
  const { manifest, vault, readOnly = false, selection = {}, startApplication, signal, onStep } = options;
  const { database, recorder } = run;
  const address = options.postgres(database.server);
  const step = (text: string) => {
    if (signal?.aborted) throw new Interrupted();
    onStep?.(`${database.name}: ${text}`);
  };

  // The owner's lease comes first and goes last: its session drops the probe objects and looks what is left.
  const ownerCustody = new Custody();
  const custody = new Custody();
  const ownerLeases = new Leases(vault, ownerCustody);
  const leases = new Leases(vault, custody);
  let lease: Lease | undefined;
  let owner: Session | undefined;
  let outage = false;
  try {
    step("probe objects");
    lease = await ownerLeases
      .take(vault, database.vault.mount, database.probes!.owner)
      .catch((error: unknown) => {
        throw error instanceof VaultError || error instanceof Outage
          ? new CannotVerify(oneLine(error))
          : error;
      });
    owner = await openOwner(address, database, lease);
    const [server] = await owner.query<{ version: string; number: number }>(
      "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number",
    );
    run.version = server!.version;
    // Roles are global to a server, and CONNECT to a neighbour is nobody's.
    const neighbours = manifest.databases.filter(({ server }) => server === database.server);
    const bare: DatabaseContext = {
      environment: manifest.environment,
      ...{ database, address, vault, leases, custody, owner, run: id, acceptance, readOnly },
      before: NO_TARGETS,
      left: [],
      version: server!.number,
      roles: await otherRoles(owner, neighbours),
      databases: neighbours.map(({ name }) => name),
      ...{ startApplication, signal },
    };
    await recorder.runAll(BEFORE, bare);
    const context: DatabaseContext = readOnly
      ? bare
      : { ...bare, before: join(await makeProbes(bare, "before"), await makeGuarded(bare)) };

    step("roles and PUBLIC");
    await recorder.runAll(ROLES, context);
    if (!readOnly && database.workload) {
      step(`${database.workload.kind} example`);
      await runWorkload({ ...context, recorder, table: context.before.tables[0]!.name });
    }
    for (const persona of database.personas) {
      step(persona.name);
      const own = new Recorder(selection);
      run.personas.set(persona.name, own);
      await verifyPersona({ ...context, persona, recorder: own });
    }
    step("the life of a lease");
    await verifyLife(context, recorder);
  } catch (error) {
    outage = error instanceof Ended || error instanceof Outage;
    throw error;
  } finally {
    onStep?.(`${database.name}: taking away what was made`);
    const deadline = () => performance.now() + CLEANUP_MILLISECONDS;
    // What stays after an outage is named, and to look for it would only say so again.
    const isKnown = (stays: readonly string[]) => outage && stays.length > 0;
    const stays = await custody.releaseAll(deadline(), owner);
    if (owner && !isKnown(stays)) await nothingLeft(owner, database, id, leases, recorder).catch(saidAlready);
    await owner?.close();
    const ownerStays = await ownerCustody.releaseAll(deadline());
    run.left.push(...stays, ...ownerStays);
    if (lease && !isKnown(ownerStays))
      await ownerGone(vault, address, database, lease, recorder).catch(saidAlready);
  }
}

async function openOwner(
  address: PostgresAddress,
  database: ManifestDatabase,
  lease: Lease,
): Promise<Session> {
  return Session.open(address, database.name, lease, { catalogs: true }).catch((error: unknown) => {
    const where = `${address.host}:${String(address.port)}`;
    const reason = error instanceof Outage ? error.cause : error;
    // A server that says why is the right one.
    const hint = error instanceof Outage && reason instanceof DatabaseError ? "" : "; set PGHOST and PGPORT";
    throw new CannotVerify(
      `PostgreSQL at ${where} does not take the login ${lease.username}: ${oneLine(reason)}${hint}`,
    );
  });
}

/** PostgreSQL has no probe object and no leased role of this run, Vault no lease. */
async function nothingLeft(
  owner: Session,
  database: ManifestDatabase,
  run: string,
  leases: Leases,
  summary: Recorder,
): Promise<void> {
  await summary.check("nothing left: no probe object, leased role or lease", async (check) => {
    const [place, prefix] = [`${literal(ident(database.schema))}::regnamespace`, literal(probePrefix(run))];
    const objects = `SELECT relname AS name FROM pg_class WHERE relnamespace = ${place} AND starts_with(relname, ${prefix}) UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = ${place} AND starts_with(proname, ${prefix})`;
    const names = leases.taken.map(({ username }) => literal(username)).join(", ") || "NULL";
    const findings: string[] = [];
    for (const sql of [objects, `SELECT rolname AS name FROM pg_roles WHERE rolname IN (${names})`]) {
      const outcome = await owner.attempt(sql, check);
      if ("sqlstate" in outcome) findings.push(outcome.message);
      else findings.push(...outcome.rows.map(({ name }) => `${String(name)} is still there`));
    }
    for (const { id } of leases.taken) {
      const { status } = await leases.vault.request("POST", "sys/leases/renew", { lease_id: id });
      check.note(`POST sys/leases/renew ${id}`, `HTTP ${String(status)}`);
      if (status !== 400) findings.push(`Vault still knows the lease ${id}`);
    }
    return findings.length ? findings.join("; ") : undefined;
  });
}

/** The verifier's own login is gone as well. */
async function ownerGone(
  vault: VaultClient,
  address: PostgresAddress,
  database: ManifestDatabase,
  lease: Lease,
  summary: Recorder,
): Promise<void> {
  await summary.check("nothing left: the verifier's own lease", async (check) => {
    const refusal = await loginRefusal(address, database.name, lease);
    check.note(`login as ${lease.username}`, refusal ?? "logged in");
    if (refusal === undefined) return `the login ${lease.username} is still valid`;
    if (!LOGIN_REFUSED.includes(refusal)) return `the login ${lease.username} is refused with ${refusal}`;
    const answer = await vault.request(
      "LIST",
      `sys/leases/lookup/${database.vault.mount}/creds/${database.probes!.owner}/`,
    );
    check.note(`${answer.method} ${answer.path}`, `HTTP ${String(answer.status)}`);
    const ids = (answer.body.data?.["keys"] ?? []) as string[];
    if (answer.status !== 200 && answer.status !== 404)
      return `listing the probe role's leases: HTTP ${String(answer.status)}`;
    return ids.some((id) => lease.id.endsWith(`/${id}`))
      ? `Vault still lists the lease ${lease.id}`
      : undefined;
  });
}
