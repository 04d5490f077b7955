import { TerraformOutput } from "cdktf";
import type { Construct } from "constructs";
import { serverOf, type DatabaseConfig, type Environment } from "../config/schema/schema";
import { Persona } from "../constructs/persona";
import { AppRoleAuth } from "../constructs/vault/app-role-auth";
import { DatabaseConnection } from "../constructs/vault/database-connection";
import { DatabaseMount } from "../constructs/vault/database-mount";
import { VaultServer } from "../constructs/vault/server";
import { ServerAddress } from "../constructs/vault/server-address";
import { TrustPolicies } from "../constructs/vault/trust-policies";
import { VerifierProbes } from "../constructs/verifier-probes";
import { probeDatabaseRoles, trustPolicyNames } from "../manifest/names";
import type { PostgresStack } from "./postgres";
import { LeaseholdStack } from "./stack";

/** Vault's mounts, connections, database roles, AppRoles, and the policies of the personas. */
export class VaultStack extends LeaseholdStack {
  readonly trust: TrustPolicies;
  private readonly auth: AppRoleAuth;

  constructor(
    scope: Construct,
    private readonly environment: Environment,
    postgres: PostgresStack,
  ) {
    super(scope, "vault", environment);
    this.addDependency(postgres);
    const { container, tls, authMount, namePrefix } = environment.vault;
    new VaultServer(this, "Server", {
      address: container && `http://127.0.0.1:${String(container.hostPort)}`,
      // Servers that exist already may be anybody's.
      namespace: !container,
      tls,
    });
    const addresses = new Map(
      environment.servers.map(({ name, container, tls }) => [
        name,
        ServerAddress.fromVariables(this, { server: name, host: container && name, tls }),
      ]),
    );
    this.auth = new AppRoleAuth(this, "AppRoles", { path: authMount });
    this.trust = new TrustPolicies(this, "Trust", {
      names: trustPolicyNames(environment),
      namePrefix,
      auth: this.auth,
      verification: environment.verification,
    });

    const mounts = new Map<string, DatabaseMount>();
    for (const config of environment.databases) {
      const { mount: path, connection: name } = config.vault;
      const mount = mounts.get(path) ?? new DatabaseMount(this, `Mount-${path}`, { path });
      if (!mounts.has(path)) this.trust.addMount(mount);
      mounts.set(path, mount);
      const connection = new DatabaseConnection(mount, `Connection-${name}`, {
        mount,
        name,
        address: addresses.get(serverOf(environment, config).name)!,
        manager: postgres.managers.get(config.name)!,
        passwordVersion: config.manager.passwordVersion,
        rotateRoot: config.manager.rotateRoot,
      });
      this.addPersonas(connection, config);
      if (environment.verification) {
        new VerifierProbes(connection, "Probes", {
          connection,
          databaseRoles: probeDatabaseRoles(environment, config),
        }).grantUse(this.trust.verifier);
      }
    }
  }

  private addPersonas(
    connection: DatabaseConnection,
    { personas, staticRoles, workload }: DatabaseConfig,
  ): void {
    for (const { appRole: name, token, secretId, lease, ...config } of personas) {
      const appRole = this.auth.addAppRole(name, {
        name,
        tokenTtl: token.ttl,
        tokenMaxTtl: token.maxTtl,
        tokenBoundCidrs: token.boundCidrs,
        secretIdTtl: secretId.ttl,
        secretIdUses: secretId.uses,
        secretIdBoundCidrs: secretId.boundCidrs,
      });
      new TerraformOutput(this, `role_id_${name}`, {
        value: appRole.roleId,
        description: `the role id of ${name}, for whoever deploys what logs in with it`,
        staticId: true,
      });
      const persona = new Persona(connection, `Persona-${config.name}`, {
        ...config,
        ...lease,
        connection,
        login: appRole,
      });
      for (const { persona: of, ...role } of staticRoles) {
        if (of !== config.name) continue;
        const kept = persona.addStaticRole(`Static-${role.name}`, role);
        // Where the verifier tries it: who uses the login finds its password changed.
        if (this.environment.verification && workload?.kind === "approle" && workload.reader === of)
          kept.grantRotate(this.trust.verifier);
      }
    }
  }
}
