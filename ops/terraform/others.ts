import { SetupError } from "../../clients/setup-error";
import { printable } from "../../clients/text";
import { VaultError } from "../../clients/vault-client";
import { LEASE_SCHEMA, policyMark } from "../../manifest/names";
import type { Attributes, Deployment, Stack, StackName, SuperuserLogin } from "../deployment/deployment";
import type { Marked } from "../postgres/leftover";
import { asSuperuser } from "../postgres/superuser";
import { deployedPolicies, foreignOwner } from "../vault/marked-policies";
import { importId, waysOut } from "./explain";

/** What a stack declares and Terraform's state does not know. */
interface Missing {
  readonly stack: Stack;
  readonly type: string;
  readonly address: string;
  readonly attributes: Attributes;
  /** As terraform import takes it. */
  readonly id: string;
  /** The one that its address has in the state, which Terraform is about to rename or replace. */
  readonly former?: string;
}

/**
 * Terraform fails half-way at some of what is there already, and writes over the rest. For before it changes anything.
 * @param marked what an earlier destroy has left
 * @throws SetupError with a line for each object that a stack would make, that is there, and that this environment has not made
 */
export async function checkOthers(deployment: Deployment, marked: readonly Marked[]): Promise<void> {
  const lines = [...(await inPostgres(deployment, marked)), ...(await inVault(deployment))];
  if (lines.length > 0) throw new SetupError(lines.join("\n"));
}

/** What has its name in the state is Terraform's, under whatever address; what is renamed in place has another. */
async function missingFrom(deployment: Deployment, name: StackName): Promise<Missing[]> {
  const stack = deployment.stack(name)!;
  const state = await deployment.state(stack);
  const declared = Object.entries(stack.json.resource).flatMap(([type, byId]) =>
    Object.entries(byId).flatMap(([key, attributes]): Missing[] => {
      const id = importId(type, (attribute) => deployment.resolve(stack, attributes[attribute]));
      return id === undefined ? [] : [{ stack, type, address: `${type}.${key}`, attributes, id }];
    }),
  );
  // Two servers may have a role of one name.
  const isElsewhere = (address: string, { attributes }: Missing) => {
    const at = declared.find((resource) => resource.address === address);
    return at !== undefined && at.attributes["provider"] !== attributes["provider"];
  };
  const known = state.map(({ type, address, attributes }) => ({
    type,
    address,
    id: importId(type, (key) => String(attributes[key])),
  }));
  return declared
    .filter(
      (resource) =>
        !known.some(
          ({ type, address, id }) =>
            type === resource.type && id === resource.id && !isElsewhere(address, resource),
        ),
    )
    .map((resource) => ({
      ...resource,
      former: known.find(({ address }) => address === resource.address)?.id,
    }));
}

function line(deployment: Deployment, { stack, address, id, former }: Missing, what: string): string {
  const ways =
    former === undefined
      ? waysOut(deployment, stack, address, id)
      : `choose another name in config/${deployment.manifest.environment}.ts`;
  return `${what} is there already and not in Terraform's state; ${ways}, or destroy the environment that made it`;
}

async function inPostgres(deployment: Deployment, marked: readonly Marked[]): Promise<string[]> {
  const missing = (await missingFrom(deployment, "postgres")).filter(
    ({ address }) => !marked.some((left) => left.address === address),
  );
  const lines: string[] = [];
  for (const login of deployment.superusers()) {
    const at = `on PostgreSQL at ${login.host}:${String(login.port)}`;
    const here = missing.filter(
      ({ attributes }) => deployment.serverOf(attributes["provider"]) === login.server,
    );
    const found = await asSuperuser(login, (client) =>
      client.query<{ type: string; id: string }>(
        `SELECT 'postgresql_role' AS type, rolname AS id FROM pg_roles WHERE rolname = ANY ($1)
         UNION ALL SELECT 'postgresql_database', datname FROM pg_database WHERE datname = ANY ($1)`,
        [here.flatMap(({ id, former = id }) => [id, former])],
      ),
    );
    for (const resource of here) {
      const { type, id, former = id } = resource;
      const kind = type === "postgresql_role" ? "role" : "database";
      const isThere = (name: string) => found!.rows.some((row) => row.type === type && row.id === name);
      if (type === "postgresql_schema") lines.push(...(await schemaIn(deployment, login, resource)));
      // Where the former is gone, a deploy that was killed has renamed it.
      else if (isThere(id) && isThere(former))
        lines.push(line(deployment, resource, `the ${kind} ${id} ${at}`));
    }
  }
  return lines;
}

