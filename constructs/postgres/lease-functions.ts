import { createHash } from "node:crypto";
import { FunctionResource } from "@cdktf/provider-postgresql/lib/function-resource";
import { Grant } from "@cdktf/provider-postgresql/lib/grant";
import { Schema } from "@cdktf/provider-postgresql/lib/schema";
import { Lazy } from "cdktf";
import { Construct } from "constructs";
import { LEASE_FUNCTIONS, LEASE_SCHEMA } from "../../manifest/names";
import { DEFAULT_CONNECTION_LIMIT } from "../../manifest/schema";
import { Forgotten } from "../forgotten";
import { Manifest } from "../manifest";
import { checkName, POSTGRES_ROLE } from "../names";
import { functionBody, type LeasedGroup } from "../sql";
import { heirOfMembers, type IAccessRole } from "./access-role";
import type { IDatabase } from "./database";
import type { LoginSettings } from "./role-settings";

export interface LeaseFunctionsProps {
  /** Where Vault leases. */
  readonly database: IDatabase;
  /** The name of Vault's own login, which alone may call them. */
  readonly caller: string;
  /**
   * A reference to that login, for what is granted to it.
   * @default - its name
   */
  readonly callerRole?: string;
  /** The server's superuser, as whom Terraform logs in: it owns them, and they run as it. */
  readonly owner: string;
  /** The comment on each login that they make: plain text, without which they end none. */
  readonly mark: string;
}

type FunctionName = keyof typeof LEASE_FUNCTIONS;
const NAMES = Object.keys(LEASE_FUNCTIONS) as FunctionName[];

const GRANTS = { Usage: "Usage", PublicExecute: "PublicExecute", Execute: "Execute" } as const;

/**
 * The functions through which Vault's login makes, renews and ends logins in the groups that were added, and sets the passwords
 * of the static logins that were: SECURITY DEFINER, in the schema `leasehold`, for that login alone, which needs no powers of
 * its own (docs/decisions/0011-definer-functions.md).
 */
export class LeaseFunctions extends Construct {
  /** Has Terraform forget those that a stack had under this id. */
  static forget(scope: Construct, id: string): void {
    const former = new Construct(scope, id);
    new Forgotten(former, "Schema", "postgresql_schema");
    for (const name of NAMES) new Forgotten(former, name, "postgresql_function");
    for (const grant of Object.values(GRANTS)) new Forgotten(former, grant, "postgresql_grant");
  }

  private readonly caller: string;
  private readonly mark: string;
  /** The search path of each login. */
  private readonly schemas: readonly string[];
  private readonly groups: LeasedGroup[] = [];
  private readonly logins: string[] = [];

  constructor(scope: Construct, id: string, props: LeaseFunctionsProps) {
    super(scope, id);
    const { database, caller, callerRole = caller, owner, mark } = props;
    this.caller = caller;
    this.mark = mark;
    this.schemas = database.schemas.map(({ name }) => name);
    checkName(POSTGRES_ROLE, "owner of the lease functions", owner);
    const on = { database: database.databaseName };
    const schema = database.chain(
      // With its owner: on a database on which others may CREATE it may be there, and theirs.
      (meta) => new Schema(this, "Schema", { ...on, name: LEASE_SCHEMA, owner, dropCascade: false, ...meta }),
    ).name;
    for (const name of NAMES) {
      const body = Lazy.stringValue({ produce: () => this.body(name) });
      const arg = LEASE_FUNCTIONS[name].map((argument) => ({ name: argument, type: "text" }));
      const declared = { ...on, schema, name, arg, returns: "void", securityDefiner: true, body };
      database.chain((meta) => new FunctionResource(this, name, { ...declared, ...meta }));
    }
    const functions = { ...on, schema, objectType: "function", objects: [...NAMES].sort() };
    const grants = {
      [GRANTS.PublicExecute]: { ...functions, role: "public", privileges: [] },
      [GRANTS.Execute]: { ...functions, role: callerRole, privileges: ["EXECUTE"] },
      [GRANTS.Usage]: { ...on, schema, objectType: "schema", role: callerRole, privileges: ["USAGE"] },
    };
    for (const [grant, config] of Object.entries(grants))
      database.chain((meta) => new Grant(this, grant, { ...config, ...meta }));
    Manifest.of(this).addToDatabase(this, database.databaseName, () => ({
      leases: "functions",
      leaseFunctions: NAMES.map((name) => ({
        name,
        arguments: LEASE_FUNCTIONS[name].map(() => "text").join(", "),
        sha256: createHash("sha256").update(this.body(name)).digest("hex"),
      })),
    }));
  }

  /** Lets them make and end logins in a group role. */
  addGroup(role: IAccessRole, login: LoginSettings = {}): void {
    const [schema] = this.schemas;
    const { connectionLimit = DEFAULT_CONNECTION_LIMIT, searchPath, settings } = login;
    this.groups.push({
      ...{ group: role.roleName, heir: heirOfMembers(role), schema: schema! },
      ...{ connectionLimit, searchPath, settings },
    });
  }

  /** Lets them set a static login's password. */
  addLogin(login: string): void {
    this.logins.push(login);
  }

  private body(name: FunctionName): string {
    const { groups, schemas, logins, caller, mark } = this;
    return functionBody(name, { groups, furtherSchemas: schemas.slice(1), logins, caller, mark });
  }
}
