import { setMaxListeners } from "node:events";
import { errorText, type VaultClient } from "../clients/vault-client";
import type { AccessManifest, ManifestDatabase } from "../manifest/schema";
import { EXPIRY } from "./checks";
import { verifyDatabase } from "./database";
import { CannotVerify, Ended, RunInterrupted } from "./errors";
import { verifyExpiry } from "./lifecycle/expiry";
import { loginMethod } from "./login/login";
import { Acceptance } from "./report/accepted";
import { isSelected, Recorder, type Selection } from "./report/recorder";
import { count, resultsOf, type Asked, type DatabaseReport, type Placed, type Report } from "./report/report";
import { LockWaits } from "./session/lock-waits";
import { newRun } from "./session/probes";
import type { PostgresAddress } from "./session/session";
import { Turns } from "./turns";
import type { StartApplication } from "./workloads/context";

export interface VerifyOptions {
  readonly manifest: AccessManifest;
  /** With the verifier's token. */
  readonly vault: VaultClient;
  /** Where a server of the manifest is, by its name. */
  readonly postgres: (server: string) => PostgresAddress;
  /** @default - every check */
  readonly selection?: Selection;
  /** @default - probe objects are made in the personas' schemas, and the workload runs */
  readonly readOnly?: boolean;
  /** @default - waits some five seconds for a lease to end by itself, while the other checks are made */
  readonly expiry?: boolean;
  /** @default - the application of a workload with a pool is not run, and its checks say so */
  readonly startApplication?: StartApplication;
  /** Ends the run after the step that is under way; what was made is taken away as always. */
  readonly signal?: AbortSignal;
  /** Of several databases each step says which of how many. */
  readonly onStep?: (step: string) => void;
}

/** What came of a database's checks, as they are made. */
export interface DatabaseRun {
  readonly database: ManifestDatabase;
  /** Of the database itself. */
  readonly recorder: Recorder;
  /** By persona. */
  readonly personas: Map<string, Recorder>;
  /** PostgreSQL's version. Undefined where it was not reached. */
  version?: string;
  /** What the run made and could not take away again. */
  readonly left: string[];
  /** To be known of the run, or of the database. */
  readonly remarks: string[];
}

/**
 * Logs in as each persona, leases a login, uses it, tries what it must not do, revokes it, and looks that nothing is left.
 * @throws CannotVerify when it can't begin; what happens later is in the report
 */
