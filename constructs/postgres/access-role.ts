import { DefaultPrivileges } from "@cdktf/provider-postgresql/lib/default-privileges";
import { Grant } from "@cdktf/provider-postgresql/lib/grant";
import { Role } from "@cdktf/provider-postgresql/lib/role";
import { Construct } from "constructs";
import { OBJECT_KINDS, type SchemaObjectKind } from "../../manifest/object-kinds";
import { heirOf } from "../../manifest/names";
import { checkName, POSTGRES_ROLE } from "../names";
import type { IDatabase } from "./database";
import type { Privileges } from "./privileges";
import { OF_A_DBA } from "./role-settings";

/** A group role that logins join. */
export interface IAccessRole {
  readonly roleName: string;
  readonly database: IDatabase;
  readonly privileges: Privileges;
  /** Whether its members act as the schema's owner. */
  readonly actsAsOwner: boolean;
}

/** As whom its members' sessions act: the role that gets what they make. */
export function heirOfMembers({ roleName: groupRole, database, actsAsOwner }: IAccessRole): string {
  return heirOf({ owner: database.ownerName }, { actsAsOwner, groupRole });
}

export interface AccessRoleProps {
  /** Where it has its privileges. */
  readonly database: IDatabase;
  /** The role's name. */
  readonly name: string;
  /** What it may do on the database, the schema and its objects. */
  readonly privileges: Privileges;
  /**
   * Makes it a member of the schema's owner, as which its logins act: what they create is the owner's from the start.
   * @default - it has only the privileges that are granted to it
   */
  readonly actsAsOwner?: boolean;
}

/** A group role with its privileges on the database, the schema, and the schema's objects now and later. */
export class AccessRole extends Construct implements IAccessRole {
  /** One that exists already, with the privileges that it has. */
  static fromName({ name, actsAsOwner = false, ...existing }: AccessRoleProps): IAccessRole {
    return { roleName: name, actsAsOwner, ...existing };
  }

  readonly roleName: string;
  readonly database: IDatabase;
  readonly privileges: Privileges;
  readonly actsAsOwner: boolean;

  constructor(scope: Construct, id: string, props: AccessRoleProps) {
    super(scope, id);
    const { database, privileges, actsAsOwner = false } = props;
    this.roleName = checkName(POSTGRES_ROLE, "access role name", props.name);
    this.database = database;
    this.privileges = privileges;
    this.actsAsOwner = actsAsOwner;
    const role = database.chain(
      (meta) =>
        new Role(this, "Resource", {
          name: this.roleName,
          login: false,
          // Here and not as a GrantRole: the provider reads every membership back into this attribute.
          roles: actsAsOwner ? [database.ownerName] : undefined,
          searchPath: [database.schemaName],
          lifecycle: { ignoreChanges: OF_A_DBA },
          ...meta,
        }),
    ).name;
    // Its sessions are the owner's, whose privileges count.
    if (actsAsOwner) database.grantOwner(...privileges.database.filter((name) => name === "TEMPORARY"));

    const on = { role, database: database.databaseName };
    const inSchema = { ...on, schema: database.schemaName };
    const grant = (childId: string, objectType: string, where: typeof on, list: readonly string[]) => {
      if (list.length === 0) return;
      database.chain(
        (meta) => new Grant(this, childId, { ...where, objectType, privileges: [...list].sort(), ...meta }),
      );
    };
    grant("Database", "database", on, privileges.database);
    grant("Schema", "schema", inSchema, privileges.schema);
    for (const kind of ["tables", "sequences", "functions"] satisfies SchemaObjectKind[]) {
      const list = [...privileges[kind]].sort();
      const objectType = OBJECT_KINDS[kind].keyword.toLowerCase();
      const childId = kind[0]!.toUpperCase() + kind.slice(1);
      grant(childId, objectType, inSchema, list);
      if (list.length === 0) continue;
      const later = { ...inSchema, owner: database.ownerName, objectType, privileges: list };
      database.chain((meta) => new DefaultPrivileges(this, `Default${childId}`, { ...later, ...meta }));
    }
  }
}
