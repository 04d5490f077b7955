import { SetupError } from "../../clients/setup-error";
import { Deployment } from "../deployment/deployment";
import { lock } from "../deployment/lock";
import { findLosses, lossLines } from "../postgres/losses";
import { runSteps } from "../terminal/progress";
import { Terraform, TerraformError } from "../terraform/terraform";
import { savePlan } from "./saved-plan";
import { accessText, endLines, missingToRead, planStacks } from "./changes";

export interface DiffOptions {
  readonly env?: string;
  /** The folder in which the plan is saved, for a deploy. */
  readonly out?: string;
}

/** Plans all stacks side by side and changes nothing. Returns Terraform's exit code: 0 no change, 1 a failure, 2 changes. */
export async function diff({ env, out }: DiffOptions, signal: AbortSignal): Promise<number> {
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
    const diffs = await planStacks(deployment, "planner", signal, out !== undefined);
    const isNew = diffs.every((diff) => diff.isNew);
    const sections = [
      ...diffs.map(({ stack, text }) => [stack, text] as const),
      ["access", await accessText(deployment, isNew, "planner")] as const,
      ["what ends", (await endLines(deployment, diffs, "planner")).join("\n")] as const,
      ["what others lose", await lossText(deployment, isNew)] as const,
    ];
    const shown = sections.filter(([, text]) => text !== "").map(([title, text]) => `\n# ${title}\n${text}`);
    console.log(shown.join("\n"));
    if (out !== undefined) {
      savePlan(out, deployment, diffs, shown.join("\n"));
      console.log(`\nSaved. It may hold secrets. To deploy it as it is: npx leasehold deploy --plan ${out}`);
    }
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
