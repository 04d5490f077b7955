import { VaultProvider } from "@cdktf/provider-vault/lib/provider";
import { TerraformVariable } from "cdktf";
import type { Construct } from "constructs";
import type { Environment } from "../config/schema";
import { Duration } from "../constructs/duration";
import { Secret } from "../constructs/secret";
import { AppRole } from "../constructs/vault/app-role";
import { AppRoleAuth } from "../constructs/vault/app-role-auth";
import { DatabaseConnection } from "../constructs/vault/database-connection";
import { DatabaseMount } from "../constructs/vault/database-mount";
import { Policy } from "../constructs/vault/policy";
import { PolicyDocument } from "../constructs/vault/policy-document";
import { managerPasswordVariable, type PostgresStack } from "./postgres";
import { LeaseholdStack } from "./stack";
import { grantOperator, grantPlanner, grantVerifier, trustPolicyNames } from "./trust";

/** The verifier's probe roles in Vault. */
export const PROBE_ROLES = { owner: "verify-owner", short: "verify-short" } as const;

/** Vault's mounts, connections, database roles, AppRoles, and the policies that say who may do what with them. */
export class VaultStack extends LeaseholdStack {
  /**
   * For the token that Terraform runs with. Not a resource of the stack: who can write the operator's policy is not the
   * operator.
   */
  readonly operatorPolicy = new PolicyDocument();

  constructor(scope: Construct, environment: Environment, postgres: PostgresStack) {
    super(scope, "vault");
    this.addDependency(postgres);
    const variable = (name: string, type: string, value: string | number, description: string) =>
      new TerraformVariable(this, name, { type, default: value, description });
    const { hostPort } = environment.platform.vault;
    const address = variable(
      "vault_address",
      "string",
      `http://127.0.0.1:${String(hostPort)}`,
      "Vault's address, as Terraform reaches it",
    );
    const host = variable(
      "vault_postgres_host",
      "string",
      "postgres",
      "PostgreSQL's host, as Vault reaches it",
    );
    const port = variable("vault_postgres_port", "number", 5432, "PostgreSQL's port, as Vault reaches it");
    // The token comes from VAULT_TOKEN; a child of it would need the right to create tokens.
    new VaultProvider(this, "vault", { address: address.stringValue, skipChildToken: true });

    const names = trustPolicyNames(environment.name);
    const planner = new Policy(this, "Planner", { name: names.planner });
    const deliverer = new Policy(this, "Deliverer", { name: names.deliverer });
    const verifier = environment.verification
      ? new Policy(this, "Verifier", { name: names.verifier })
      : undefined;

    const auth = new AppRoleAuth(this, "AppRoles", { path: environment.vault.authMount });
    const mounts = new Map<string, DatabaseMount>();

    for (const config of environment.databases) {
      const { personas, probes } = postgres.access.get(config.name)!;
      const path = config.vault.mount;
      const mount = mounts.get(path) ?? new DatabaseMount(this, `Mount-${path}`, { path });
      mounts.set(path, mount);
      const connection = new DatabaseConnection(mount, config.vault.connection, {
        name: config.vault.connection,
        host: host.stringValue,
        port: String(port.value),
        database: config.name,
        username: config.manager.name,
        password: Secret.fromVariable(
          this,
          managerPasswordVariable(config.manager.name),
          "Vault's own password",
        ),
        passwordVersion: config.manager.passwordVersion,
      });

      for (const persona of config.personas) {
        const role = connection.addRole(persona.name, {
          member: personas.get(persona.name)!,
          ...persona.lease,
        });
        const app = new AppRole(auth, persona.appRole, {
          name: persona.appRole,
          tokenTtl: persona.token.ttl,
          tokenMaxTtl: persona.token.maxTtl,
          secretIdTtl: persona.secretId.ttl,
          secretIdUses: persona.secretId.uses,
        });
        role.grantRead(app);
        app.grantDeliver(deliverer);
        if (verifier) {
          app.grantDeliver(verifier);
          app.grantReadPolicy(verifier);
        }
      }

      if (probes && verifier) {
        for (const probe of [
          connection.addRole("VerifyOwner", {
            member: probes.owner,
            name: PROBE_ROLES.owner,
            defaultTtl: Duration.minutes(10),
            maxTtl: Duration.minutes(10),
          }),
          connection.addRole("VerifyShort", {
            member: probes.short,
            name: PROBE_ROLES.short,
            defaultTtl: Duration.seconds(5),
            maxTtl: Duration.seconds(10),
          }),
        ]) {
          probe.grantRead(verifier);
          probe.grantRevokePrefix(verifier);
        }
      }
    }

    if (verifier) grantVerifier(verifier);
    const managed = [...mounts.values(), auth];
    grantPlanner(planner, environment, managed);
    grantOperator(this.operatorPolicy, environment, managed);
  }
}
