import { SetupError } from "../../clients/setup-error";
import { Deployment } from "../deployment/deployment";
import { lock } from "../deployment/lock";
import { findLosses, lossLines } from "../postgres/losses";
import { runSteps } from "../terminal/progress";
import { Terraform, TerraformError } from "../terraform/terraform";
import { accessText, endLines, missingToRead, planStacks } from "./changes";

export interface DiffOptions {
  readonly env?: string;
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
    const diffs = await planStacks(deployment, "planner", signal);
    for (const { stack, text } of diffs) console.log(`\n# ${stack}\n${text}`);
    const isNew = diffs.every((diff) => diff.isNew);
    console.log(`\n# access\n${await accessText(deployment, isNew, "planner")}`);
    const ends = await endLines(deployment, diffs, "planner");
    if (ends.length > 0) console.log(`\n# what ends\n${ends.join("\n")}`);
    const losses = await lossText(deployment, isNew);
    if (losses) console.log(`\n# what others lose\n${losses}`);
    const codes = diffs.map(({ exitCode }) => exitCode);
    return codes.includes(1) ? 1 : Math.max(...codes);
  } finally {
    release();
  }
}

/** What everybody else loses by a deploy; nothing where containers are still to be made. */
async function lossText(deployment: Deployment, isNew: boolean): Promise<string> {
  if (deployment.stack("platform") && isNew) return "";
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
