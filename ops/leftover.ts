import { escapeIdentifier, escapeLiteral } from "pg";
import type { ManifestDatabase } from "../verify/manifest";
import type { Deployment, StateResource, SuperuserLogin } from "./deployment";
import { asSuperuser } from "./superuser";

/** What destroy leaves where it is, so that the users' data stay. */
export interface Leftover {
  /** Of the resources, in Terraform's state. */
  readonly addresses: readonly string[];
  /** For people, a line each. */
  readonly lines: readonly string[];
}

/** How deploy tells what destroy left from what is somebody else's. */
function mark({ manifest }: Deployment): string {
  return `left by leasehold destroy, environment ${manifest.environment}`;
}

const KINDS = [
  { type: "postgresql_role", object: "ROLE", catalog: "pg_authid", table: "pg_roles", column: "rolname" },
  {
    type: "postgresql_database",
    object: "DATABASE",
    catalog: "pg_database",
    table: "pg_database",
    column: "datname",
  },
] as const;

/** A schema that holds objects, with its owner, and a database that the stack made. */
export async function findLeftover(
  deployment: Deployment,
  state: readonly StateResource[],
): Promise<Leftover> {
  const addresses: string[] = [];
  const lines: string[] = [];
  const find = (type: string, attributes: Readonly<Record<string, string>>) =>
    state.find(
      (resource) =>
        resource.type === type &&
        Object.entries(attributes).every(([key, value]) => resource.attributes[key] === value),
    );
  for (const database of deployment.manifest.databases) {
    const { name, schema, owner } = database;
    const made = find("postgresql_database", { name });
    if (made) {
      addresses.push(made.address);
      lines.push(`the database ${name}`);
    }
    const objects = await objectsOf(deployment.superuserOf(database), database);
    if (objects === 0) continue;
    const parts = [
      find("postgresql_schema", { name: schema, database: name }),
      find("postgresql_role", { name: owner }),
    ];
    addresses.push(...parts.flatMap((resource) => resource?.address ?? []));
    lines.push(
      `the schema ${schema} of the database ${name} with what it holds (${String(objects)} ${objects === 1 ? "object" : "objects"}), and its owner ${owner}`,
    );
  }
  return { addresses, lines };
}

/** Takes it out of the state, marked so that the next deploy takes it back. */
export async function leave(
  deployment: Deployment,
  { addresses }: Leftover,
  state: readonly StateResource[],
) {
  const stack = deployment.stack("postgres")!;
  const left = state.filter(({ address }) => addresses.includes(address));
  for (const { type, object } of KINDS) {
    for (const { attributes } of left.filter((resource) => resource.type === type)) {
      const name = String(attributes["name"]);
      const comment = escapeLiteral(mark(deployment));
      await asSuperuser(loginOfResource(deployment, name), (client) =>
        client.query(`COMMENT ON ${object} ${escapeIdentifier(name)} IS ${comment}`),
      );
    }
  }
  await deployment.terraform(stack, undefined).forget(addresses);
}

/** Takes back into Terraform's state what an earlier destroy left. */
export async function adopt(deployment: Deployment, onProgress: (text: string) => void): Promise<void> {
  const stack = deployment.stack("postgres")!;
  const state = await deployment.state(stack);
  for (const { type, object, catalog, table, column } of KINDS) {
    for (const [id, attributes] of Object.entries(stack.json.resource[type] ?? {})) {
      const address = `${type}.${id}`;
      if (state.some((resource) => resource.address === address)) continue;
      const name = String(attributes["name"]);
      await asSuperuser(loginOfResource(deployment, name), async (client) => {
        const { rowCount } = await client.query(
          `SELECT FROM ${table} WHERE ${column} = $1 AND shobj_description(oid, '${catalog}') = $2`,
          [name, mark(deployment)],
        );
        if (rowCount === 0) return;
        onProgress(`taking back the ${object.toLowerCase()} ${name}, which an earlier destroy left`);
        deployment.restore(stack);
        await deployment.terraform(stack, undefined).import(address, name);
        await client.query(`COMMENT ON ${object} ${escapeIdentifier(name)} IS NULL`);
      });
    }
  }
}

/** Of an owner or a database of the manifest. */
function loginOfResource(deployment: Deployment, name: string): SuperuserLogin {
  const { databases } = deployment.manifest;
  const database = databases.find((candidate) => candidate.name === name || candidate.owner === name);
  return deployment.superuserOf(database ?? databases[0]!);
}

/** Tables, functions, types …: what would stand in the way of DROP SCHEMA. */
async function objectsOf(login: SuperuserLogin, { name, schema }: ManifestDatabase): Promise<number> {
  const count = await asSuperuser(
    login,
    async (client) => {
      const { rows } = await client.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM pg_depend
         WHERE refclassid = 'pg_namespace'::regclass AND deptype = 'n'
           AND refobjid = (SELECT oid FROM pg_namespace WHERE nspname = $1)`,
        [schema],
      );
      return rows[0]!.count;
    },
    name,
  );
  return count ?? 0;
}
