import { DefaultPrivileges } from "@cdktf/provider-postgresql/lib/default-privileges";
import { Database as DatabaseResource } from "@cdktf/provider-postgresql/lib/database";
import { Grant } from "@cdktf/provider-postgresql/lib/grant";
import { Role } from "@cdktf/provider-postgresql/lib/role";
import { Schema as SchemaResource } from "@cdktf/provider-postgresql/lib/schema";
import {
  Lazy,
  TerraformStack,
  type ITerraformDependable,
  type TerraformMetaArguments,
  type TerraformResource,
} from "cdktf";
import { Construct, type IConstruct } from "constructs";
import { OBJECT_KINDS, type Privilege } from "../../manifest/object-kinds";
import type { ManifestPublic } from "../../manifest/schema";
import { Forgotten } from "../forgotten";
import { Manifest } from "../manifest";
import { checkName, POSTGRES_DATABASE, POSTGRES_IDENTIFIER, POSTGRES_ROLE } from "../names";
import { AccessRole, type AccessRoleProps } from "./access-role";
import type { IPostgresServer } from "./server";
import { OF_A_DBA } from "./role-settings";

/** A schema. */
export interface ISchema {
  readonly schemaName: string;
}

export const Schema = {
  /** One that exists already, and is its owner's. */
  fromName: (schemaName: string): ISchema => ({ schemaName }),
};

/** The role that owns a schema. */
export interface IOwner {
  readonly roleName: string;
  /** @default - false */
  readonly isSuperuser?: boolean;
}

export const Owner = {
  /** One that exists already. */
  fromName: (roleName: string): IOwner => ({ roleName }),
  /** A superuser: its tables are handed out as any owner's are, and nobody acts as it. */
  superuser: (roleName: string): IOwner => ({ roleName, isSuperuser: true }),
};

/** A schema of a database, in which personas have privileges. */
export interface DatabaseSchema {
  readonly name: string;
  /** Whose objects they are on, those that it makes later too. */
  readonly owner: string;
  /** Nobody acts as it, nor is a member of it. */
  readonly ownerIsSuperuser: boolean;
  /** Other roles whose later objects they are on as well. */
  readonly creators: readonly string[];
}

/** A database with schemas in which personas have privileges. */
export interface IDatabase extends IConstruct {
  readonly databaseName: string;
  /** The search path of its logins. */
  readonly schemas: readonly [DatabaseSchema, ...DatabaseSchema[]];
  /** The first schema's: as whom its logins act that act as the owner. */
  readonly ownerName: string;
  readonly server?: IPostgresServer;
  /** Where its roles live, so that none can take the id of a part of the database. */
  readonly roles: Construct;
  /** Adds a group role with privileges there. */
  addRole(id: string, props: Omit<AccessRoleProps, "database">): AccessRole;
  /** Lets the owner do on the database what its personas declare. */
  grantOwner(...privileges: Privilege<"database">[]): void;
  /** Adds a resource that writes an ACL or a membership: they run one after the other. */
  chain<Resource extends TerraformResource>(make: (meta: TerraformMetaArguments) => Resource): Resource;
  /** All that was added so far, for a resource of the same stack that needs it. Another stack depends on this one. */
  requiredBy(resource: IConstruct): ITerraformDependable[] | undefined;
}

/** What names a database that exists already. */
export interface DatabaseNames {
  /** The database's name. */
  readonly name: string;
  readonly schema: string;
  /** Who owns the schema. */
  readonly owner: string;
  /**
   * Roles beside the owner whose later objects are for the personas as well.
   * @default - none
   */
  readonly creators?: readonly string[];
  /**
   * Where it is.
   * @default - on the server of the stack's provider without an alias
   */
  readonly server?: IPostgresServer;
}

abstract class DatabaseBase extends Construct implements IDatabase {
  readonly databaseName: string;
  readonly schemas: IDatabase["schemas"];
  readonly ownerName: string;
  readonly server?: IPostgresServer;
  readonly roles = new Construct(this, "Roles");
  /** Where the parts of its schemas but the first live. */
  protected readonly further = new Construct(this, "Schemas");
  protected readonly ownerPrivileges = new Set<Privilege<"database">>(["CREATE"]);
  private last?: TerraformResource;

