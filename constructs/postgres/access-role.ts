import { DefaultPrivileges } from "@cdktf/provider-postgresql/lib/default-privileges";
import { Grant, type GrantConfig } from "@cdktf/provider-postgresql/lib/grant";
import { Role } from "@cdktf/provider-postgresql/lib/role";
import { Construct } from "constructs";
import { OBJECT_KINDS, type NamedTable, type SchemaObjectKind } from "../../manifest/object-kinds";
import { heirOf, maintainRoleOf } from "../../manifest/names";
import { setMaintains } from "../../manifest/privileges";
import { DeclarationError } from "../declaration-error";
import { checkName, POSTGRES_ROLE } from "../names";
import type { DatabaseSchema, IDatabase } from "./database";
import { privilegesIn, type Privileges } from "./privileges";
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
    const owners = [...new Set(database.schemas.map(({ owner }) => owner))];
    const superuser = database.schemas.find(({ ownerIsSuperuser }) => ownerIsSuperuser)?.owner;
    if (actsAsOwner && superuser !== undefined)
      throw new DeclarationError(
        `${this.roleName} must not act as the owner ${superuser}, who is a superuser`,
      );
    const group = (id: string, name: string, roles: string[]) =>
      database.chain(
        (meta) =>
          new Role(this, id, {
            ...{ name, login: false },
            // Here and not as a GrantRole: the provider reads every membership back into this attribute.
            roles: roles.length > 0 ? roles : undefined,
            searchPath: database.schemas.map((schema) => schema.name),
            lifecycle: { ignoreChanges: OF_A_DBA },
            ...meta,
          }),
      ).name;
    const roles = actsAsOwner ? owners : [];
    // The provider refuses MAINTAIN, and would read it back as a difference: whoever deploys grants it to this one.
    if (database.schemas.some(({ name }) => setMaintains(privilegesIn(privileges, name)))) {
      const maintainer = checkName(
        POSTGRES_ROLE,
        "name of the role for MAINTAIN",
        maintainRoleOf({ groupRole: this.roleName }),
      );
      roles.push(group("Maintain", maintainer, []));
    }
    const role = group("Resource", this.roleName, roles);
    // Its sessions are the owner's, whose privileges count.
    if (actsAsOwner) database.grantOwner(...privileges.database.filter((name) => name === "TEMPORARY"));

    const on = { role, database: database.databaseName };
    this.grant(this, "Database", { ...on, objectType: "database" }, privileges.database);
    // The first schema's stand where they stood when there was no other.
    const further = new Construct(this, "Schemas");
    for (const [i, schema] of database.schemas.entries())
      this.grantInSchema(i === 0 ? this : new Construct(further, schema.name), role, schema);
  }

  private grantInSchema(
    scope: Construct,
    role: string,
    { name: schema, owner, creators }: DatabaseSchema,
  ): void {
    const { database } = this;
    const privileges = privilegesIn(this.privileges, schema);
    const inSchema = { role, database: database.databaseName, schema };
    this.grant(scope, "Schema", { ...inSchema, objectType: "schema" }, privileges.schema);
    for (const kind of ["tables", "sequences", "functions"] satisfies SchemaObjectKind[]) {
      const list = grantable(privileges[kind]);
      const objectType = OBJECT_KINDS[kind].keyword.toLowerCase();
      const id = kind[0]!.toUpperCase() + kind.slice(1);
      this.grant(scope, id, { ...inSchema, objectType }, list);
      // The provider reads procedures back with functions, and grants on functions alone. Default privileges cover both.
      if (kind === "functions")
        this.grant(scope, "Procedures", { ...inSchema, objectType: "procedure" }, list);
      // The first one stands where that on all tables stood, which is then revoked before any is granted.
      if (kind === "tables")
        for (const [i, table] of privileges.namedTables.entries())
          this.grantOnTable(scope, i === 0 ? id : `Table-${table.name}`, inSchema, table);
      if (list.length === 0) continue;
      for (const maker of [owner, ...creators]) {
        const later = { ...inSchema, owner: maker, objectType, privileges: list };
        const place = maker === owner ? scope : new Construct(scope, `${id}-${maker}`);
        database.chain((meta) => new DefaultPrivileges(place, `Default${id}`, { ...later, ...meta }));
      }
    }
  }

  /**
   * Each of a table's grants but the first below it, for the same reason: a privilege that is revoked on the table is revoked on
   * its columns as well. The provider takes one privilege on columns a resource.
   */
  private grantOnTable(
    scope: Construct,
    id: string,
    on: Omit<GrantConfig, "privileges" | "objectType">,
    { name, privileges, columns }: NamedTable,
  ): void {
    const of = { ...on, objects: [name] };
    const grants: [privilege: string, config: GrantConfig][] = Object.entries(columns).map(
      ([privilege, list]) => [
        privilege,
        { ...of, objectType: "column", columns: [...list].sort(), privileges: [privilege] },
      ],
    );
    const onTable = { ...of, objectType: "table", privileges: grantable(privileges) };
    if (onTable.privileges.length > 0) grants.unshift([id, onTable]);
    let place = scope;
    for (const [privilege, config] of grants) {
      const made = this.database.chain(
        (meta) => new Grant(place, place === scope ? id : privilege, { ...config, ...meta }),
      );
      if (place === scope) place = made;
    }
  }

  private grant(
    scope: Construct,
    id: string,
    on: Omit<GrantConfig, "privileges">,
    privileges: readonly string[],
  ): void {
    if (privileges.length > 0)
      this.database.chain(
        (meta) => new Grant(scope, id, { ...on, privileges: [...privileges].sort(), ...meta }),
      );
  }
}

/** By the provider. */
function grantable(privileges: readonly string[]): string[] {
  return privileges.filter((privilege) => privilege !== "MAINTAIN").sort();
}
