import { Acceptance } from "./report/accepted";
import { DatabaseError, escapeIdentifier as ident, escapeLiteral as literal } from "pg";
import { Custody } from "./session/custody";
import { expire } from "./lifecycle/expiry";
import { leasedLogins } from "./privileges/leased-logins";
import { Leases, type Lease } from "./session/leases";
import { verifyLife } from "./lifecycle/lifecycle";
import { managerLogin } from "./privileges/manager-login";
import type { AccessManifest, ManifestDatabase } from "../manifest/schema";
import { CannotVerify, Ended, Outage } from "../clients/outage";
import { overloads } from "./privileges/overloads";
import { verifyPersona, type Scene } from "./persona";
import { groupMembers, groupRoles, otherRoles, probeLeases, schemaOwner } from "./privileges/groups";
import {
  dropStaleProbes,
  join,
  makeProbes,
  makeGuarded,
  newRun,
  NO_TARGETS,
  probePrefix,
} from "./session/probes";
import { listed, oneLine, Recorder, type Check, type Report } from "./report/report";
import { LOGIN_REFUSED, loginRefusal, Session, type PostgresAddress } from "./session/session";
import { errorText, VaultError, type VaultClient } from "../clients/vault-client";
import { grantsToUndeclared, publicAccess } from "./privileges/undeclared";
import type { StartApplication } from "./workloads/context";
import { runWorkload } from "./workloads/workload";

export interface VerifyOptions {
  readonly manifest: AccessManifest;
  /** With the verifier's token. */
  readonly vault: VaultClient;
  /** Where a server of the manifest is, by its name. */
  readonly postgres: (server: string) => PostgresAddress;
  /** @default - probe objects are made in the personas' schemas, and the workload runs */
  readonly readOnly?: boolean;
  /** @default - waits some five seconds for a lease to end by itself, while the other checks are made */
  readonly expiry?: boolean;
  /** @default - the application of a workload with a pool is not run, and its checks say so */
  readonly startApplication?: StartApplication;
  /** Ends the run after the step that is under way; what was made is taken away as always. */
  readonly signal?: AbortSignal;
  readonly onStep?: (step: string) => void;
}

class Interrupted extends Error {}

/** For taking away what was made, whatever does not answer. */
const CLEANUP_MILLISECONDS = 30_000;

/** An outage among the last checks: the report has it, and the rest is to be taken away all the same. */
function saidAlready(error: unknown): void {
  if (!(error instanceof Ended)) throw error;
}

/**
 * Logs in as each persona, leases a login, uses it, tries what it must not do, revokes it, and looks that nothing is left.
 * @throws CannotVerify when it can't begin; what happens later is in the report
 */
export async function verify(options: VerifyOptions): Promise<Report> {
  const { manifest, vault, signal, onStep } = options;
  const start = performance.now();
  const without = manifest.databases.find(({ probes }) => probes === undefined);
  if (without) {
    throw new CannotVerify(
      `${without.name} declares no probe roles: set verification: true in its config and deploy`,
    );
  }
  const vaultServer = await preflight(vault);
  const run = newRun();
  const acceptance = new Acceptance(manifest.accepted);
  const recorders: Recorder[] = [];
  const postgres: string[] = [];
  const left: string[] = [];
  let interrupted = false;
  let unable: CannotVerify | undefined;

  const stop = new AbortController();
  const begin = (database: ManifestDatabase) =>
    expire(
      vault,
      options.postgres(database.server),
      database,
      signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
    );
  // The leases example revokes whatever the probe role has leased: what is to end by itself is leased after it.
  const isAfter = ({ workload }: ManifestDatabase) => !options.readOnly && workload?.kind === "leases";
  const waited = manifest.databases.filter(({ probes }) => probes && options.expiry !== false);
  const expiries = waited.filter((database) => !isAfter(database)).map(begin);
  for (const database of manifest.databases) {
    try {
      postgres.push(await verifyDatabase(options, database, run, acceptance, recorders, left));
    } catch (error) {
      // Once others are verified, what they came to is told as well.
      if (error instanceof CannotVerify && database === manifest.databases[0]) {
        unable = error;
        break;
      }
      if (error instanceof Interrupted) {
        interrupted = true;
        break;
      }
      if (error instanceof Ended) continue;
      const broken = new Recorder(database.name);
      recorders.push(broken);
      await broken.check("the run", () => Promise.resolve(oneLine(error)));
    }
  }
  if (unable || interrupted) stop.abort();
  else expiries.push(...waited.filter(isAfter).map(begin));
  if (!stop.signal.aborted && expiries.length > 0) onStep?.("a lease that nobody revokes ends by itself");
  for (const expiry of await Promise.all(expiries)) {
    left.push(...expiry.left);
    if (expiry.recorder) recorders.push(expiry.recorder);
    else interrupted = true;
  }
  if (unable)
    throw left.length > 0 ? new CannotVerify(`${unable.message}; left behind: ${left.join(", ")}`) : unable;

  const cells = recorders.flatMap((recorder) => recorder.cells);
  const checks = recorders.flatMap((recorder) => recorder.checks);
  const all = [...cells, ...checks];
  const failed = all.filter(({ held }) => !held).length;
  return {
    version: 1,
    environment: manifest.environment,
    servers: { vault: vaultServer, postgres },
    cells,
    checks,
    remarks: [
      ...checks.flatMap(remarksOf),
      ...acceptance.unmet().map((id) => `accepted, and found nowhere in this run: ${id}`),
    ],
    left,
    interrupted,
    passed: all.length - failed,
    failed,
    milliseconds: performance.now() - start,
  };
}

