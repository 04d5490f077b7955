/** A path of a persona's policies, with what may be done there. */
export interface PolicyPath {
  readonly path: string;
  /** With the bounds that a rule has beside them, such as on parameters, as their text. */
  readonly capabilities: readonly string[];
}

const RULE = /^path "([^"\n]*)" \{\n {2}capabilities = \[([^\]\n]*)\]\n((?: {2}.*\n)*)\}\n*/;

/**
 * The paths of policies, as synth writes them; what is written otherwise is one rule, with its text in place of a path. One without
 * a text is somebody else's.
 */
export function pathsOf(policies: readonly { readonly text?: string | undefined }[]): PolicyPath[] {
  const paths = new Map<string, string[]>();
  const add = (path: string, capabilities: readonly string[]) =>
    paths.set(path, [...new Set([...(paths.get(path) ?? []), ...capabilities])]);
  for (const { text = "" } of policies) {
    let rest = text.replace(/^#.*\n/gm, "");
    for (let rule; (rule = RULE.exec(rest)); rest = rest.slice(rule[0].length)) {
      const [, path, capabilities, bounds] = rule;
      const within = bounds!.replace(/\s+/g, " ").trim();
      const names = [...capabilities!.matchAll(/"([^"]*)"/g)].map(([, name]) => name!);
      add(
        path!,
        names.map((name) => (within ? `${name} within ${within}` : name)),
      );
    }
    if (rest.trim()) add(rest.replace(/\s+/g, " ").trim(), ["what it says"]);
  }
  return [...paths].map(([path, capabilities]) => ({ path, capabilities }));
}
