import { DefaultPrivileges } from "@cdktf/provider-postgresql/lib/default-privileges";
import { Grant } from "@cdktf/provider-postgresql/lib/grant";
import { Role } from "@cdktf/provider-postgresql/lib/role";
import { Construct } from "constructs";
import { checkName, POSTGRES_ROLE } from "../names";
import type { Database } from "./database";
import type { Privileges } from "./privileges";

export interface AccessRoleProps {
  readonly name: string;
  readonly privileges: Privileges;
  /**
   * Makes it a member of the schema's owner.
   * @default - it has only the privileges that are granted to it
   */
  readonly actsAsOwner?: boolean;
}

/** A group role that leased logins join. Vault's side needs no more of it than this. */
export interface IAccessRole {
  readonly roleName: string;
  readonly database: Pick<Database, "schemaName" | "ownerName">;
  readonly actsAsOwner: boolean;
}

/** A group role with its privileges on the database, the schema, and the schema's objects now and later. */
export class AccessRole extends Construct implements IAccessRole {
  readonly roleName: string;
  readonly actsAsOwner: boolean;

  constructor(
    readonly database: Database,
    id: string,
    props: AccessRoleProps,
  ) {
    super(database.roles, id);
    this.roleName = checkName(POSTGRES_ROLE, "access role name", props.name);
    this.actsAsOwner = props.actsAsOwner ?? false;
    const role = database.chain(
      (meta) =>
        new Role(this, "Resource", {
          name: this.roleName,
          login: false,
          // Here and not as a GrantRole: the provider reads every membership back into this attribute.
          roles: this.actsAsOwner ? [database.ownerName] : undefined,
          searchPath: [database.schemaName],
          ...meta,
        }),
    ).name;

    const on = { role, database: database.databaseName };
    const inSchema = { ...on, schema: database.schemaName };
    const grant = (childId: string, objectType: string, place: typeof on, list: readonly string[]) => {
      if (list.length === 0) return;
      const privileges = [...list].sort();
      database.chain((meta) => new Grant(this, childId, { ...place, objectType, privileges, ...meta }));
    };
    grant("Database", "database", on, props.privileges.database);
    grant("Schema", "schema", inSchema, props.privileges.schema);
    for (const [plural, objectType] of [
      ["tables", "table"],
      ["sequences", "sequence"],
      ["functions", "function"],
    ] as const) {
      const list = props.privileges[plural];
      const childId = plural[0]!.toUpperCase() + plural.slice(1);
      grant(childId, objectType, inSchema, list);
      if (list.length === 0) continue;
      const later = { ...inSchema, owner: database.ownerName, objectType, privileges: [...list].sort() };
      database.chain((meta) => new DefaultPrivileges(this, `Default${childId}`, { ...later, ...meta }));
    }
  }
}
