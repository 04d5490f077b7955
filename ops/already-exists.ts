import type { Attributes, Stack } from "./deployment";
import { TerraformError, type Diagnostic } from "./terraform";

/** What Terraform's import wants, for the types whose creation fails where one is there; the others are written over. */
const IMPORT_ID: Readonly<Record<string, (attributes: Attributes, message: string) => string | undefined>> = {
  postgresql_role: ({ name }) => String(name),
  postgresql_database: ({ name }) => String(name),
  vault_mount: ({ path }) => String(path),
  vault_auth_backend: ({ path, type }) => String(path ?? type),
  docker_container: (_, message) => /by container "?([0-9a-f]{64})/.exec(message)?.[1],
  docker_network: ({ name }) => `"$(docker network inspect --format '{{.Id}}' ${String(name)})"`,
};
const EXISTS = /already (exists|in use)/i;

/**
 * Puts the remedy behind each error that comes from a thing which is there and not in the state: a killed deploy made it,
 * or somebody else.
 */
export function explain(error: TerraformError, stack: Stack, environment: string): TerraformError {
  return new TerraformError(
    error.diagnostics.map((diagnostic) => withImport(diagnostic, stack, environment)),
  );
}

function withImport(diagnostic: Diagnostic, stack: Stack, environment: string): Diagnostic {
  const { address = "", summary, detail } = diagnostic;
  const message = `${summary} ${detail}`;
  const [type, name] = address.split(".") as [string, string];
  const attributes = stack.json.resource[type]?.[name];
  const id = EXISTS.test(message) && attributes ? IMPORT_ID[type]?.(attributes, message) : undefined;
  if (id === undefined) return diagnostic;
  const command = `eval "$(npx leasehold env --env ${environment})" && terraform -chdir=cdktf.out/stacks/${stack.name} import ${address} ${id}`;
  return {
    ...diagnostic,
    summary: message.trim(),
    detail: `it is not in Terraform's state; if a killed deploy made it, ${command}; if it is somebody else's, choose another name in config/${environment}.ts`,
  };
}
