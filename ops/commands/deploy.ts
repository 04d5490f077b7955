import { join } from "node:path";
import { SetupError } from "../../clients/setup-error";
import { few } from "../../clients/text";
import type { VaultClient } from "../../clients/vault-client";
import { explain } from "../terraform/explain";
import {
  databaseRolesOf,
  groupRolesOf,
  maintainRoleOf,
  maintainRolesOf,
  ownersOf,
} from "../../manifest/names";
import type { ManifestDatabase } from "../../manifest/schema";
import { Deployment, type Stack, type StateResource } from "../deployment/deployment";
import { prepareVault, vaultTarget } from "../vault/prepare";
import { adopt, findMarked } from "../postgres/leftover";
import { dropLogins, dropRoles, emptyGroups, markLeases } from "../postgres/leased-logins";
import { markedLogins } from "../postgres/marked-logins";
import { GRACE_SECONDS } from "../postgres/orphaned-logins";
import { sweepRevoked } from "../postgres/sweep";
import { leaseIds } from "../vault/issued-leases";
import { endLeasing, revokeLeases } from "../vault/leases";
import { handedOver } from "../deployment/handed-over";
import { lock } from "../deployment/lock";
import { equipManagers, managed } from "../postgres/manager-login";
import {
  adoptFunctions,
  checkLeaseSchema,
  closeLeaseSchema,
  dropEmptySchema,
  dropFunctions,
} from "../postgres/lease-functions";
import { freeMemberships, givePowers, takePowers } from "../postgres/manager-powers";
import { setManagerPasswords } from "../postgres/manager-password";
import { awaitHealthy, deployedPlatform, startStopped } from "../docker/platform";
import { checkMounts, checkOwners, checkSuperusers, checkVault, preflight } from "../docker/preflight";
import { findLockedOutLosses, findLosses, lossLines, type Loss } from "../postgres/losses";
import { closeOthers, reopenOthers } from "../postgres/other-databases";
import { forgetGoneTables } from "../postgres/named-tables";
import { checkMaintain, grantMaintain } from "../postgres/maintain";
import { recordOwners } from "../postgres/former-owners";
import { givePublicKept, recordPublic, takeLater } from "../postgres/public-privileges";
import { moveHomeRecord } from "../postgres/record";
import { spellSettings } from "../postgres/role-settings";
import { confirm } from "../terminal/ask";
import { runSteps, type StepOutput, type Step } from "../terminal/progress";
import { rotateDue } from "../vault/rotate";
import { accessText, endLines, inPrivateFolder, planStacks, type StackPlan } from "./changes";
import { changesOf, checkCurrent, readPlan, type ApprovedChanges } from "./saved-plan";
import { checkOthers } from "../terraform/others";
import { changesBeyond, type PlannedChanges } from "../terraform/planned-changes";
import { changesText, TerraformError, type Changes, type Terraform } from "../terraform/terraform";

export interface DeployOptions {
  readonly env?: string;
  readonly autoApprove?: boolean;
  /** The folder of a plan that diff has saved: it is deployed as it was shown, unasked. */
  readonly plan?: string;
}

/** Brings up what the config declares; what is there already stays. Returns the exit code. */
export async function deploy(
  { env, autoApprove, plan }: DeployOptions,
  signal: AbortSignal,
): Promise<number> {
  const release = lock("deploy");
  try {
    let deployment!: Deployment;
    await runSteps(
      [
        {
          title: "Synthesize",
          run: async (show) => {
            deployment = await Deployment.open(env, signal);
            show.title("Synthesized");
          },
        },
        {
          title: "Check that everything needed is there",
          run: (show) => preflight(deployment, show.detail),
        },
      ],
      signal,
    );
    const approved = await approve(deployment, { autoApprove, plan }, signal);
    const { changed, steps } = deploySteps(deployment, approved);
    await runSteps(steps, signal);
    deployment.home.setDeployedAccess(deployment.access);
    console.log(
      changed.size > 0
        ? `\nDeployed ${deployment.manifest.environment}. Next: npx leasehold verify`
        : `\nNothing to do: ${deployment.manifest.environment} is as the config declares it.`,
    );
    return 0;
  } finally {
    release();
  }
}