  constructor(
    scope: Construct,
    id: string,
    {
      name,
      server,
      exists,
      public: kept = "take",
    }: Pick<DatabaseProps, "name" | "server" | "exists" | "public">,
    schemas: readonly [DeclaredSchema, ...DeclaredSchema[]],
  ) {
    super(scope, id);
    this.databaseName = checkName(POSTGRES_DATABASE, "database name", name);
    for (const { name, owner, creators } of schemas) {
      checkName(POSTGRES_IDENTIFIER, "schema", name);
      checkName(POSTGRES_ROLE, "owner", owner);
      for (const creator of creators) checkName(POSTGRES_ROLE, "creator", creator);
    }
    this.schemas = schemas;
    this.ownerName = schemas[0].owner;
    this.server = server;
    Manifest.of(this).addToDatabase(this, name, () => ({
      name,
      ...{ exists: exists ? true : undefined, public: kept === "take" ? undefined : kept },
      schema: schemas[0].name,
      owner: this.ownerName,
      schemas: schemas.map(({ name, owner, creators, exists, keepsPublic, ...of }) => ({
        ...{ name, owner, creators: creators.length > 0 ? [...creators] : undefined },
        ...{ exists: exists || undefined, ownerExists: of.ownerExists || undefined },
        ownerIsSuperuser: of.ownerIsSuperuser || undefined,
        public: keepsPublic && kept === "take" ? (["USAGE"] as const) : undefined,
      })),
      server: server?.serverName,
    }));
  }

  addRole(id: string, props: Omit<AccessRoleProps, "database">): AccessRole {
    return new AccessRole(this.roles, id, { database: this, ...props });
  }

  grantOwner(...privileges: Privilege<"database">[]): void {
    for (const privilege of privileges) this.ownerPrivileges.add(privilege);
  }

  /** Adds a resource that writes an ACL or a membership: side by side they race for the same catalog row ("tuple concurrently updated"). */
  chain<Resource extends TerraformResource>(make: (meta: TerraformMetaArguments) => Resource): Resource {
    const added = make({ dependsOn: this.last && [this.last], provider: this.server?.provider });
    this.last = added;
    return added;
  }

  requiredBy(resource: IConstruct): ITerraformDependable[] | undefined {
    const { last } = this;
    return last && TerraformStack.of(last) === TerraformStack.of(resource) ? [last] : undefined;
  }
}

/** One that exists already, with its schema and owner: nothing of it is made or taken. */
class ExistingDatabase extends DatabaseBase {}

export interface SchemaProps {
  /**
   * By its name it is created, or made the owner's if it exists; {@link Schema.fromName} leaves it as it is. So does the name
   * `public`, of the schema that each database has from the start.
   */
  readonly schema: string | ISchema;
  /**
   * The role that owns the schema and, through default privileges, hands out what is created there. By its name it is created,
   * and can't log in; {@link Owner.fromName} leaves it as it is.
   */
  readonly owner: string | IOwner;
  /**
   * Roles that exist already, and whose later objects are handed out as well.
   * @default - none
   */
  readonly creators?: readonly string[];
}

export interface DatabaseProps extends SchemaProps, Pick<DatabaseNames, "name" | "server"> {
  /**
   * Makes the database, and never drops it: what it holds is the users'.
   * @default - it is there already
   */
  readonly create?: boolean;
  /**
   * Says that it is somebody else's, and may be an owner's of its schemas. One that was made here before is let go.
   * @default - no owner of its schemas owns it
   */
  readonly exists?: boolean;
  /**
   * What becomes of PUBLIC's privileges on the database, its schemas and their functions, later ones too. Where it keeps some,
   * nothing is revoked of it, and the verifier holds it to them.
   * @default - it has none
   */
  readonly public?: ManifestPublic;
  /**
   * Its other schemas, in the order of the search path. Logins that act as the owner act as the first one's.
   * @default - none
   */
  readonly furtherSchemas?: readonly SchemaProps[];
}

interface DeclaredSchema extends DatabaseSchema {
  /** It is neither made nor given to its owner. */
  readonly exists: boolean;
  /** PUBLIC keeps USAGE on it, by which its owner may be there. */
  readonly keepsPublic: boolean;
  /** The owner is neither made nor altered. */
  readonly ownerExists: boolean;
}

function declared({ schema, owner, creators = [] }: SchemaProps): DeclaredSchema {
  return {
    name: typeof schema === "string" ? schema : schema.schemaName,
    owner: typeof owner === "string" ? owner : owner.roleName,
    creators,
    exists: typeof schema !== "string" || schema === PUBLIC_SCHEMA,
    keepsPublic: typeof schema !== "string",
    ownerExists: typeof owner !== "string",
    ownerIsSuperuser: typeof owner !== "string" && owner.isSuperuser === true,
  };
}

/** Each database has it from the start, and PUBLIC has USAGE on it (up to PostgreSQL 14 CREATE as well). */
const PUBLIC_SCHEMA = "public";

/**
 * A database's schemas and their owners, with PUBLIC's privileges taken away, so that what a persona can do is what was
 * granted to it. PostgreSQL gives PUBLIC CONNECT and TEMPORARY on databases, USAGE on the schema public and EXECUTE on
 * functions (https://www.postgresql.org/docs/18/ddl-priv.html).
 */
export class Database extends DatabaseBase {
  /** One that exists already, with its schema and owner; PUBLIC keeps what it has there. */
  static fromNames(scope: Construct, id: string, names: DatabaseNames): IDatabase {
    const { schema, owner, creators } = names;
    return new ExistingDatabase(scope, id, { ...names, public: "keep" }, [
      declared({ schema: Schema.fromName(schema), owner, creators }),
    ]);
  }

