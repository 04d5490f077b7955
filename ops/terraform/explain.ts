import type { Deployment, Stack } from "../deployment/deployment";
import { TerraformError, type Diagnostic } from "./terraform";

/** The id for terraform import, for the types whose creation fails where the object exists; the others are overwritten. */
const IMPORT_ID: Readonly<
  Record<string, (attribute: (name: string) => string, message: string) => string | undefined>
> = {
  postgresql_role: (attribute) => attribute("name"),
  postgresql_database: (attribute) => attribute("name"),
  vault_mount: (attribute) => attribute("path"),
  vault_auth_backend: (attribute) => attribute("path"),
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
  const { environment } = deployment.manifest;
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
  const id = IMPORT_ID[type]?.((key) => deployment.resolve(stack, attributes[key]), message);
  if (id === undefined) return diagnostic;
  // In a shell of its own, where the secrets stay.
  const command = `(eval "$(npx leasehold env --env ${environment})" && terraform -chdir=cdktf.out/stacks/${stack.name} import ${address} ${id})`;
  const another =
    stack.name === "platform"
      ? `set TF_VAR_${deployment.variableFor("platform-name")!} to another name`
      : `choose another name in config/${environment}.ts`;
  return {
    ...diagnostic,
    summary: message.trim(),
    detail: `it is not in Terraform's state; if a killed deploy made it, ${command}; if it is somebody else's, ${another}`,
  };
}