/** What a deploy may do. */
interface Approved {
  /** Whether it may take something from others. */
  readonly loss: (loss: Loss) => boolean;
  /** What it may change, by stack. @default - what the config declares */
  readonly changes?: ApprovedChanges;
}

/**
 * Says what the deploy would change, for whom, and asks, where that is anything. Unasked, it goes on as the config declares, or as a
 * saved plan was shown, but for what others lose: the config has to accept that.
 * @throws SetupError where it is not approved
 */
async function approve(
  deployment: Deployment,
  { autoApprove = false, plan }: Pick<DeployOptions, "autoApprove" | "plan">,
  signal: AbortSignal,
): Promise<Approved> {
  const { accepted, environment } = deployment.manifest;
  const isAccepted = ({ id }: Loss) => accepted.some((one) => one.id === id);
  const saved = plan === undefined ? undefined : readPlan(plan, deployment);
  const losses = await reachableLosses(deployment);
  // Each stack's step plans as well, right before it applies.
  const isPlanned = !autoApprove || saved !== undefined;
  const plans = isPlanned ? await planStacks(deployment, "operator", signal, true) : [];
  const isNew = (await Promise.all(deployment.stacks.map((stack) => deployment.state(stack)))).every(
    (state) => state.length === 0,
  );
  const sections: [string, readonly string[]][] = [
    ["plan", plans.map(planLine)],
    ["access", [await accessText(deployment, isNew, "operator")]],
    ["what ends", await endLines(deployment, plans, "operator")],
    ["what others lose", lossLines(losses, accepted)],
  ];
  for (const [title, lines] of sections)
    if (lines.length > 0) console.log(`\n# ${title}\n${lines.join("\n")}`);
  console.log();
  if (saved) checkCurrent(plan!, saved, plans);
  const unaccepted = losses.filter((loss) => !isAccepted(loss));
  if (!autoApprove && !saved) {
    if (losses.length > 0 || plans.some(({ exitCode }) => exitCode !== 0))
      await confirm(`Deploy ${environment}.`, "nothing was deployed", signal);
    return {
      loss: (loss) => isAccepted(loss) || losses.some(({ id }) => id === loss.id),
      changes: changesOf(plans),
    };
  }
  if (unaccepted.length > 0)
    throw new SetupError(
      `${saved ? "--plan" : "--auto-approve"} does not take from others what config/${environment}.ts does not accept: ${unaccepted.map(({ id }) => id).join("; ")}: keep it as each line says, accept each by its id (docs/accepted.md), or deploy on a terminal, which asks; nothing was deployed`,
    );
  return { loss: isAccepted, changes: saved };
}

function planLine({ stack, text, exitCode, counts }: StackPlan): string {
  if (exitCode === 1) return `${stack}: can't be planned: ${text.replace(/^error: /, "")}`;
  return `${stack}: ${exitCode === 0 ? "no change" : (counts ?? "changes of outputs, or of the state alone")}`;
}

async function reachableLosses(deployment: Deployment): Promise<Loss[]> {
  try {
    return await findLosses(deployment);
  } catch (error) {
    // Containers that are still to be made, or started, have nobody else's logins; the steps look again.
    if (error instanceof SetupError && deployment.stack("platform")) return [];
    throw error;
  }
}

/** @throws SetupError with what nobody was asked about */
function refuseUnasked(losses: readonly Loss[], approved: Approved, deployment: Deployment): void {
  const unasked = losses.filter((loss) => !approved.loss(loss));
  if (unasked.length > 0)
    throw new SetupError(
      `${lossLines(unasked, deployment.manifest.accepted).join("\n")}\nRun the command again, which asks, or accept each by its id`,
    );
}

