import { writeFileSync } from "node:fs";
import { Outage } from "../../clients/outage";
import { SetupError } from "../../clients/setup-error";
import { printable } from "../../clients/text";
import { errorText, VaultError, type VaultClient } from "../../clients/vault-client";
import { databaseRolesOf, groupRolesOf } from "../../manifest/names";
import type { ManifestDatabase } from "../../manifest/schema";
import { Deployment } from "../deployment/deployment";
import { lock } from "../deployment/lock";
import { checkVaultServes } from "../docker/preflight";
import { heldBy, markedLogins, type MarkedLogin } from "../postgres/marked-logins";
import { GRACE_SECONDS, hasEnded, judge, type Verdict } from "../postgres/orphaned-logins";
import { dropMarked } from "../postgres/sweep";
import { confirm } from "../terminal/ask";
import { runSteps, type Step } from "../terminal/progress";
import { issuedLeases, type IssuedLease } from "../vault/issued-leases";
import { revokeLeases } from "../vault/leases";
import { checkReportFile } from "../verification/report-file";

export interface SweepOptions {
  readonly env?: string;
  readonly autoApprove?: boolean;
  readonly json?: string;
}

/** A login that is not simply leased. */
interface Found extends Verdict {
  readonly database: ManifestDatabase;
  /** Objects, privileges, sessions, prepared transactions: a line for each place. */
  readonly heldBy: readonly string[];
  outcome: "listed" | "dropped" | "not dropped";
  /** Of one that was not dropped. */
  reason?: string;
}

/** A lease that has ended and that no revocation has taken out of Vault. */
interface EndedLease extends IssuedLease {
  outcome: "listed" | "revoked" | "not revoked";
  reason?: string;
}

interface Findings {
  readonly logins: readonly Found[];
  readonly leases: readonly EndedLease[];
  /** Why Vault's leases are not known, a line each. */
  readonly unread: readonly string[];
}

/** How many of the undecided are named. */
const NAMED = 3;

/** `leasehold sweep`. Returns the exit code. */
export async function sweep({ env, autoApprove, json }: SweepOptions, signal: AbortSignal): Promise<number> {
  if (json) checkReportFile(json);
  const release = lock("sweep");
  try {
    const deployment = await Deployment.openAside(env, signal);
    return await sweepDeployment(deployment, { autoApprove, json }, signal);
  } finally {
    release();
  }
}

/** @param grace see {@link GRACE_SECONDS} */
export async function sweepDeployment(
  deployment: Deployment,
  { autoApprove, json }: Omit<SweepOptions, "env">,
  signal: AbortSignal,
  grace = GRACE_SECONDS,
): Promise<number> {
  const { environment } = deployment.manifest;
  let findings!: Findings;
  await runSteps(
    [
      {
        title: "Compare the leased logins with Vault's leases",
        run: async (show) => {
          findings = await find(deployment, grace, signal, show.progress);
          show.title("Compared the leased logins with Vault's leases");
        },
      },
    ],
    signal,
  );
  const { logins, leases } = findings;
  const orphaned = logins.filter(({ state }) => state === "orphaned");
  try {
    console.log(`\n${listText(environment, findings)}`);
    if (orphaned.length + leases.length > 0) {
      const what = [
        ...(orphaned.length > 0 ? [`drop ${count(orphaned.length, "login")}`] : []),
        ...(leases.length > 0 ? [`revoke ${count(leases.length, "ended lease")}`] : []),
      ].join(" and ");
      const question = `${what[0]!.toUpperCase()}${what.slice(1)} of ${environment}.`;
      if (!autoApprove) await confirm(question, "nothing was dropped", signal);
      await end(deployment, findings, signal);
      for (const { database, login, reason } of orphaned.filter(({ outcome }) => outcome === "not dropped"))
        console.log(`not dropped: ${login.name} of ${database.name}: ${reason!}`);
      for (const { id, reason } of leases.filter(({ outcome }) => outcome === "not revoked"))
        console.log(`not revoked: ${id}: ${reason!}`);
    }
  } finally {
    if (json) writeFileSync(json, `${JSON.stringify(report(environment, findings), undefined, 2)}\n`);
  }
  const isDone =
    orphaned.every(({ outcome }) => outcome === "dropped") &&
    leases.every(({ outcome }) => outcome === "revoked") &&
    !logins.some(({ state }) => state === "powerful") &&
    !(findings.unread.length > 0 && logins.some(({ state }) => state === "undecided"));
  return isDone ? 0 : 1;
}

