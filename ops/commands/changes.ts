import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Declared } from "../../access/compare";
import { SetupError } from "../../clients/setup-error";
import { printable } from "../../clients/text";
import type { TrustToken } from "../../manifest/names";
import { parseAccessManifest } from "../../manifest/schema";
import { Deployment, PLACEHOLDER, type Stack, type StackName } from "../deployment/deployment";
import { handedOver } from "../deployment/handed-over";
import { deployedPlatform, stoppedContainers } from "../docker/platform";
import { checkSuperusers, checkVaultServes, orToken, refusalText } from "../docker/preflight";
import { rolesWithMisspelledSettings } from "../postgres/role-settings";
import { asSuperuser } from "../postgres/superuser";
import { color } from "../terminal/color";
import { runSteps, type StepOutput } from "../terminal/progress";
import type { PlannedChanges } from "../terraform/planned-changes";
import { TerraformError } from "../terraform/terraform";
import { leaseIds } from "../vault/issued-leases";
import { accessLines } from "./diff-access";
import { readLiveAccess } from "./live-access";

/** Whose token plans. */
export type Planner = Extract<TrustToken, "planner" | "operator">;

/** What a deploy would do to a stack. */
export interface StackPlan {
  readonly stack: StackName;
  /** Terraform's, or why there is none. */
  readonly text: string;
  /** Terraform's: 0 no change, 1 a failure, 2 changes. */
  readonly exitCode: 0 | 1 | 2;
  readonly counts?: string;
  /** Addresses of resources that are replaced or destroyed. */
  readonly going: readonly string[];
  /** Nothing of it is deployed. */
  readonly isNew?: boolean;
  /** By resource; undefined where it was not compared with the server, or not asked for. */
  readonly changes?: PlannedChanges;
}

/**
 * Plans all stacks side by side, and changes nothing. In the order of the stacks.
 * @param withChanges whether what changes is read by resource as well
 */
export async function planStacks(
  deployment: Deployment,
  who: Planner,
  signal: AbortSignal,
  withChanges = false,
): Promise<StackPlan[]> {
  const plans = new Map<StackName, StackPlan>();
  await inPrivateFolder((folder) =>
    runSteps(
      deployment.stacks.map((stack) => ({
        title: `Plan the stack ${stack.name}`,
        run: async (show: StepOutput) => {
          const out = withChanges ? join(folder, stack.name) : undefined;
          plans.set(stack.name, await planStack(deployment, stack, who, show, out));
        },
      })),
      signal,
      { concurrent: true },
    ),
  );
  return deployment.stacks.map(({ name }) => plans.get(name)!);
}

/** For plans, which may hold what is nobody else's business. */
export async function inPrivateFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "leasehold-plan-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function planStack(
  deployment: Deployment,
  stack: Stack,
  who: Planner,
  show: StepOutput,
  out: string | undefined,
): Promise<StackPlan> {
  try {
    const notes: string[] = [];
    // With what is known: a plan sends no password, but reads PostgreSQL as the superuser.
    const terraform = deployment.terraform(stack, deployment.token(who), { forPlan: true });
    await terraform.init(stack.json.terraform);
    const isNew = (await deployment.state(stack)).length === 0;
    if (isNew) notes.push("not deployed yet: everything will be added; no server was asked");
    const missing = isNew ? [] : missingToRead(deployment, stack, who);
    if (missing.length > 0)
      notes.push(
        `compared with Terraform's state only, not with the server: ${missing.join(", ")} is not set, and no other login may read everything`,
      );
    // Terraform would try for half a minute, and say it at length.
    if (!isNew && stack.name === "vault") await checkPlanner(deployment, who);
    const readsPostgres = !isNew && stack.name === "postgres" && missing.length === 0;
    if (readsPostgres) await checkSuperusers(deployment, { forPlan: true });
    const misspelled = readsPostgres ? await rolesWithMisspelledSettings(deployment, { forPlan: true }) : [];
    if (misspelled.length > 0)
      notes.push(
        `compared with Terraform's state only, not with the server: a timeout of ${misspelled.join(", ")} is not in milliseconds, which Terraform's provider can't read; deploy spells it so`,
      );
    notes.push(...(await handedOver(deployment, stack)));
    deployment.restore(stack);
    const refresh = missing.length === 0 && misspelled.length === 0;
    const plan = terraform.plan({ refresh, color: color(), out, onProgress: show.progress });
    const [stopped] = await Promise.allSettled([
      stack.name === "platform" && !isNew ? deployedPlatform(deployment).then(stoppedContainers) : [],
      plan,
    ]);
    // Its reason is the clearer one.
    if (stopped.status === "rejected") throw stopped.reason as Error;
    const { hasChanges, text, counts, going } = await plan;
    for (const name of stopped.value)
      notes.push(`container ${name} is stopped, which the plan reports as missing: deploy starts it`);
    show.title(`Planned the stack ${stack.name}: ${hasChanges ? "changes" : "no change"}`);
    const exitCode = hasChanges ? 2 : 0;
    const isWhole = !isNew && refresh && out !== undefined;
    return {
      ...{ stack: stack.name, text: [...notes, text].join("\n"), exitCode, counts, going, isNew },
      ...(isWhole && { changes: await terraform.plannedChanges(out) }),
    };
  } catch (error) {
    if (!(error instanceof TerraformError || error instanceof SetupError)) throw error;
    show.title(`The stack ${stack.name} can't be planned`);
    return { stack: stack.name, text: `error: ${error.message}`, exitCode: 1, going: [] };
  }
}