function deploySteps(deployment: Deployment, approved: Approved): { steps: Step[]; changed: Set<string> } {
  const changed = new Set<string>();
  let isUnmarked = false;
  const mark = async (show: StepOutput) => {
    for (const database of deployment.manifest.databases)
      for (const login of await markLeases(deployment, database))
        show.detail(`marked the login ${login}, which was leased before leases were marked`);
  };
  const apply = (
    stack: Stack,
    before: (show: StepOutput) => Promise<void>,
    after?: (show: StepOutput) => Promise<void>,
  ): Step => ({
    title: `Deploy the stack ${stack.name}`,
    run: async (show) => {
      await before(show);
      const changes = await applyStack(deployment, stack, show, approved.changes?.get(stack.name));
      await after?.(show);
      if (Object.values(changes).some((count) => count > 0)) changed.add(stack.name);
      show.title(`Deployed the stack ${stack.name}: ${changesText(changes)}`);
    },
  });
  const steps: Step[] = [];
  const platform = deployment.stack("platform");
  if (platform) {
    steps.push(
      apply(platform, async (show) => {
        // No plan shows a container that is stopped.
        const started = await startStopped(await deployedPlatform(deployment));
        for (const name of started) {
          changed.add(name);
          show.detail(`started ${name}`);
        }
      }),
    );
  }
  let operator!: VaultClient;
  steps.push({
    title: "Prepare Vault",
    run: async (show) => {
      if (platform) await awaitHealthy(await deployedPlatform(deployment));
      const prepared = await prepareVault(vaultTarget(deployment));
      operator = prepared.operator;
      if (prepared.did.length > 0) {
        changed.add("vault");
        show.title(`Prepared Vault: ${prepared.did.join("; ")}`);
      }
    },
  });
  steps.push(
    apply(
      deployment.stack("postgres")!,
      async (show) => {
        await checkSuperusers(deployment);
        await checkMaintain(deployment);
        await checkOwners(deployment);
        await checkVault(deployment);
        await checkMounts(deployment);
        const marked = await findMarked(deployment);
        await checkOthers(deployment, marked);
        if (platform) refuseUnasked(await findLosses(deployment), approved, deployment);
        await eachDatabase(deployment, show, "functions", checkLeaseSchema);
        for (const line of await equipManagers(deployment, await managed(deployment))) show.detail(line);
        for (const line of await spellSettings(deployment)) show.detail(line);
        for (const line of await forgetGoneTables(deployment)) show.detail(line);
        await revokeRemoved(deployment, show);
        for (const line of await moveHomeRecord(deployment)) show.detail(line);
        await recordOwners(deployment, marked);
        await recordPublic(deployment);
        for (const line of await takeLater(deployment)) {
          show.detail(line);
          changed.add("PUBLIC");
        }
        for (const line of await reopenOthers(deployment)) {
          show.detail(line);
          changed.add("other databases");
        }
        await adopt(deployment, marked, show.detail);
        await eachDatabase(deployment, show, "functions", adoptFunctions);
        await eachDatabase(deployment, show, "createrole", freeMemberships);
        await eachDatabase(deployment, show, "createrole", dropEmptySchema);
      },
      async (show) => {
        await eachDatabase(deployment, show, "functions", closeLeaseSchema);
        for (const line of await givePublicKept(deployment)) show.detail(line);
        for (const line of await grantMaintain(deployment)) {
          show.detail(line);
          changed.add("MAINTAIN");
        }
      },
    ),
    apply(
      deployment.stack("vault")!,
      async (show) => {
        // Those that the stack postgres has just made.
        for (const line of await equipManagers(deployment, await managed(deployment))) show.detail(line);
        for (const login of await setManagerPasswords(deployment, operator))
          show.detail(`set the password of ${login} in PostgreSQL, as Vault is about to get it`);
        isUnmarked = await leasesUnmarked(deployment);
        if (isUnmarked) await mark(show);
        await eachDatabase(deployment, show, "createrole", givePowers);
      },
      async (show) => {
        // Leases made during the apply.
        if (isUnmarked) await mark(show);
        await eachDatabase(deployment, show, "createrole", givePowers);
        await eachDatabase(deployment, show, "createrole", dropFunctions);
        await eachDatabase(deployment, show, "functions", takePowers);
      },
    ),
  );
  if (deployment.manifest.servers.some((server) => server.otherDatabases === "close")) {
    steps.push({
      title: "Close the databases that the config does not name",
      run: async (show) => {
        refuseUnasked(await findLockedOutLosses(deployment), approved, deployment);
        const lines = await closeOthers(deployment);
        for (const line of lines) show.detail(line);
        if (lines.length > 0) changed.add("other databases");
      },
    });
  }
  if (deployment.manifest.databases.some(({ vault }) => vault.rotateRoot)) {
    steps.push({
      title: "Rotate the passwords of Vault's own logins",
      run: async (show) => {
        const rotated = await rotateDue(deployment, operator);
        for (const connection of rotated) changed.add(connection);
        show.title(
          rotated.length > 0
            ? `Rotated the password of ${rotated.join(", ")}`
            : "Already rotated: Vault alone knows the passwords of its own logins",
        );
      },
    });
  }
  return { steps, changed };
}

