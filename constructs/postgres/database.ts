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
import type { Privilege } from "../../manifest/object-kinds";
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
}

export const Owner = {
  /** One that exists already. */
  fromName: (roleName: string): IOwner => ({ roleName }),
};

/** A database with a schema in which personas have privileges. */
export interface IDatabase extends IConstruct {
  readonly databaseName: string;
  readonly schemaName: string;
  /** Who owns the schema. */
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
   * Where it is.
   * @default - on the server of the stack's provider without an alias
   */
  readonly server?: IPostgresServer;
}

abstract class DatabaseBase extends Construct implements IDatabase {
  readonly databaseName: string;
  readonly schemaName: string;
  readonly ownerName: string;
  readonly server?: IPostgresServer;
  readonly roles = new Construct(this, "Roles");
  protected readonly ownerPrivileges = new Set<Privilege<"database">>(["CREATE"]);
  private last?: TerraformResource;

  constructor(scope: Construct, id: string, { name, schema, owner, server }: DatabaseNames) {
    super(scope, id);
    this.databaseName = checkName(POSTGRES_DATABASE, "database name", name);
    this.schemaName = checkName(POSTGRES_IDENTIFIER, "schema", schema);
    this.ownerName = checkName(POSTGRES_ROLE, "owner", owner);
    this.server = server;
    Manifest.of(this).addToDatabase(this, name, () => ({
      name,
      schema,
      owner,
      schemas: [{ name: schema, owner }],
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

export interface DatabaseProps extends Pick<DatabaseNames, "name" | "server"> {
  /**
   * Makes the database, and never drops it: what it holds is the users'.
   * @default - it is there already
   */
  readonly create?: boolean;
  /** By its name it is created, or made the owner's if it exists; {@link Schema.fromName} leaves it as it is. */
  readonly schema: string | ISchema;
  /**
   * The role that owns the schema and, through default privileges, hands out what is created there. By its name it is created,
   * and can't log in; {@link Owner.fromName} leaves it as it is.
   */
  readonly owner: string | IOwner;
}

/**
 * A database's schema and its owner, with PUBLIC's privileges taken away, so that what a persona can do is what was
 * granted to it. PostgreSQL gives PUBLIC CONNECT and TEMPORARY on databases and EXECUTE on functions
 * (https://www.postgresql.org/docs/18/ddl-priv.html).
 */
export class Database extends DatabaseBase {
  /** One that exists already, with its schema and owner; PUBLIC keeps what it has there. */
  static fromNames(scope: Construct, id: string, names: DatabaseNames): IDatabase {
    return new ExistingDatabase(scope, id, names);
  }

  constructor(scope: Construct, id: string, props: DatabaseProps) {
    const { name, server, create, schema, owner } = props;
    super(scope, id, {
      name,
      server,
      schema: typeof schema === "string" ? schema : schema.schemaName,
      owner: typeof owner === "string" ? owner : owner.roleName,
    });
    const on = { database: this.databaseName, objectType: "database" };

    if (create) {
      const lifecycle = { preventDestroy: true };
      this.chain((meta) => new DatabaseResource(this, "Resource", { name, ...meta, lifecycle }));
    }
    const role = typeof owner === "string" ? this.makeOwner(owner) : this.ownerName;
    this.chain((meta) => {
      const privileges = Lazy.listValue({ produce: () => [...this.ownerPrivileges].sort() });
      return new Grant(this, "OwnerDatabase", { ...on, role, privileges, ...meta });
    });
    if (typeof schema === "string") {
      const of = { database: this.databaseName, owner: role, dropCascade: false };
      this.chain((meta) => new SchemaResource(this, "Schema", { name: schema, ...of, ...meta }));
    }

    const nobody = { role: "public", ...on, privileges: [] };
    this.chain((meta) => new Grant(this, "PublicDatabase", { ...nobody, ...meta }));
    this.chain((meta) => {
      const functions = { schema: this.schemaName, objectType: "function" };
      return new Grant(this, "PublicFunctions", { ...nobody, ...functions, ...meta });
    });
    // Without a schema: default privileges of a schema can only add to those of the whole database.
    this.chain((meta) => {
      const functions = { owner: role, objectType: "function" };
      return new DefaultPrivileges(this, "PublicDefaultFunctions", { ...nobody, ...functions, ...meta });
    });
  }

  private makeOwner(name: string): string {
    const config = {
      name,
      login: false,
      searchPath: [this.schemaName],
      lifecycle: { ignoreChanges: OF_A_DBA },
    };
    return this.chain((meta) => new Role(this, "Owner", { ...config, ...meta })).name;
  }
}