export async function verify(given: VerifyOptions): Promise<Report> {
  const locks = new LockWaits();
  const options = {
    ...given,
    postgres: (server: string) => ({ ...addressOf(given.postgres(server)), locks }),
  };
  const { manifest, vault, signal, onStep, selection = {} } = options;
  const start = performance.now();
  const without = manifest.databases.find(({ probes }) => probes === undefined);
  if (without) {
    throw new CannotVerify(
      `${without.name} declares no probe roles: set verification: true in its config and deploy`,
    );
  }
  for (const persona of manifest.databases.flatMap(({ personas }) => personas)) loginMethod(persona);
  const vaultServer = await preflight(vault);
  const standby = await vault.useActiveNode();
  const { pace } = vault.run;
  const id = newRun();
  const acceptance = new Acceptance(manifest.accepted);
  const runs: DatabaseRun[] = [];
  const came: { interrupted: boolean; unable?: CannotVerify } = { interrupted: false };

  const stop = new AbortController();
  const ended = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  // Each database's lease that ends by itself listens.
  setMaxListeners(0, ended);
  const begin = async (database: ManifestDatabase) => {
    const address = options.postgres(database.server);
    const recorder = new Recorder(selection);
    return {
      ...(await verifyExpiry(EXPIRY, { vault, address, database, signal: ended }, recorder)),
      database,
    };
  };
  const isExpiryWanted = options.expiry !== false && EXPIRY.some(({ id }) => isSelected(selection, id));
  // The leases example revokes whatever the probe role has leased: what is to end by itself is leased after it.
  const isAfter = ({ workload }: ManifestDatabase) => !options.readOnly && workload?.kind === "leases";
  const expiries: ReturnType<typeof begin>[] = [];
  const turns = new Turns();
  let onBegun!: () => void;
  const begun = new Promise<void>((resolve) => (onBegun = resolve));
  const total = manifest.databases.length;
  const verifyOne = async (database: ManifestDatabase, number: number) => {
    // Where the first one can't begin, none does.
    if (number > 1) await begun;
    const endTurn = await turns.take(database.server);
    try {
      if (came.unable) return;
      if (number > 1 && signal?.aborted) throw new RunInterrupted();
      const run: DatabaseRun = {
        ...{ database, recorder: new Recorder(selection), personas: new Map(), left: [], remarks: [] },
      };
      runs.push(run);
      if (isExpiryWanted && !isAfter(database)) expiries.push(begin(database));
      const of = total > 1 ? ` (database ${String(number)} of ${String(total)})` : "";
      const onStepOfIts = (step: string) => onStep?.(`${step}${of}`);
      const onRoom = (free: number) => {
        turns.allow(database.server, free);
        onBegun();
      };
      await verifyDatabase({ ...options, onStep: onStepOfIts }, run, id, acceptance, locks, onRoom).catch(
        (error: unknown) => {
          // Once others are verified, what they came to is told as well.
          if (error instanceof RunInterrupted || (error instanceof CannotVerify && number === 1)) throw error;
          if (!(error instanceof Ended)) run.recorder.broken(error);
        },
      );
      if (isExpiryWanted && isAfter(database)) expiries.push(begin(database));
    } catch (error) {
      if (error instanceof CannotVerify) came.unable = error;
      else if (error instanceof RunInterrupted) came.interrupted = true;
      else throw error;
    } finally {
      onBegun();
      endTurn();
    }
  };
  await Promise.all(manifest.databases.map((database, i) => verifyOne(database, i + 1)));
  const place = ({ database }: DatabaseRun) => manifest.databases.indexOf(database);
  runs.sort((a, b) => place(a) - place(b));
  if (came.unable || came.interrupted) stop.abort();
  if (!stop.signal.aborted && expiries.length > 0) onStep?.("a lease that nobody revokes ends by itself");
  const left = runs.flatMap((run) => run.left);
  for (const { database, recorder, left: stays } of await Promise.all(expiries)) {
    left.push(...stays);
    if (recorder) runs.find((run) => run.database === database)?.recorder.take(recorder);
    else came.interrupted = true;
  }
  const { unable, interrupted } = came;
  if (unable)
    throw left.length > 0 ? new CannotVerify(`${unable.message}; left behind: ${left.join(", ")}`) : unable;

  const databases = runs.map(reportOf);
  const asked: Asked = {
    ...selection,
    ...(options.readOnly && { readOnly: true }),
    ...(options.expiry === false && { expiry: false }),
  };
  const results = resultsOf({ databases });
  return {
    version: 2,
    environment: manifest.environment,
    asked,
    servers: { vault: vaultServer, postgres: runs.flatMap(({ version }) => version ?? []) },
    databases,
    remarks: [
      ...new Set(runs.flatMap((run) => run.remarks)),
      ...(pace.milliseconds === 0
        ? []
        : [
            `Vault's rate limit (HTTP 429) was waited for, ${(pace.milliseconds / 1000).toFixed(0)} s in all`,
          ]),
      ...(standby === undefined
        ? []
        : [
            `Vault at ${vault.address} is a standby's, whose answers may be behind, and the active node can't be asked (${standby}): set VAULT_ADDR to the active node's address`,
          ]),
      ...(asked.only || asked.skip ? [] : acceptance.unmet()).map(
        (accepted) => `accepted, and found nowhere in this run: ${accepted}`,
      ),
      ...notMade(selection, results).map((check) => `asked for, and not applicable in this run: ${check}`),
    ],
    left,
    interrupted,
    ...count(results.map(({ result }) => result)),
    milliseconds: performance.now() - start,
  };
}

/** A sandbox's server has more, behind getters. */
function addressOf({ host, port, ssl }: PostgresAddress): PostgresAddress {
  return { host, port, ssl };
}

/** Checks that were named and had nothing to look at. */
function notMade({ only = [], skip = [] }: Selection, results: readonly Placed[]): string[] {
  return only.filter((id) => !skip.includes(id) && !results.some(({ result }) => result.id === id));
}

function reportOf({ database, recorder, personas }: DatabaseRun): DatabaseReport {
  return {
    name: database.name,
    schemas: database.schemas.map(({ name }) => name),
    groups: recorder.groups,
    personas: [...personas].map(([name, { matrix, groups }]) => ({ name, matrix, groups })),
  };
}

async function preflight(vault: VaultClient): Promise<string> {
  const health = await vault.withToken().request("GET", "sys/health?standbyok=true&perfstandbyok=true");
  // https://developer.hashicorp.com/vault/api-docs/system/health
  if (health.status === 472)
    throw new CannotVerify(
      `Vault at ${vault.address} is a disaster recovery secondary, which serves no requests (HTTP 472): set VAULT_ADDR to the primary's address`,
    );
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