/** Does something for each database whose leases are made in a way, and shows what was done. */
async function eachDatabase(
  deployment: Deployment,
  show: StepOutput,
  leases: ManifestDatabase["leases"],
  work: (deployment: Deployment, database: ManifestDatabase) => Promise<readonly string[]>,
): Promise<void> {
  for (const database of deployment.manifest.databases)
    if (database.leases === leases) for (const line of await work(deployment, database)) show.detail(line);
}

/**
 * @param approved what it may change. @default - what the config declares
 * @throws SetupError where it would change anything else
 */
async function applyStack(
  deployment: Deployment,
  stack: Stack,
  show: StepOutput,
  approved: PlannedChanges | undefined,
): Promise<Changes> {
  for (const line of await handedOver(deployment, stack)) show.detail(line);
  deployment.restore(stack);
  const terraform = deployment.terraform(stack, deployment.token("operator"));
  try {
    if (approved) return await applyApproved(terraform, stack, show, approved);
    return await terraform.apply(show.progress, (address) => {
      if (address.startsWith("docker_container."))
        show.detail(`replacing ${address}: every session on the container ends`);
    });
  } catch (error) {
    if (error instanceof TerraformError) throw explain(error, deployment, stack);
    throw error;
  }
}

/** Plans once more, since the steps before have done a part of what was shown, and applies that plan where it is no more than it. */
function applyApproved(
  terraform: Terraform,
  { name }: Stack,
  { progress }: StepOutput,
  approved: PlannedChanges,
): Promise<Changes> {
  return inPrivateFolder(async (folder) => {
    const file = join(folder, name);
    await terraform.plan({ refresh: true, color: false, out: file, onProgress: progress });
    const others = changesBeyond(approved, await terraform.plannedChanges(file));
    if (others.length > 0)
      throw new SetupError(
        `the stack ${name} was not deployed: it would change what was not shown (${few(others)}); run npx leasehold diff, or the command again, to see it`,
      );
    return terraform.apply(progress, undefined, file);
  });
}

/** Whether Vault still makes leases without the mark, as up to 0.1.0. */
async function leasesUnmarked(deployment: Deployment): Promise<boolean> {
  const state = await deployment.state(deployment.stack("vault")!);
  return state.some(
    ({ type, attributes }) =>
      type === "vault_database_secret_backend_role" &&
      !JSON.stringify(attributes["creation_statements"]).includes("COMMENT ON ROLE"),
  );
}

/**
 * A persona that is no longer declared loses its leases before its group role goes, else their logins would outlive it; one whose
 * group role is renamed does before nothing knows the old name.
 */
