import type { Deployment, Stack } from "../deployment/deployment";
import { TerraformError, type Diagnostic } from "./terraform";

/** The id for terraform import. */
const IMPORT_ID: Readonly<
  Record<string, (attribute: (name: string) => string, message: string) => string | undefined>
> = {
  postgresql_role: (attribute) => attribute("name"),
  postgresql_database: (attribute) => attribute("name"),
  postgresql_schema: (attribute) => `${attribute("database")}.${attribute("name")}`,
  vault_mount: (attribute) => attribute("path"),
  vault_auth_backend: (attribute) => attribute("path"),
  vault_policy: (attribute) => attribute("name"),
  vault_database_secret_backend_connection: (attribute) =>
    `${attribute("backend")}/config/${attribute("name")}`,
  vault_database_secret_backend_role: (attribute) => `${attribute("backend")}/roles/${attribute("name")}`,
  vault_database_secret_backend_static_role: (attribute) =>
    `${attribute("backend")}/static-roles/${attribute("name")}`,
  vault_approle_auth_backend_role: (attribute) =>
    `auth/${attribute("backend")}/role/${attribute("role_name")}`,
  docker_container: (_, message) => /by container "?([0-9a-f]{64})/.exec(message)?.[1],
  docker_network: (attribute) => `"$(docker network inspect --format '{{.Id}}' ${attribute("name")})"`,
};
const EXISTS = /already (exists|in use)/i;

/**
 * Adds the remedy to each error about an object that exists and is not in the state (a killed deploy made it, or somebody
 * else), and where to look to that of a container which does not become healthy.
 */
export function explain(error: TerraformError, deployment: Deployment, stack: Stack): TerraformError {
  return new TerraformError(error.diagnostics.map((diagnostic) => withRemedy(diagnostic, deployment, stack)));
}

function withRemedy(diagnostic: Diagnostic, deployment: Deployment, stack: Stack): Diagnostic {
  const { address = "", summary, detail } = diagnostic;
  const message = `${summary} ${detail}`;
  const [type, name] = address.split(".") as [string, string];
  const attributes = stack.json.resource[type]?.[name];
  if (message.includes("healthy state") && attributes) {
    const container = deployment.resolve(stack, attributes["name"]);
    return {
      ...diagnostic,
      detail: `see docker logs ${container}; once that is fixed, or with the image that it had before, deploy replaces it`,
    };
  }
  if (!EXISTS.test(message) || !attributes) return diagnostic;
  const id = importId(type, (key) => deployment.resolve(stack, attributes[key]), message);
  if (id === undefined) return diagnostic;
  return {
    ...diagnostic,
    summary: message.trim(),
    detail: `it is not in Terraform's state; ${waysOut(deployment, stack, address, id)}`,
  };
}

/**
 * The id of a resource for terraform import.
 * @param message of the server that has it already, which names a container's
 * @returns undefined where the type is not known
 */
export function importId(
  type: string,
  attribute: (name: string) => string,
  message = "",
): string | undefined {
  return IMPORT_ID[type]?.(attribute, message);
}

/** What to do about an object that is there and in no state. */
export function waysOut(deployment: Deployment, stack: Stack, address: string, id: string): string {
  const { environment } = deployment.manifest;
  // In a shell of its own, where the secrets stay.
  const command = `(eval "$(npx leasehold env --env ${environment})" && terraform -chdir=cdktf.out/stacks/${stack.name} import ${address} ${id})`;
  const isMount = /^vault_(mount|auth_backend)\./.test(address);
  const another =
    stack.name === "platform"
      ? `set TF_VAR_${deployment.variableFor("platform-name")!} to another name`
      : `${isMount ? "say that it exists ({ path, exists: true }) or " : ""}choose another name in config/${environment}.ts`;
  return `if a killed deploy made it, ${command}; if it is somebody else's, ${another}`;
}
