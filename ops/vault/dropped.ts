import { pathsOf } from "../../access/policy-paths";
import { forgottenBy, type Stack, type StateResource } from "../deployment/deployment";
import { importId } from "../terraform/explain";

/** A path that a holder of the trust model's needs for what the config has dropped and Terraform's state still knows. */
export interface Dropped {
  readonly path: string;
  /** The operator's. A planner reads. */
  readonly capabilities: readonly string[];
}

const READ_DELETE = ["read", "delete"];

/** Where Vault has what a resource stands for, for deploy to read and remove it; by its import id. */
const PATHS: Readonly<Record<string, (id: string) => readonly Dropped[]>> = {
  vault_policy: (name) => [{ path: `sys/policies/acl/${name}`, capabilities: READ_DELETE }],
  vault_database_secret_backend_connection: (path) => [{ path, capabilities: READ_DELETE }],
  vault_database_secret_backend_role: (path) => {
    const credentials = path.replace(/\/roles\/([^/]+)$/, "/creds/$1");
    return [
      { path, capabilities: READ_DELETE },
      { path: `sys/leases/lookup/${credentials}/`, capabilities: ["list", "sudo"] },
      { path: `sys/leases/revoke-prefix/${credentials}`, capabilities: ["update", "sudo"] },
    ];
  },
  vault_database_secret_backend_static_role: (path) => [{ path, capabilities: READ_DELETE }],
  vault_approle_auth_backend_role: (path) => [
    { path, capabilities: READ_DELETE },
    { path: `${path}/role-id`, capabilities: ["read"] },
  ],
};

/**
 * What Terraform is about to remove: a state's resources that the stack declares under no address.
 * @param resolve a value of the stack's JSON
 */
export function droppedPaths(
  stack: Stack,
  state: readonly StateResource[],
  resolve: (value: unknown) => string,
): Dropped[] {
  const forgotten = forgottenBy(stack);
  const declared = Object.entries(stack.json.resource).flatMap(([type, byId]) =>
    Object.values(byId).map((attributes) =>
      [type, importId(type, (key) => resolve(attributes[key]))].join(" "),
    ),
  );
  return state
    .filter(({ address }) => !forgotten.includes(address))
    .flatMap(({ type, attributes }) => {
      const id = importId(type, (key) => String(attributes[key]));
      return id === undefined || declared.includes(`${type} ${id}`) ? [] : (PATHS[type]?.(id) ?? []);
    });
}

const HEADING = "# What the config has dropped, and Terraform's state still knows.";

/** A policy's text with what it does not allow yet; the declared one where that is nothing. */
export function withDropped(text: string, dropped: readonly Dropped[]): string {
  const blocks = uncovered(text, dropped).map(
    ({ path, capabilities }) =>
      `path "${path}" {\n  capabilities = [${capabilities.map((name) => `"${name}"`).join(", ")}]\n}\n`,
  );
  return blocks.length > 0 ? `${text}\n${HEADING}\n${blocks.join("\n")}` : text;
}

/** Whether a policy is as declared, whatever it allows of what was dropped: init alone writes it. */
export function isDeclared(found: string | undefined, declared: string): boolean {
  const text = declared.trim();
  return found === text || found?.startsWith(`${text}\n\n${HEADING}\n`) === true;
}

/** Those that a policy does not allow. */
export function uncovered(text: string, dropped: readonly Dropped[]): Dropped[] {
  const rules = pathsOf([{ text }]).map(({ path, capabilities }) => ({
    pattern: patternOf(path),
    // What bounds one is about what is written.
    capabilities: capabilities.map((capability) => capability.split(" ", 1)[0]!),
  }));
  return dropped.filter(
    ({ path, capabilities }) =>
      !capabilities.every((capability) =>
        rules.some((rule) => rule.pattern.test(path) && rule.capabilities.includes(capability)),
      ),
  );
}

/** `+` is one segment, `*` any ending. */
function patternOf(path: string): RegExp {
  const segments = path.replace(/\*$/, "").split("/");
  const pattern = segments
    .map((segment) => (segment === "+" ? "[^/]+" : segment.replace(/[.?^${}()|[\]\\*]/g, "\\$&")))
    .join("/");
  return new RegExp(`^${pattern}${path.endsWith("*") ? ".*" : ""}$`);
}

/** Paths of a policy that another text of it does not name. */
export function missingPaths(found: string, declared: string): string[] {
  const has = pathsOf([{ text: found }]).map(({ path }) => path);
  return pathsOf([{ text: declared }])
    .map(({ path }) => path)
    .filter((path) => !has.includes(path));
}
