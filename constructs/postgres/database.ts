import { DefaultPrivileges } from "@cdktf/provider-postgresql/lib/default-privileges";
import { Database as DatabaseResource } from "@cdktf/provider-postgresql/lib/database";
import { Grant } from "@cdktf/provider-postgresql/lib/grant";
import { Role } from "@cdktf/provider-postgresql/lib/role";
import { Schema } from "@cdktf/provider-postgresql/lib/schema";
import type { ITerraformDependable, TerraformMetaArguments, TerraformProvider } from "cdktf";
import { Construct } from "constructs";
import { checkName, POSTGRES_DATABASE, POSTGRES_IDENTIFIER, POSTGRES_ROLE } from "../names";

export interface DatabaseProps {
  readonly name: string;
  /**
   * Makes the database, and never drops it: what it holds is the users'.
   * @default - it is there already
   */
  readonly create?: boolean;
  /** @default - the stack's provider without an alias */
  readonly provider?: TerraformProvider;
  /** Created if it is missing; made the owner's if it exists. */
  readonly schema: string;
  /** The role that owns the schema and, through default privileges, hands out what is created there. Can't log in. */
  readonly owner: string;
  /** @default - the owner may not make temporary tables */
  readonly ownerMayCreateTemporaryTables?: boolean;
}

/**
 * A database's schema and its owner, with PUBLIC's privileges taken away, so that what a persona can do is what was
 * granted to it. PostgreSQL gives PUBLIC CONNECT and TEMPORARY on databases and EXECUTE on functions
 * (https://www.postgresql.org/docs/18/ddl-priv.html).
 */
export class Database extends Construct {
  readonly databaseName: string;
  readonly schemaName: string;
  readonly ownerName: string;
  /** Of all its resources; undefined for the stack's provider without an alias. */
  readonly provider?: TerraformProvider;
  /** Where access roles live, so that none can take the id of a part of the database. */
  readonly roles = new Construct(this, "Roles");
  private last?: ITerraformDependable;

  constructor(scope: Construct, id: string, props: DatabaseProps) {
    super(scope, id);
    this.databaseName = checkName(POSTGRES_DATABASE, "database name", props.name);
    this.schemaName = checkName(POSTGRES_IDENTIFIER, "schema", props.schema);
    this.ownerName = checkName(POSTGRES_ROLE, "owner", props.owner);

    this.provider = props.provider;

    if (props.create) {
      this.chain(
        (meta) =>
          new DatabaseResource(this, "Resource", {
            name: this.databaseName,
            ...meta,
            lifecycle: { preventDestroy: true },
          }),
      );
    }
    const owner = this.chain(
      (meta) =>
        new Role(this, "Owner", {
          name: this.ownerName,
          login: false,
          searchPath: [this.schemaName],
          ...meta,
        }),
    );
    this.chain((meta) => {
      const privileges = ["CREATE", ...(props.ownerMayCreateTemporaryTables ? ["TEMPORARY"] : [])];
      const on = { database: this.databaseName, objectType: "database" };
      return new Grant(this, "OwnerDatabase", { ...on, role: owner.name, privileges, ...meta });
    });
    this.chain(
      (meta) =>
        new Schema(this, "Schema", {
          name: this.schemaName,
          database: this.databaseName,
          owner: owner.name,
          dropCascade: false,
          ...meta,
        }),
    );

    const nobody = { role: "public", database: this.databaseName, privileges: [] };
    this.chain((meta) => new Grant(this, "PublicDatabase", { ...nobody, objectType: "database", ...meta }));
    this.chain((meta) => {
      const on = { schema: this.schemaName, objectType: "function" };
      return new Grant(this, "PublicFunctions", { ...nobody, ...on, ...meta });
    });
    // Without a schema: default privileges of a schema can only add to those of the whole database.
    this.chain((meta) => {
      const on = { owner: owner.name, objectType: "function" };
      return new DefaultPrivileges(this, "PublicDefaultFunctions", { ...nobody, ...on, ...meta });
    });
  }

  /**
   * Adds a resource that writes an ACL or a membership. They run one after the other: side by side they race for the
   * same catalog row ("tuple concurrently updated").
   */
  chain<T extends ITerraformDependable>(make: (meta: TerraformMetaArguments) => T): T {
    const added = make({ dependsOn: this.last && [this.last], provider: this.provider });
    this.last = added;
    return added;
  }
}
