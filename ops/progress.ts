/** For listr2: a live view on a terminal, plain lines elsewhere. This program handles signals itself. */
export const LISTR_OPTIONS = {
  renderer: "default",
  fallbackRenderer: "simple",
  fallbackRendererCondition: () => !process.stdout.isTTY || Boolean(process.env["CI"]),
  registerSignalListeners: false,
} as const;
