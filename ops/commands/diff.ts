import { SetupError } from "../../clients/setup-error";
import { Deployment, PLACEHOLDER, type Stack } from "../deployment/deployment";
import { lock } from "../deployment/lock";
import { deployedPlatform, stoppedContainers } from "../docker/platform";
import { checkSuperusers, checkVaultServes, orToken, refusalText } from "../docker/preflight";
import { findLosses, lossLines } from "../postgres/losses";
import { rolesWithMisspelledSettings } from "../postgres/role-settings";
import { runSteps, type StepOutput } from "../terminal/progress";
import { Terraform, TerraformError } from "../terraform/terraform";
import { parseAccessManifest } from "../../manifest/schema";
import { accessLines } from "./diff-access";
import { color } from "../terminal/color";

export interface DiffOptions {
  readonly env?: string;
}

interface StackDiff {
  readonly stack: string;
  readonly text: string;
  readonly exitCode: 0 | 1 | 2;
  /** Nothing of it is deployed. */
  readonly isNew?: boolean;
}

/** Plans all stacks side by side and changes nothing. Returns Terraform's exit code: 0 no change, 1 a failure, 2 changes. */
export async function diff({ env }: DiffOptions, signal: AbortSignal): Promise<number> {
  const release = lock("diff");
  try {
    let deployment!: Deployment;
    await runSteps(
      [
        {
          title: "Synthesize",
          run: async (show) => {
            [deployment] = await Promise.all([Deployment.open(env, signal), Terraform.check()]);
            show.title("Synthesized");
          },
        },
      ],
      signal,
    );
    const diffs: StackDiff[] = [];
    await runSteps(
      deployment.stacks.map((stack) => ({
        title: `Plan the stack ${stack.name}`,
        run: async (show: StepOutput) => {
          diffs.push(await planStack(deployment, stack, show));
        },
      })),
      signal,
      { concurrent: true },
    );
    for (const { name } of deployment.stacks)
      for (const { stack, text } of diffs) if (stack === name) console.log(`\n# ${name}\n${text}`);
    console.log(`\n# access\n${accessText(deployment, diffs)}`);
    const losses = await lossText(deployment, diffs);
    if (losses) console.log(`\n# what others lose\n${losses}`);
    const codes = diffs.map(({ exitCode }) => exitCode);
    return codes.includes(1) ? 1 : Math.max(...codes);
  } finally {
    release();
  }
}

async function planStack(deployment: Deployment, stack: Stack, show: StepOutput): Promise<StackDiff> {
  try {
    const notes: string[] = [];
    // With what is known: a plan sends no password, but reads PostgreSQL as the superuser.
    const terraform = deployment.terraform(stack, deployment.token("planner"), { forPlan: true });
    await terraform.init(stack.json.terraform);
    const isNew = (await deployment.state(stack)).length === 0;
    if (isNew) notes.push("not deployed yet: everything will be added; no server was asked");
    const missing = isNew ? [] : missingToRead(deployment, stack);
    if (missing.length > 0)
      notes.push(
        `compared with Terraform's state only, not with the server: ${missing.join(", ")} is not set, and no other login may read everything`,
      );
    // Terraform would try for half a minute, and say it at length.
    if (!isNew && stack.name === "vault") await checkPlanner(deployment);
    if (!isNew && stack.name === "postgres" && missing.length === 0)
      await checkSuperusers(deployment, { forPlan: true });
    const misspelled =
      !isNew && stack.name === "postgres" && missing.length === 0
        ? await rolesWithMisspelledSettings(deployment, { forPlan: true })
        : [];
    if (misspelled.length > 0)
      notes.push(
        `compared with Terraform's state only, not with the server: a timeout of ${misspelled.join(", ")} is not in milliseconds, which Terraform's provider can't read; deploy spells it so`,
      );
    deployment.restore(stack);
    const refresh = missing.length === 0 && misspelled.length === 0;
    const plan = terraform.plan({ refresh, color: color(), onProgress: show.progress });
    const [stopped] = await Promise.allSettled([
      stack.name === "platform" && !isNew ? deployedPlatform(deployment).then(stoppedContainers) : [],
      plan,
    ]);
    // Its reason is the clearer one.
    if (stopped.status === "rejected") throw stopped.reason as Error;
    const { hasChanges, text } = await plan;
    for (const name of stopped.value)
      notes.push(`container ${name} is stopped, which the plan reports as missing: deploy starts it`);
    show.title(`Planned the stack ${stack.name}: ${hasChanges ? "changes" : "no change"}`);
    return { stack: stack.name, text: [...notes, text].join("\n"), exitCode: hasChanges ? 2 : 0, isNew };
  } catch (error) {
    if (!(error instanceof TerraformError || error instanceof SetupError)) throw error;
    show.title(`The stack ${stack.name} can't be planned`);
    return { stack: stack.name, text: `error: ${error.message}`, exitCode: 1 };
  }
}

/** Who gains and loses what by a deploy. What is deployed is known from the last deploy of this machine. */
function accessText({ home, manifest }: Deployment, diffs: readonly StackDiff[]): string {
  const isNew = diffs.every((diff) => diff.isNew);
  const last = home.deployedAccess();
  if (!isNew && !last)
    return "not compared, since no deploy from this machine has recorded what it declared: npx leasehold diff --access COMMIT compares with what a commit declares";
  const lines = accessLines(isNew ? undefined : parseAccessManifest(last!.text), manifest);
  const since = isNew ? [] : [`compared with the deploy from this machine at ${last!.at.toISOString()}`];
  return [...since, ...(lines.length > 0 ? lines.map(({ text }) => text) : ["no change"])].join("\n");
}

/** What everybody else loses by a deploy; nothing where containers are still to be made. */
async function lossText(deployment: Deployment, diffs: readonly StackDiff[]): Promise<string> {
  if (deployment.stack("platform") && diffs.every((diff) => diff.isNew)) return "";
  const missing = missingToRead(deployment, deployment.stack("postgres")!);
  if (missing.length > 0) return `not known, since ${missing.join(", ")} is not set`;
  try {
    return lossLines(await findLosses(deployment, { forPlan: true }), deployment.manifest.accepted).join(
      "\n",
    );
  } catch (error) {
    if (!(error instanceof SetupError || error instanceof TerraformError)) throw error;
    return `not known: ${error.message}`;
  }
}

/** @throws SetupError when Vault is not serving requests, or refuses the token */
async function checkPlanner(deployment: Deployment): Promise<void> {
  const vault = deployment.vault();
  await checkVaultServes(vault);
  const self = await vault.withToken(deployment.token("planner")).request("GET", "auth/token/lookup-self");
  if (self.status >= 400)
    throw new SetupError(
      `${refusalText(deployment, "planner", self)}; where a deploy was not finished, deploy first`,
    );
}

/** @throws SetupError where there is no token for Vault, which a planner has */
function missingToRead(deployment: Deployment, stack: Stack): string[] {
  if (stack.name === "vault" && !deployment.token("planner"))
    throw new SetupError(`there is no planner's token: run npx leasehold init${orToken(deployment)}`);
  if (stack.name !== "postgres") return [];
  const known = deployment.variables(stack, { forPlan: true });
  return deployment.manifest.inputs
    .filter((input) => input.for === "superuser-password" && known[input.variable] === PLACEHOLDER)
    .map(({ variable }) => `TF_VAR_${variable}`);
}