/** One that its declared owner owns is what a killed deploy or a destroy has left, or that owner's, who is refused himself. */
async function schemaIn(deployment: Deployment, login: SuperuserLogin, resource: Missing): Promise<string[]> {
  const [name, database, owner] = ["name", "database", "owner"].map((attribute) =>
    deployment.resolve(resource.stack, resource.attributes[attribute]),
  );
  // Of which ops/postgres/lease-functions.ts looks at more.
  if (name === LEASE_SCHEMA) return [];
  const found = await asSuperuser(
    login,
    (client) =>
      client.query<{ owner: string }>(
        "SELECT pg_get_userbyid(nspowner) AS owner FROM pg_namespace WHERE nspname = $1",
        [name],
      ),
    database,
  );
  return (found?.rows ?? [])
    .filter((row) => row.owner !== owner)
    .map((row) =>
      line(
        deployment,
        resource,
        `the schema ${name!} (${printable(row.owner)}'s) of the database ${database!} on PostgreSQL at ${login.host}:${String(login.port)}`,
      ),
    );
}

interface VaultKind {
  readonly kind: string;
  /** Where it is read, by its id. */
  readonly path?: (id: string) => string;
  /** Attributes of which one that a killed deploy has made has the declared values. None tells a mount from another. */
  readonly same?: readonly string[];
}

const VAULT_KINDS: Readonly<Record<string, VaultKind>> = {
  vault_mount: { kind: "mount", path: (id) => `sys/mounts/${id}` },
  vault_auth_backend: { kind: "auth mount", path: (id) => `sys/mounts/auth/${id}` },
  vault_policy: { kind: "policy", path: (id) => `sys/policies/acl/${id}` },
  vault_database_secret_backend_connection: { kind: "connection", same: ["connection_url", "username"] },
  vault_database_secret_backend_role: { kind: "database role", same: ["db_name", "creation_statements"] },
  vault_database_secret_backend_static_role: { kind: "static role", same: ["db_name", "username"] },
  vault_approle_auth_backend_role: {
    kind: "AppRole",
    same: ["token_policies", "token_ttl", "token_max_ttl", "secret_id_ttl", "secret_id_num_uses"],
  },
};

async function inVault(deployment: Deployment): Promise<string[]> {
  const vault = deployment.vault().withToken(deployment.token("operator"));
  const { environment, databases } = deployment.manifest;
  const state = await deployment.state(deployment.stack("vault")!);
  const marks = [
    ...databases.map((database) => policyMark(environment, database)),
    ...deployedPolicies(environment, state).marks,
  ];
  const lines: string[] = [];
  for (const resource of await missingFrom(deployment, "vault")) {
    const { stack, type, id, attributes } = resource;
    const { kind, path, same } = VAULT_KINDS[type]!;
    const answer = await vault.request("GET", path?.(id) ?? id);
    if (answer.status >= 500) throw new VaultError(answer);
    // Not there; or not to be read with this token, as is what it may not write either.
    if (answer.status !== 200) continue;
    const what = `the ${kind} ${id} of Vault at ${vault.address}`;
    const found = answer.body.data ?? {};
    if (type === "vault_policy") {
      const owner = foreignOwner(
        String(found["policy"]),
        deployment.resolve(stack, attributes["policy"]),
        marks,
      );
      if (owner !== undefined)
        lines.push(
          `${what} is ${owner}: choose another name in config/${environment}.ts, or run npx leasehold init --take-over where it is to be replaced`,
        );
    } else if (!same || !agree(same, flat(deployment.valueIn(stack, attributes)), flat(found)))
      lines.push(line(deployment, resource, what));
  }
  return lines;
}

/** Of a connection, what is PostgreSQL's stands in a block. */
function flat(value: unknown): Attributes {
  const attributes = value as Attributes;
  return {
    ...attributes,
    ...(attributes["postgresql"] as object),
    ...(attributes["connection_details"] as object),
  };
}

function agree(keys: readonly string[], declared: Attributes, found: Attributes): boolean {
  return keys.every((key) => JSON.stringify(declared[key]) === JSON.stringify(found[key]));
}