function remarksOf({ database, persona, name, evidence }: Check): string[] {
  const where = [database, persona].filter(Boolean).join(" ");
  return evidence.filter(({ isRemark }) => isRemark).map(({ got }) => `${where}: ${name}: ${got}`);
}

/** Verifies one database and takes away what that made, whatever happens in between. Returns PostgreSQL's version. */
async function verifyDatabase(
  options: VerifyOptions,
  database: ManifestDatabase,
  run: string,
  acceptance: Acceptance,
  recorders: Recorder[],
  left: string[],
): Promise<string> {
  const { vault, readOnly = false, onStep } = options;
  const address = options.postgres(database.server);
  const { probes, vault: at } = database;
  const summary = new Recorder(database.name);
  recorders.push(summary);
  const step = (text: string) => {
    if (options.signal?.aborted) throw new Interrupted();
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
    lease = await ownerLeases.take(vault, at.mount, probes!.owner).catch((error: unknown) => {
      throw error instanceof VaultError || error instanceof Outage ? new CannotVerify(oneLine(error)) : error;
    });
    owner = await openOwner(address, database, lease);
    const [server] = await owner.query<{ version: string; number: number }>(
      "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number",
    );
    const asker = owner;
    await summary.check("Vault's own login: attributes, memberships, settings", (evidence) =>
      managerLogin(asker, database, evidence),
    );
    await summary.check("the schema is the owner's", (evidence) => schemaOwner(asker, database, evidence));
    if (!readOnly)
      await summary.check("nothing left of runs that were killed", async (evidence) =>
        listed(await dropStaleProbes(asker, database), evidence),
      );
    const prefix = probePrefix(run);
    const before = readOnly
      ? NO_TARGETS
      : join(
          await makeProbes(owner, custody, database, prefix, "before"),
          await makeGuarded(owner, custody, database, prefix),
        );
    // Roles are global to a server, and CONNECT to a neighbour is nobody's.
    const neighbours = options.manifest.databases.filter(({ server }) => server === database.server);
    const scene: Scene = {
      ...{ database, address, leases, custody, owner, run, before, readOnly },
      left: [],
      version: server!.number,
      roles: await otherRoles(owner, neighbours),
      databases: neighbours.map(({ name }) => name),
      acceptance,
    };

    step("roles and PUBLIC");
    await summary.check("PUBLIC has nothing", (evidence) =>
      publicAccess(asker, database, acceptance, evidence),
    );
    await summary.check("roles that are not declared have nothing", (evidence) =>
      grantsToUndeclared(asker, database, acceptance, evidence),
    );
    await summary.check("nothing has the name of PostgreSQL's own", (evidence) =>
      overloads(asker, database, acceptance, evidence),
    );
    await summary.check("group roles as declared", (evidence) => groupRoles(asker, database, evidence));
    await summary.check("group roles hold leased logins alone", (evidence) =>
      groupMembers(asker, database, evidence),
    );
    await summary.check("leased logins as a lease makes them", (evidence) =>
      leasedLogins(asker, options.manifest.environment, database, evidence),
    );
    await summary.check("probe leases and their logins agree", (evidence) =>
      probeLeases(asker, vault, database, evidence),
    );

    if (!readOnly && database.workload) {
      step(`${database.workload.kind} example`);
      const { startApplication, signal } = options;
      const table = before.tables[0]!.name;
      const shared = { database, address, leases, custody, owner, recorder: summary };
      await runWorkload({ ...shared, table, startApplication, signal });
    }
    for (const persona of database.personas) {
      step(persona.name);
      const recorder = new Recorder(database.name, persona.name);
      recorders.push(recorder);
      await verifyPersona(scene, persona, recorder);
    }
    step("the life of a lease");
    await verifyLife(scene, summary);
    return server?.version ?? "unknown version";
  } catch (error) {
    outage = error instanceof Ended || error instanceof Outage;
    throw error;
  } finally {
    onStep?.(`${database.name}: taking away what was made`);
    const deadline = () => performance.now() + CLEANUP_MILLISECONDS;
    // What stays after an outage is named, and to look for it would only say so again.
    const isKnown = (stays: readonly string[]) => outage && stays.length > 0;
    const stays = await custody.releaseAll(deadline(), owner);
    if (owner && !isKnown(stays)) await nothingLeft(owner, database, run, leases, summary).catch(saidAlready);
    await owner?.close();
    const ownerStays = await ownerCustody.releaseAll(deadline());
    left.push(...stays, ...ownerStays);
    if (lease && !isKnown(ownerStays))
      await ownerGone(vault, address, database, lease, summary).catch(saidAlready);
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
  await summary.check("nothing left: no probe object, leased role or lease", async (evidence) => {
    const [place, prefix] = [`${literal(ident(database.schema))}::regnamespace`, literal(probePrefix(run))];
    const objects = `SELECT relname AS name FROM pg_class WHERE relnamespace = ${place} AND starts_with(relname, ${prefix}) UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = ${place} AND starts_with(proname, ${prefix})`;
    const names = leases.taken.map(({ username }) => literal(username)).join(", ") || "NULL";
    const findings: string[] = [];
    for (const sql of [objects, `SELECT rolname AS name FROM pg_roles WHERE rolname IN (${names})`]) {
      const outcome = await owner.attempt(sql, evidence);
      if ("sqlstate" in outcome) findings.push(outcome.message);
      else findings.push(...outcome.rows.map(({ name }) => `${String(name)} is still there`));
    }
    for (const { id } of leases.taken) {
      const { status } = await leases.vault.request("POST", "sys/leases/renew", { lease_id: id });
      evidence.push({ sent: `POST sys/leases/renew ${id}`, got: `HTTP ${String(status)}` });
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
  await summary.check("nothing left: the verifier's own lease", async (evidence) => {
    const refusal = await loginRefusal(address, database.name, lease);
    evidence.push({ sent: `login as ${lease.username}`, got: refusal ?? "logged in" });
    if (refusal === undefined) return `the login ${lease.username} is still valid`;
    if (!LOGIN_REFUSED.includes(refusal)) return `the login ${lease.username} is refused with ${refusal}`;
    const answer = await vault.request(
      "LIST",
      `sys/leases/lookup/${database.vault.mount}/creds/${database.probes!.owner}/`,
    );
    evidence.push({ sent: `${answer.method} ${answer.path}`, got: `HTTP ${String(answer.status)}` });
    const ids = (answer.body.data?.["keys"] ?? []) as string[];
    if (answer.status !== 200 && answer.status !== 404)
      return `listing the probe role's leases: HTTP ${String(answer.status)}`;
    return ids.some((id) => lease.id.endsWith(`/${id}`))
      ? `Vault still lists the lease ${lease.id}`
      : undefined;
  });
}

async function preflight(vault: VaultClient): Promise<string> {
  const health = await vault.withToken().request("GET", "sys/health?standbyok=true&perfstandbyok=true");
  const { initialized, sealed, version } = health.body as {
    initialized?: boolean;
    sealed?: boolean;
    version?: string;
  };
  if (initialized === false)
    throw new CannotVerify(
      `Vault at ${vault.address} is not initialised: run npx leasehold init, or vault operator init`,
    );
  if (sealed)
    throw new CannotVerify(
      `Vault at ${vault.address} is sealed: run npx leasehold init, or vault operator unseal`,
    );
  const self = await vault.request("GET", "auth/token/lookup-self");
  if (self.status >= 400) {
    throw new CannotVerify(
      `Vault at ${vault.address} refuses the token: ${errorText(self)}; set VAULT_TOKEN to a token with the verifier's policy`,
    );
  }
  return version ?? "unknown version";
}
