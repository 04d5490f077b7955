import { Listr, type ListrTask } from "listr2";

export interface Step {
  readonly title: string;
  readonly run: (show: Show) => Promise<void>;
}

export interface Show {
  /** What the step is at. */
  readonly detail: (text: string) => void;
  /** What the step came to, in place of its title. */
  readonly title: (text: string) => void;
}

/** Runs steps one after the other, with a live view on a terminal and plain lines elsewhere. */
export async function runSteps(steps: readonly Step[], signal: AbortSignal): Promise<void> {
  let failure: unknown;
  const tasks = steps.map(({ title, run }): ListrTask => ({
    title,
    task: async (_, task) => {
      const show: Show = {
        detail: (text) => (task.output = text),
        title: (text) => (task.title = text),
      };
      try {
        signal.throwIfAborted();
        await run(show);
      } catch (error) {
        failure = error;
        // Who called prints the reason, once.
        throw new Error("see below", { cause: error });
      }
    },
  }));
  const list = new Listr(tasks, {
    renderer: "default",
    fallbackRenderer: "simple",
    fallbackRendererCondition: () => !process.stdout.isTTY || Boolean(process.env["CI"]),
    // The program has its own.
    registerSignalListeners: false,
  });
  await list.run().catch((error: unknown) => {
    throw failure ?? error;
  });
}
