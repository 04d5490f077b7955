import { Construct } from "constructs";
import { probeRoleNames, probesActAsOwner } from "../manifest/names";
import { Duration } from "./duration";
import { Manifest } from "./manifest";
import { Privileges } from "./postgres/privileges";
import type { DatabaseConnection } from "./vault/database-connection";
import type { DatabaseRole } from "./vault/database-role";
import { LeaseStatements } from "./vault/lease-statements";
import type { IGrantee } from "./vault/policy-document";

export interface VerifierProbesProps {
  /** How Vault reaches the database. */
  readonly connection: DatabaseConnection;
  /**
   * The names of Vault's database roles, of which each database of a mount needs its own.
   * @default - `verify-owner` and `verify-short`
   */
  readonly databaseRoles?: { readonly owner: string; readonly short: string };
}

/**
 * What the verifier leases for itself on a database: one login acts as the owner, to make and drop what is tried, or makes it as
 * itself where the owner is a superuser; the other's lease lives for seconds, to see it renewed and expire.
 */
export class VerifierProbes extends Construct {
  private readonly roles: readonly DatabaseRole[];

  constructor(scope: Construct, id: string, props: VerifierProbesProps) {
    super(scope, id);
    const { connection, databaseRoles = { owner: "verify-owner", short: "verify-short" } } = props;
    const { manager } = connection;
    const { database, mark, functions } = manager;
    const groups = probeRoleNames({ name: database.databaseName });
    const { CONNECT } = Privileges;
    const group = (id: string, name: string, actsAsOwner: boolean, privileges: Privileges = CONNECT) => {
      const role = database.addRole(id, { name, privileges, actsAsOwner });
      manager.manageGroup(role);
      return { member: role, statements: LeaseStatements.of(role, { mark, functions }) };
    };
    const owner = probesActAsOwner(database)
      ? group("VerifyOwner", groups.owner, true)
      : group("VerifyOwner", groups.owner, false, { ...CONNECT, schema: ["USAGE", "CREATE"] });
    const short = group("VerifyShort", groups.short, false);
    this.roles = [
      connection.addRole("VerifyOwner", {
        ...owner,
        name: databaseRoles.owner,
        defaultTtl: Duration.minutes(10),
        maxTtl: Duration.minutes(10),
      }),
      connection.addRole("VerifyShort", {
        ...short,
        name: databaseRoles.short,
        defaultTtl: Duration.seconds(5),
        maxTtl: Duration.seconds(10),
      }),
    ];
    Manifest.of(this).addToDatabase(this, database.databaseName, () => ({
      probes: databaseRoles,
      probeGroups: groups,
    }));
  }

  /** Lets the grantee lease the logins, and list and revoke their leases. */
  grantUse(grantee: IGrantee): void {
    for (const role of this.roles) {
      role.grantRead(grantee);
      role.grantRevokePrefix(grantee);
    }
  }
}