  /** Owners that are made, with a reference to each. */
  private readonly owners = new Map<string, string>();
  /** Roles whose later functions PUBLIC may not execute. */
  private readonly closed = new Set<string>();

  /** Nothing is PUBLIC's. */
  private readonly takes: boolean;

  constructor(scope: Construct, id: string, { furtherSchemas = [], ...props }: DatabaseProps) {
    super(scope, id, props, [declared(props), ...furtherSchemas.map(declared)]);
    this.takes = (props.public ?? "take") === "take";
    const { name, create, exists } = props;
    if (create) {
      const lifecycle = { preventDestroy: true };
      this.chain((meta) => new DatabaseResource(this, "Resource", { name, ...meta, lifecycle }));
    } else if (exists) new Forgotten(this, "Resource", "postgresql_database");
    // The first one's resources stand where they stood when there was no other.
    const schemas = [props, ...furtherSchemas].map((each, i) => {
      const scope = i === 0 ? this : new Construct(this.further, declared(each).name);
      return [scope, each] as const;
    });
    for (const [scope, { owner }] of schemas)
      if (typeof owner === "string") this.makeOwner(scope, owner);
      else new Forgotten(scope, "Owner", "postgresql_role");
    for (const [scope, each] of schemas) this.addSchema(scope, each);
  }

  private makeOwner(scope: Construct, name: string): void {
    if (this.owners.has(name)) return;
    const config = {
      name,
      login: false,
      searchPath: this.schemas.map((schema) => schema.name),
      lifecycle: { ignoreChanges: OF_A_DBA },
    };
    this.owners.set(name, this.chain((meta) => new Role(scope, "Owner", { ...config, ...meta })).name);
  }

  private addSchema(scope: Construct, props: SchemaProps): void {
    const { name: schema, owner, creators, exists, keepsPublic, ownerExists } = declared(props);
    const on = { database: this.databaseName, objectType: "database" };
    const inSchema = { ...on, schema };
    const role = this.owners.get(owner) ?? owner;
    // One that exists has what it has on the database, and would lose it to a grant that goes.
    if (scope === this && ownerExists) new Forgotten(this, "OwnerDatabase", "postgresql_grant");
    else if (scope === this)
      this.chain((meta) => {
        const privileges = Lazy.listValue({ produce: () => [...this.ownerPrivileges].sort() });
        return new Grant(this, "OwnerDatabase", { ...on, role, privileges, ...meta });
      });
    if (typeof props.schema !== "string") new Forgotten(scope, "Schema", "postgresql_schema");
    if (!exists)
      this.chain((meta) => {
        const of = { database: this.databaseName, owner: role, dropCascade: false };
        return new SchemaResource(scope, "Schema", { name: schema, ...of, ...meta });
      });
    else if (this.owners.has(owner))
      this.chain((meta) => {
        const privileges = [...OBJECT_KINDS.schema.privileges].sort();
        return new Grant(scope, "OwnerSchema", {
          ...inSchema,
          objectType: "schema",
          role,
          privileges,
          ...meta,
        });
      });

    if (scope === this) this.takeFromPublic(this, "PublicDatabase", Grant, on);
    if (schema === PUBLIC_SCHEMA && !keepsPublic)
      this.takeFromPublic(scope, "PublicSchema", Grant, { ...inSchema, objectType: "schema" });
    this.takeFromPublic(scope, "PublicFunctions", Grant, { ...inSchema, objectType: "function" });
    this.takeFromPublic(scope, "PublicProcedures", Grant, { ...inSchema, objectType: "procedure" });
    // Without a schema: default privileges of a schema can only add to those of the whole database.
    for (const maker of [owner, ...creators]) {
      if (this.closed.has(maker)) continue;
      this.closed.add(maker);
      const place = maker === owner ? scope : new Construct(scope, `Creator-${maker}`);
      const functions = { ...on, owner: this.owners.get(maker) ?? maker, objectType: "function" };
      this.takeFromPublic(place, "PublicDefaultFunctions", DefaultPrivileges, functions);
    }
  }

  /** Where PUBLIC keeps what it has, what an earlier deploy has taken is forgotten. */
  private takeFromPublic<Config extends TerraformMetaArguments>(
    scope: Construct,
    id: string,
    Taken: {
      new (scope: Construct, id: string, config: Config): TerraformResource;
      readonly tfResourceType: string;
    },
    from: Omit<Config, "role" | "privileges">,
  ): void {
    const nobody = { role: "public", privileges: [] };
    if (this.takes) this.chain((meta) => new Taken(scope, id, { ...from, ...nobody, ...meta } as never));
    else new Forgotten(scope, id, Taken.tfResourceType);
  }
}
