import type { Attributes, Deployment } from "../deployment/deployment";

/** What the stack postgres writes, each on a server. */
export interface StackContent {
  readonly roles: readonly { server: string; name: string; login: boolean; isOwner: boolean }[];
  readonly schemas: readonly { server: string; database: string; name: string; owner: string }[];
  /** Those on whole databases, schemas, and all functions of a schema; Terraform revokes all else that the role has there. */
  readonly grants: readonly {
    readonly server: string;
    readonly database: string;
    /** In PostgreSQL's words, such as `function`. */
    readonly kind: string;
    readonly schema?: string;
    readonly role: string;
    readonly privileges: readonly string[];
    /** In no state yet. */
    readonly isNew: boolean;
  }[];
  /** Default privileges that are taken from PUBLIC, of all schemas. */
  readonly defaults: readonly { server: string; database: string; owner: string; isNew: boolean }[];
}

export async function readStack(deployment: Deployment): Promise<StackContent> {
  const stack = deployment.stack("postgres")!;
  const known = (await deployment.state(stack)).map(({ address }) => address);
  const of = (type: string) =>
    Object.entries(stack.json.resource[type] ?? {}).map(([id, attributes]) => ({
      ...(deployment.valueIn(stack, attributes) as Attributes),
      server: deployment.serverOf(attributes["provider"]),
      isNew: !known.includes(`${type}.${id}`),
    })) as (Attributes & { server: string; isNew: boolean })[];
  const schemas = of("postgresql_schema").map(({ server, database, name, owner }) => ({
    ...{ server, database: String(database), name: String(name), owner: String(owner) },
  }));
  return {
    schemas,
    roles: of("postgresql_role").map(({ server, name, login }) => ({
      ...{ server, name: String(name), login: login === true },
      isOwner: schemas.some((schema) => schema.server === server && schema.owner === name),
    })),
    grants: of("postgresql_grant")
      .filter(({ objects }) => objects === undefined)
      .map(({ server, isNew, database, object_type, schema, role, privileges }) => ({
        ...{ server, isNew, database: String(database), kind: String(object_type) },
        ...{ schema: schema as string | undefined, role: String(role) },
        privileges: privileges as string[],
      })),
    defaults: of("postgresql_default_privileges")
      .filter(({ role, schema }) => role === "public" && schema === undefined)
      .map(({ server, isNew, database, owner }) => ({
        ...{ server, isNew, database: String(database), owner: String(owner) },
      })),
  };
}