async function revokeRemoved(deployment: Deployment, show: StepOutput): Promise<void> {
  const removed = [
    ...(await deployment.undeclared("vault", "vault_database_secret_backend_role")),
    ...(await deployment.renamed("vault", "vault_database_secret_backend_role")),
  ];
  const roles = await deployment.undeclared("postgres", "postgresql_role");
  // Another server may have one of the same name, which is declared.
  const removedRoles = (database: ManifestDatabase) => {
    const declared = declaredBeside(deployment, database);
    return roles
      .map(({ attributes }) => String(attributes["name"]))
      .filter((name) => !declared.includes(name));
  };
  const grants = await deployment.undeclared("postgres", "postgresql_grant");
  await endLeasing(deployment, removed);
  // Before Vault revokes: a lease whose database role is gone carries the statements that it was made with, and those of an
  // earlier version wait for what its holder holds. They find nothing left to do.
  for (const database of deployment.manifest.databases)
    for (const login of await dropLogins(deployment, database, removedRoles(database)))
      show.detail(`dropped the login ${login}, whose persona is no longer declared`);
  for (const { attributes } of removed) {
    const prefix = `${String(attributes["backend"])}/creds/${String(attributes["name"])}`;
    show.detail(`revoking the leases of ${prefix}, which is no longer declared`);
    await revokeLeases(deployment, prefix);
  }
  for (const database of deployment.manifest.databases) {
    const groups = removedRoles(database);
    // Those that were on their way.
    for (const login of await dropLogins(deployment, database, groups))
      show.detail(`dropped the login ${login}, which Vault no longer knows`);
    for (const group of await emptyGroups(deployment, database, groups))
      show.detail(
        `gave what ${group} owned in ${database.name} to ${database.owner}; its functions and views run with their callers' privileges now`,
      );
    const going = goingFrom(deployment, database, roles, grants).filter((name) => groups.includes(name));
    for (const role of await dropRoles(deployment, database, going))
      show.detail(`dropped the role ${role}, which is no longer declared`);
    const { dropped, kept } = await sweepRevoked(deployment, database);
    for (const login of dropped) show.detail(`dropped the login ${login}, which a revocation could not drop`);
    for (const line of kept)
      show.detail(
        `could not drop a login that a revocation could not drop either; the next deploy tries again: ${line}`,
      );
    const lost = await loginsWithoutLease(deployment, database);
    if (lost > 0)
      show.detail(
        `${String(lost)} more leased logins in ${database.name} than Vault has leases for: npx leasehold sweep lists and drops them`,
      );
  }
}

/** How many leased logins there are beyond Vault's leases, at least: after Vault has lost its storage, all that it had leased. */
async function loginsWithoutLease(deployment: Deployment, database: ManifestDatabase): Promise<number> {
  const { manifest } = deployment;
  const superuser = deployment.superuserOf(database);
  const logins = await markedLogins(superuser, manifest.environment, database);
  const lasting = logins.filter(({ age, attributes }) => age > GRACE_SECONDS && attributes.length === 0);
  if (lasting.length === 0) return 0;
  const vault = deployment.vault().withToken(deployment.token("operator"));
  let leases = 0;
  for (const role of databaseRolesOf(manifest, database))
    leases += (await leaseIds(vault, database.vault.mount, role)).length;
  return Math.max(0, lasting.length - leases);
}

/** Group roles and static logins that are no longer declared of a database that still is. Terraform drops the others. */
function goingFrom(
  { manifest }: Deployment,
  database: ManifestDatabase,
  roles: readonly StateResource[],
  grants: readonly StateResource[],
): string[] {
  const groups = grants
    .filter(({ attributes }) => attributes["database"] === database.name)
    .filter(({ attributes }) => ((attributes["privileges"] ?? []) as string[]).includes("CONNECT"))
    .map(({ attributes }) => String(attributes["role"]));
  const homes = [...groups, ...database.personas.map(({ groupRole }) => groupRole)];
  // What a role for MAINTAIN has is in no state: Terraform can't drop it while it has anything in another database than the first.
  // Of a database that is no longer declared nothing says on which of several servers it was.
  const isGone = ({ attributes }: StateResource) =>
    !manifest.databases.some(({ name }) => name === attributes["database"]);
  const left = manifest.servers.length > 1 ? [] : grants.filter(isGone);
  const maintainers = [...homes, ...left.map(({ attributes }) => String(attributes["role"]))].map(
    (groupRole) => maintainRoleOf({ groupRole }),
  );
  return roles
    .filter(
      ({ attributes }) =>
        [...groups, ...maintainers].includes(String(attributes["name"])) ||
        ((attributes["roles"] ?? []) as string[]).some(
          (role) => attributes["login"] === true && homes.includes(role),
        ),
    )
    .map(({ attributes }) => String(attributes["name"]));
}

/** All roles that are declared on a database's server. */
function declaredBeside({ manifest }: Deployment, { server }: ManifestDatabase): string[] {
  return manifest.databases
    .filter((other) => other.server === server)
    .flatMap((database) => [
      ...[ownersOf(database), database.manager ?? []].flat(),
      ...groupRolesOf(database),
      ...maintainRolesOf(database),
      ...database.staticRoles.map(({ login }) => login),
    ]);
}
