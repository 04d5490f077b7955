import { escapeIdentifier as ident, type Client } from "pg";
import { privilegesIn } from "../../manifest/privileges";
import type { ManifestDatabase } from "../../manifest/schema";
import type { Deployment } from "../deployment/deployment";
import { asSuperuser } from "./superuser";

/** What is granted on as a table: the catalogs' kind, and its columns. */
interface Relation {
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  readonly columns: readonly string[];
}

const RELATIONS = `
  SELECT nspname::text AS schema, relname::text AS name, relkind::text AS kind,
    ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND NOT attisdropped) AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE nspname = ANY ($1) AND relname = ANY ($2) AND relkind IN ('r', 'p', 'v', 'm', 'f')`;

/**
 * Tables and columns on which personas have privileges by their names, and that are not there. The provider reads back grants on
 * columns of ordinary tables alone: others would be a difference in each plan.
 * @returns a line each
 */
export async function missingTables(deployment: Deployment, database: ManifestDatabase): Promise<string[]> {
  const wanted = database.personas.flatMap((persona) =>
    database.schemas.flatMap(({ name: schema }) =>
      privilegesIn(persona, schema).namedTables.map((table) => ({ ...table, schema, persona: persona.name })),
    ),
  );
  if (wanted.length === 0) return [];
  const found = await relations(deployment, database, wanted);
  return wanted.flatMap(({ schema, name, columns, persona }) => {
    const what = `${schema}.${name}, on which the persona ${persona} has privileges,`;
    const there = found.find((relation) => relation.schema === schema && relation.name === name);
    if (!there)
      return `the table ${what} is not there in the database ${database.name}: create it, or correct the config`;
    const named = [...new Set(Object.values(columns).flat())];
    if (named.length > 0 && there.kind !== "r")
      return `${what} is no ordinary table: Terraform's provider can't read back what is granted on its columns; grant on the whole of it`;
    return named
      .filter((column) => !there.columns.includes(column))
      .map(
        (column) =>
          `the column ${column} of ${what} is not there in the database ${database.name}: create it, or correct the config`,
      );
  });
}

/**
 * Has Terraform forget grants on tables and columns that are gone, and with them the grant: it would fail to revoke them. What such
 * a grant has left, on columns that are still there, is revoked.
 * @returns what was done, a line each
 */
export async function forgetGoneTables(deployment: Deployment): Promise<string[]> {
  const stack = deployment.stack("postgres")!;
  const grants = (await deployment.state(stack))
    .filter(({ type, attributes }) => {
      const { object_type: kind, objects } = attributes as { object_type?: string; objects?: string[] };
      return type === "postgresql_grant" && ["table", "column"].includes(kind!) && (objects ?? []).length > 0;
    })
    .map(({ address, attributes }) => ({ address, ...(attributes as unknown as TableGrant) }));
  const did: string[] = [];
  const gone: string[] = [];
  for (const database of deployment.manifest.databases) {
    const here = grants.filter((grant) => grant.database === database.name);
    if (here.length === 0) continue;
    const tables = here.map(({ schema, objects: [name] }) => ({ schema, name: name! }));
    const found = await relations(deployment, database, tables);
    for (const { address, role, schema, objects, columns, privileges } of here) {
      const [name] = objects;
      const there = found.find((relation) => relation.schema === schema && relation.name === name);
      const left = (columns ?? []).filter((column) => there?.columns.includes(column));
      if (there && left.length === (columns ?? []).length) continue;
      if (there && left.length > 0)
        await asSuperuser(
          deployment.superuserOf(database),
          (client) =>
            client.query(
              `REVOKE ${privileges.join(", ")} (${left.map(ident).join(", ")}) ON TABLE ${ident(schema)}.${ident(name!)} FROM ${ident(role)}`,
            ),
          database.name,
        );
      gone.push(address);
      did.push(
        `forgot what ${role} was granted on ${there ? "columns of " : ""}${schema}.${name!}, which ${there ? "are" : "is"} gone`,
      );
    }
  }
  deployment.restore(stack);
  await deployment.terraform(stack, undefined).forget(gone);
  return did;
}

interface TableGrant {
  readonly role: string;
  readonly database: string;
  readonly schema: string;
  /** One. */
  readonly objects: readonly string[];
  readonly columns?: readonly string[] | null;
  readonly privileges: readonly string[];
}

async function relations(
  deployment: Deployment,
  database: ManifestDatabase,
  tables: readonly { readonly schema: string; readonly name: string }[],
): Promise<readonly Relation[]> {
  const values = [tables.map(({ schema }) => schema), tables.map(({ name }) => name)];
  const query = async (client: Client) => (await client.query<Relation>(RELATIONS, values)).rows;
  return (await asSuperuser(deployment.superuserOf(database), query, database.name)) ?? [];
}
