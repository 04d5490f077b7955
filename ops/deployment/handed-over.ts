import { LEASE_SCHEMA } from "../../manifest/names";
import { forgottenBy, type Attributes, type Deployment, type Stack } from "./deployment";

/** What the config may have as one that exists after a deploy has made it, by the type of the resource. */
const WHAT: Readonly<Record<string, (attributes: Attributes) => string>> = {
  postgresql_role: ({ name }) => `the role ${String(name)}`,
  postgresql_schema: ({ name, database }) => `the schema ${String(name)} of the database ${String(database)}`,
  postgresql_database: ({ name }) => `the database ${String(name)}`,
  vault_mount: ({ path }) => `the mount ${String(path)}`,
  vault_auth_backend: ({ path }) => `the auth mount ${String(path)}`,
};

/** What Terraform is about to forget since the config has it as one that exists, for people, a line each. */
export async function handedOver(deployment: Deployment, stack: Stack): Promise<string[]> {
  const forgotten = forgottenBy(stack);
  return (await deployment.state(stack))
    .filter(({ address, attributes }) => forgotten.includes(address) && attributes["name"] !== LEASE_SCHEMA)
    .flatMap(({ type, attributes }) => WHAT[type]?.(attributes) ?? [])
    .map((what) => `${what} stays, and leaves Terraform's state: the config has it as one that exists`);
}
