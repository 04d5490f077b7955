import { madeOwnersOf, ownersOf } from "../../manifest/names";
import type { AccessManifest } from "../../manifest/schema";
import type { Deployment, Stack, StateResource } from "./deployment";

/** A resource that a deploy made and the config now has as one that exists. */
export interface HandedOver {
  readonly address: string;
  /** For people. */
  readonly line: string;
}

/** What the config names and no stack makes, by the type of the resource that would. */
const NAMED: Readonly<
  Record<string, (manifest: AccessManifest, attributes: StateResource["attributes"]) => string | undefined>
> = {
  postgresql_role: ({ databases }, { name }) =>
    databases.some(
      (each) => ownersOf(each).includes(String(name)) && !madeOwnersOf(each).includes(String(name)),
    )
      ? `the role ${String(name)}`
      : undefined,
  postgresql_schema: ({ databases }, { name, database }) =>
    databases.some(
      (each) =>
        each.name === database && each.schemas.some((schema) => schema.exists && schema.name === name),
    )
      ? `the schema ${String(name)} of the database ${String(database)}`
      : undefined,
  postgresql_database: ({ databases }, { name }) =>
    databases.some((each) => each.name === name) ? `the database ${String(name)}` : undefined,
  vault_mount: ({ databases }, { path }) =>
    databases.some(({ vault }) => vault.mount === path) ? `the mount ${String(path)}` : undefined,
  vault_auth_backend: ({ databases }, { path }) =>
    databases.some(({ personas }) => personas.some(({ login }) => login.authMount === path))
      ? `the auth mount ${String(path)}`
      : undefined,
};

/** What Terraform would drop though the config has it, as one that exists: it leaves the state, and stays as it is. */
export async function handedOver(deployment: Deployment, stack: Stack): Promise<HandedOver[]> {
  const forgotten = (stack.json.removed ?? []).map(({ from }) => from);
  return (await deployment.state(stack)).flatMap(({ address, type, attributes }) => {
    const [, id = ""] = address.split(/\.(.*)/s);
    const isDeclared = stack.json.resource[type]?.[id] !== undefined;
    const what =
      isDeclared || forgotten.includes(address) ? undefined : NAMED[type]?.(deployment.manifest, attributes);
    return what === undefined
      ? []
      : {
          address,
          line: `${what} stays, and leaves Terraform's state: the config has it as one that exists`,
        };
  });
}
