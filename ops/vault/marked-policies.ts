import { policyMark } from "../../manifest/names";
import type { StateResource } from "../deployment/deployment";

/** In a text's first line, and in that of each text that the operator's policy pins. */
const MARK = /^# (leasehold [\w-]+ [\w/-]+)$/;
const MARKS = /(^|\[")# leasehold [\w-]+ [\w/-]+(?:\n|\\n)/g;

/**
 * Whose a policy in Vault is that has the name of one of ours: by the mark in its first line or, where there is none as in
 * 0.1.0, by its text.
 * @param declared its text as it is to be
 * @param marks those of this environment (manifest/names.ts)
 * @returns undefined where it is this environment's, else what stands after "it is"
 */
export function foreignOwner(found: string, declared: string, marks: readonly string[]): string | undefined {
  const mark = markOf(found);
  if (mark !== undefined)
    return marks.includes(mark) ? undefined : `another environment's (its first line is # ${mark})`;
  return found.trim() === unmarked(declared).trim()
    ? undefined
    : "somebody else's (its first line is no mark)";
}

/** @returns undefined where a text has none */
export function markOf(text: string): string | undefined {
  return MARK.exec(text.trimStart().split("\n", 1)[0]!)?.[1];
}

/** As it was before policies had marks. */
function unmarked(text: string): string {
  return text.replace(MARKS, "$1");
}

/** What Terraform's state of the stack vault tells of this environment's policies. */
export interface DeployedPolicies {
  /** Of its connections. */
  readonly marks: readonly string[];
  /** Of policies, such as the personas'. */
  readonly names: readonly string[];
}

export function deployedPolicies(environment: string, state: readonly StateResource[]): DeployedPolicies {
  const of = (type: string) =>
    state.filter((resource) => resource.type === type).map(({ attributes }) => attributes);
  const text = (value: unknown) => String(value);
  return {
    marks: of("vault_database_secret_backend_connection").map(({ backend, name }) =>
      policyMark(environment, { vault: { mount: text(backend), connection: text(name) } }),
    ),
    names: of("vault_policy").map(({ name }) => text(name)),
  };
}
