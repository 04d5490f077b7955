import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { SetupError } from "../../clients/setup-error";
import { few, oneLine } from "../../clients/text";
import type { Deployment, StackName } from "../deployment/deployment";
import { changesBeyond, plannedChangesSchema, type PlannedChanges } from "../terraform/planned-changes";
import type { StackPlan } from "./changes";

const FILE = "plan.json";
const SHOWN = "plan.txt";

const savedPlan = z.object({
  version: z.literal(1),
  environment: z.string(),
  /** Of each stack's JSON. */
  stacks: z.record(z.string(), z.object({ sha256: z.string(), changes: plannedChangesSchema })),
});

/** What a deploy may change, by stack. */
export type ApprovedChanges = ReadonlyMap<StackName, PlannedChanges>;

/** What each stack's plan changes; undefined where one could not be made in full. */
export function changesOf(plans: readonly StackPlan[]): ApprovedChanges | undefined {
  const known = plans.flatMap(({ stack, changes }) => (changes ? [[stack, changes] as const] : []));
  const platform = plans.find(({ stack }) => stack === "platform");
  // What is planned of the servers in containers holds as long as these stay.
  return known.length < plans.length || platform?.exitCode === 2 ? undefined : new Map(known);
}

/**
 * Saves what a diff has shown, for a deploy that changes nothing else.
 * @param shown for people
 * @throws SetupError where the stacks could not all be planned
 */
export function savePlan(
  folder: string,
  { manifest, stacks }: Deployment,
  plans: readonly StackPlan[],
  shown: string,
): void {
  const changes = changesOf(plans);
  if (!changes) {
    const why = plans
      .filter((one) => one.changes === undefined || (one.stack === "platform" && one.exitCode === 2))
      .map(({ stack, isNew }) => `${stack}${isNew ? " (not deployed yet)" : ""}`);
    throw new SetupError(
      `no plan was saved: not all stacks can be planned before a deploy: ${why.join(", ")}; npx leasehold deploy shows what it changes, and asks`,
    );
  }
  const text: z.input<typeof savedPlan> = {
    version: 1,
    environment: manifest.environment,
    stacks: Object.fromEntries(
      stacks.map((stack) => [stack.name, { sha256: sha256(stack.text), changes: changes.get(stack.name)! }]),
    ),
  };
  // One that is there keeps its mode.
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  write(join(folder, FILE), `${JSON.stringify(text, undefined, 2)}\n`);
  write(join(folder, SHOWN), `${shown}\n`);
}

/** @throws SetupError where it is none, or another environment's or config's */
export function readPlan(folder: string, { manifest, stacks }: Deployment): ApprovedChanges {
  const file = join(folder, FILE);
  if (!existsSync(file))
    throw new SetupError(`there is no plan in ${folder}: npx leasehold diff --out ${folder} saves one`);
  const open = [folder, file].find((path) => (statSync(path).mode & 0o022) !== 0);
  if (open !== undefined)
    throw new SetupError(
      `others may write ${open}: chmod go-w it, and read what the plan allows before it is deployed`,
    );
  let plan: z.output<typeof savedPlan>;
  try {
    plan = savedPlan.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    throw new SetupError(`${file} is not a plan of npx leasehold diff --out: ${oneLine(error)}`, {
      cause: error,
    });
  }
  const { environment } = manifest;
  if (plan.environment !== environment)
    throw new SetupError(
      `the plan in ${folder} is of the environment ${plan.environment}, not of ${environment}`,
    );
  const other = stacks.filter(({ name, text }) => plan.stacks[name]?.sha256 !== sha256(text));
  if (other.length > 0 || Object.keys(plan.stacks).length !== stacks.length)
    throw new SetupError(
      `the plan in ${folder} is of another config or version: what is synthesized now differs in the stacks ${other.map(({ name }) => name).join(", ")}; ${AGAIN} --out ${folder}`,
    );
  return new Map(stacks.map(({ name }) => [name, plan.stacks[name]!.changes]));
}

const AGAIN = "run npx leasehold diff";

/** @throws SetupError where a deploy would change now anything else, or less */
export function checkCurrent(folder: string, saved: ApprovedChanges, plans: readonly StackPlan[]): void {
  const differing = plans.flatMap(({ stack, changes, text }) => {
    if (!changes)
      throw new SetupError(`the stack ${stack} can't be planned now: ${text.replace(/^error: /, "")}`);
    const approved = saved.get(stack)!;
    return [...new Set([...changesBeyond(approved, changes), ...changesBeyond(changes, approved)])];
  });
  if (differing.length > 0)
    throw new SetupError(
      `the plan in ${folder} is stale: what would change by now is not what it shows (${few(differing)}); ${AGAIN} --out ${folder} again; nothing was deployed`,
    );
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function write(file: string, text: string): void {
  writeFileSync(file, text, { mode: 0o600 });
  // One that was there keeps its mode.
  chmodSync(file, 0o600);
}