/**
 * Who gains and loses what by a deploy. What is deployed is known from the last deploy of this machine or, where there was none,
 * from the servers.
 */
export async function accessText(deployment: Deployment, isNew: boolean, who: Planner): Promise<string> {
  const { manifest } = deployment;
  const last = deployment.home.deployedAccess();
  const changes = (before: Declared | undefined) => {
    const lines = accessLines(before, manifest).map(({ text }) => text);
    return lines.length > 0 ? lines : ["no change"];
  };
  if (isNew) return changes(undefined).join("\n");
  if (last)
    return [
      `compared with the deploy from this machine at ${last.at.toISOString()}`,
      ...changes(parseAccessManifest(last.text)),
    ].join("\n");
  const live = await readLiveAccess(
    deployment,
    who,
    missingToRead(deployment, deployment.stack("postgres")!),
  );
  return [
    "compared with what is live, by PostgreSQL's catalogs and Vault's answers, since no deploy from this machine has recorded what it declared",
    ...live.notes,
    ...changes(live),
  ].join("\n");
}

/**
 * Whose leases and sessions the next deploy ends, and which containers it replaces, a line each.
 * @param plans where there are some
 */
export async function endLines(
  deployment: Deployment,
  plans: readonly StackPlan[],
  who: Planner,
): Promise<string[]> {
  const containers = plans.flatMap(({ stack, going }) =>
    going
      .filter((address) => address.startsWith("docker_container."))
      .map((address) => containerLine(deployment, stack, address)),
  );
  try {
    return [...(await leaseLines(deployment, who)), ...(await sessionLines(deployment)), ...containers];
  } catch (error) {
    if (!(error instanceof SetupError || error instanceof TerraformError)) throw error;
    return [...containers, `not known of leases and sessions: ${error.message}`];
  }
}

async function leaseLines(deployment: Deployment, who: Planner): Promise<string[]> {
  const type = "vault_database_secret_backend_role";
  const why = [
    ["is no longer declared", await deployment.undeclared("vault", type)],
    ["gets another name", await deployment.renamed("vault", type)],
  ] as const;
  const vault = deployment.vault().withToken(deployment.token(who));
  const lines: string[] = [];
  for (const [what, roles] of why)
    for (const { attributes } of roles) {
      const [mount, role] = [String(attributes["backend"]), String(attributes["name"])];
      // A planner may not list them.
      const ids = await leaseIds(vault, mount, role).catch(() => undefined);
      const now = ids ? ` (${String(ids.length)} now)` : "";
      lines.push(printable(`the leases of ${mount}/creds/${role} end${now}: the role ${what}`));
    }
  return lines;
}

/** Of logins in group roles that go, and of static logins that do. */
async function sessionLines(deployment: Deployment): Promise<string[]> {
  const type = "postgresql_role";
  const roles = [
    ...(await deployment.undeclared("postgres", type)),
    ...(await deployment.renamed("postgres", type)),
  ].map(({ attributes }) => String(attributes["name"]));
  if (roles.length === 0 || missingToRead(deployment, deployment.stack("postgres")!).length > 0) return [];
  const managers = deployment.manifest.databases.map(({ manager }) => manager);
  const lines: string[] = [];
  for (const login of deployment.superusers({ forPlan: true })) {
    const found = await asSuperuser(login, (client) =>
      client.query<{ role: string; sessions: number }>(
        `SELECT g.rolname AS role, count(*)::int AS sessions
         FROM pg_roles g JOIN pg_stat_activity a ON a.usename <> ALL ($2) AND (
           a.usesysid = g.oid OR EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = g.oid AND m.member = a.usesysid)
         )
         WHERE g.rolname = ANY ($1) GROUP BY 1 ORDER BY 1`,
        [roles, managers],
      ),
    );
    for (const { role, sessions } of found!.rows)
      lines.push(
        printable(
          `${String(sessions)} ${sessions === 1 ? "session" : "sessions"} of the role ${role}, which goes or gets another name, ${sessions === 1 ? "ends" : "end"}`,
        ),
      );
  }
  return lines;
}

function containerLine(deployment: Deployment, name: StackName, address: string): string {
  const stack = deployment.stack(name)!;
  const declared = stack.json.resource["docker_container"]?.[address.slice("docker_container.".length)];
  return declared
    ? `the container ${deployment.resolve(stack, declared["name"])} is replaced, and every session on it ends`
    : `the container of ${address} goes, and every session on it ends`;
}

/** @throws SetupError when Vault is not serving requests, or refuses the token */
async function checkPlanner(deployment: Deployment, who: Planner): Promise<void> {
  const vault = deployment.vault();
  await checkVaultServes(vault);
  const self = await vault.withToken(deployment.token(who)).request("GET", "auth/token/lookup-self");
  if (self.status >= 400)
    throw new SetupError(
      `${refusalText(deployment, who, self)}; where a deploy was not finished, deploy first`,
    );
}

/** @throws SetupError where there is no token for Vault, which a planner has */
export function missingToRead(deployment: Deployment, stack: Stack, who: Planner = "planner"): string[] {
  if (stack.name === "vault" && !deployment.token(who))
    throw new SetupError(`there is no ${who}'s token: run npx leasehold init${orToken(deployment)}`);
  if (stack.name !== "postgres") return [];
  const known = deployment.variables(stack, { forPlan: true });
  return deployment.manifest.inputs
    .filter((input) => input.for === "superuser-password" && known[input.variable] === PLACEHOLDER)
    .map(({ variable }) => `TF_VAR_${variable}`);
}