async function find(
  deployment: Deployment,
  grace: number,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<Findings> {
  const { environment, databases } = deployment.manifest;
  const logins: Found[] = [];
  const ended: EndedLease[] = [];
  const unread = new Set<string>();
  const issued = new Map<string, IssuedLease[]>();
  for (const database of databases) {
    signal.throwIfAborted();
    const { mount, mountExists } = database.vault;
    const superuser = deployment.superuserOf(database);
    // Before the leases: a login that is made in between has its lease by then, or is not looked at.
    const marked = await markedLogins(superuser, environment, database);
    let leases: IssuedLease[] | undefined;
    try {
      const vault = await operatorOf(deployment, database);
      leases =
        issued.get(mount) ??
        (await issuedLeases(
          vault,
          mount,
          mountExists ? rolesOn(deployment, mount) : undefined,
          signal,
          onProgress,
        ));
      issued.set(mount, leases);
    } catch (error) {
      if (![SetupError, VaultError, Outage].some((type) => error instanceof type)) throw error;
      unread.add((error as Error).message);
    }
    const [asked, unasked] = mountExists ? ofDeclaredGroups(database, marked) : [marked, []];
    const verdicts = [...judge(asked, leases, grace), ...judge(unasked, undefined, grace)].filter(
      ({ state }) => state !== "leased",
    );
    const held = await heldBy(
      superuser,
      verdicts.map(({ login }) => login.name),
    );
    for (const verdict of verdicts)
      logins.push({ ...verdict, database, heldBy: held.get(verdict.login.name)!, outcome: "listed" });
    // The mount may have others.
    const roles = databaseRolesOf(deployment.manifest, database);
    for (const lease of leases ?? [])
      if (roles.includes(lease.role) && hasEnded(lease, grace)) ended.push({ ...lease, outcome: "listed" });
  }
  return { logins, leases: ended, unread: [...unread] };
}

function rolesOn({ manifest }: Deployment, mount: string): string[] {
  return manifest.databases
    .filter(({ vault }) => vault.mount === mount)
    .flatMap((database) => databaseRolesOf(manifest, database));
}

/** Those whose leases are asked for by their declared roles, and those of roles that the config no longer has. */
function ofDeclaredGroups(
  database: ManifestDatabase,
  logins: readonly MarkedLogin[],
): [declared: MarkedLogin[], others: MarkedLogin[]] {
  const declared = groupRolesOf(database);
  const isDeclared = ({ groups }: MarkedLogin) => groups.some((group) => declared.includes(group));
  return [logins.filter(isDeclared), logins.filter((login) => !isDeclared(login))];
}

/** @throws SetupError where Vault can't tell which leases there are */
async function operatorOf(
  deployment: Deployment,
  { vault: { mount, connection } }: ManifestDatabase,
): Promise<VaultClient> {
  const vault = deployment.vault().withToken(deployment.token("operator"));
  await checkVaultServes(vault);
  const answer = await vault.request("GET", `${mount}/config/${connection}`);
  if (answer.status === 404)
    throw new SetupError(
      `Vault at ${vault.address} has no connection ${mount}/${connection}: it has not been deployed, or is another one`,
    );
  if (answer.status === 403)
    throw new SetupError(
      `Vault at ${vault.address} rejects the operator's token (HTTP 403: ${errorText(answer)}): run npx leasehold init`,
    );
  if (answer.status >= 400) throw new VaultError(answer);
  return vault;
}

/** Each login wholly, or not at all: an interrupt waits for the one at hand. */
async function end(deployment: Deployment, { logins, leases }: Findings, signal: AbortSignal): Promise<void> {
  const orphaned = logins.filter(({ state }) => state === "orphaned");
  const dropLogins: Step = {
    title: "Drop the logins",
    run: async (show) => {
      for (const found of orphaned) {
        signal.throwIfAborted();
        found.reason = (await dropMarked(deployment, found.database, found.login))?.message;
        found.outcome = found.reason === undefined ? "dropped" : "not dropped";
        show.progress(`${found.outcome}: ${found.login.name}`);
      }
      const dropped = orphaned.filter(({ outcome }) => outcome === "dropped");
      show.title(`Dropped ${count(dropped.length, "login")}`);
    },
  };
  // Of a login that is gone a revocation succeeds, and Vault forgets the lease.
  const revokeEnded: Step = {
    title: "Revoke the leases that have ended",
    run: async (show) => {
      for (const lease of leases) {
        signal.throwIfAborted();
        try {
          await revokeLeases(deployment, lease.id);
          lease.outcome = "revoked";
        } catch (error) {
          if (!(error instanceof SetupError)) throw error;
          lease.outcome = "not revoked";
          lease.reason = error.message;
        }
      }
      const revoked = leases.filter(({ outcome }) => outcome === "revoked");
      show.title(`Revoked ${count(revoked.length, "ended lease")}`);
    },
  };
  const steps = [...(orphaned.length > 0 ? [dropLogins] : []), ...(leases.length > 0 ? [revokeEnded] : [])];
  await runSteps(steps, signal);
}

function listText(environment: string, { logins, leases, unread }: Findings): string {
  const lines: string[] = unread.map((reason) => `Which leases there are is not known: ${reason}`);
  const of = (state: Verdict["state"]) => logins.filter((found) => found.state === state);
  const orphaned = of("orphaned");
  if (orphaned.length > 0) lines.push("Logins that no lease stands for:", ...orphaned.flatMap(loginText));
  if (leases.length > 0)
    lines.push(
      "Leases that have ended and that Vault could not revoke:",
      ...leases.map(({ id, secondsLeft }) => `  ${id}, ${String(Math.round(-secondsLeft / 60))} min ago`),
    );
  const undecided = of("undecided");
  if (undecided.length > 0) {
    lines.push(
      "Logins that a lease may stand for, which stay until their VALID UNTIL has passed:",
      ...undecided.slice(0, NAMED).flatMap(loginText),
    );
    if (undecided.length > NAMED)
      lines.push(`  and ${String(undecided.length - NAMED)} more (--json names all)`);
  }
  const powerful = of("powerful");
  if (powerful.length > 0)
    lines.push("Marked as leased, and never touched: look who made these:", ...powerful.flatMap(loginText));
  if (lines.length === 0)
    lines.push(`Nothing to do: a lease stands for each leased login of ${environment}.`);
  return lines.join("\n");
}

function loginText({ database, login, why, heldBy: held, state }: Found): string[] {
  const rest = state === "orphaned" ? (held.length > 0 ? held : ["nothing holds it"]) : [];
  return [`  ${login.name} (${printable(database.name)}): ${why}`, ...rest.map((line) => `      ${line}`)];
}

function report(environment: string, { logins, leases, unread }: Findings): object {
  return {
    version: 1,
    environment,
    unread,
    logins: logins.map(({ database, login, state, why, heldBy: held, outcome, reason }) => ({
      database: database.name,
      name: login.name,
      validUntil: login.until,
      ...{ state, why, heldBy: held, outcome, reason },
    })),
    leases: leases.map(({ id, secondsLeft, outcome, reason }) => ({
      id,
      endedSecondsAgo: -secondsLeft,
      ...{ outcome, reason },
    })),
  };
}

function count(number: number, noun: string): string {
  return `${String(number)} ${noun}${number === 1 ? "" : "s"}`;
}
