import { Listr, type ListrTask } from "listr2";

export interface Step {
  readonly title: string;
  readonly run: (show: StepOutput) => Promise<void>;
}

export interface StepOutput {
  /** What the step is at. */
  readonly detail: (text: string) => void;
  /** What it is at in passing: on a terminal alone, where the next one takes its place. */
  readonly progress: (text: string) => void;
  /** What the step came to, in place of its title. */
  readonly title: (text: string) => void;
}

/** Runs steps one after the other, or side by side, with a live view on a terminal and plain lines elsewhere. */
export async function runSteps(
  steps: readonly Step[],
  signal: AbortSignal,
  { concurrent = false } = {},
): Promise<void> {
  const isLive = process.stdout.isTTY && !process.env["CI"];
  let failure: unknown;
  const tasks = steps.map(({ title, run }): ListrTask => ({
    title,
    task: async (_, task) => {
      const show: StepOutput = {
        detail: (text) => (task.output = text),
        progress: (text) => {
          if (isLive) task.output = text;
        },
        title: (text) => (task.title = text),
      };
      try {
        signal.throwIfAborted();
        await run(show);
      } catch (error) {
        failure ??= error;
        // Who called prints the reason, once.
        throw new Error("see below", { cause: error });
      }
    },
  }));
  const list = new Listr(tasks, {
    concurrent,
    // Those side by side are waited for: none goes on behind the back of who called.
    exitOnError: !concurrent,
    renderer: "default",
    fallbackRenderer: "simple",
    fallbackRendererCondition: () => !isLive,
    // The program has its own.
    registerSignalListeners: false,
  });
  await list.run().catch((error: unknown) => {
    failure ??= error;
  });
  if (failure) throw failure as Error;
}
