import type { Construct } from "constructs";
import {
  loginOf,
  mounted,
  roleOf,
  mountOf,
  serverOf,
  type DatabaseConfig,
  type Environment,
} from "../config/schema/schema";
import { Persona } from "../constructs/persona";
import { DatabaseConnection } from "../constructs/vault/database-connection";
import { DatabaseMount, type IDatabaseMount } from "../constructs/vault/database-mount";
import { addPersonaLogin } from "../constructs/vault/persona-login";
import { VaultServer } from "../constructs/vault/server";
import { ServerAddress } from "../constructs/vault/server-address";
import { TrustPolicies } from "../constructs/vault/trust-policies";
import { VerifierProbes } from "../constructs/verifier-probes";
import { policyMark, probeDatabaseRoles, trustPolicyNames } from "../manifest/names";
import type { PostgresStack } from "./postgres";
import { LeaseholdStack } from "./stack";

/** Vault's mounts, connections, database roles, and the personas' logins with their policies. */
export class VaultStack extends LeaseholdStack {
  readonly trust: TrustPolicies;

  constructor(
    scope: Construct,
    private readonly environment: Environment,
    postgres: PostgresStack,
  ) {
    super(scope, "vault", environment);
    this.addDependency(postgres);
    const { container, tls, namePrefix, authMount } = environment.vault;
    new VaultServer(this, "Server", {
      address: container && `http://127.0.0.1:${String(container.hostPort)}`,
      // Servers that exist already may be anybody's.
      namespace: !container,
      tls,
    });
    const addresses = new Map(
      environment.servers.map(({ name, container, tls, clientCertificate }) => [
        name,
        ServerAddress.fromVariables(this, { server: name, host: container && name, tls, clientCertificate }),
      ]),
    );
    this.trust = new TrustPolicies(this, "Trust", {
      names: trustPolicyNames(environment),
      mark: policyMark(environment.name, mounted(environment.databases[0]!)),
      // Where others log in too, whatever starts with it may be theirs.
      namePrefix: mountOf(authMount).exists ? undefined : namePrefix,
      verification: environment.verification,
    });

    const mounts = new Map<string, IDatabaseMount & Construct>();
    const make = (path: string, exists: boolean) =>
      exists
        ? DatabaseMount.fromPath(this, `Mount-${path}`, path)
        : new DatabaseMount(this, `Mount-${path}`, { path });
    for (const config of environment.databases) {
      const { mount: spelled, connection: name, ...options } = config.vault;
      const { path, exists } = mountOf(spelled);
      const mount = mounts.get(path) ?? make(path, exists);
      if (!mounts.has(path)) this.trust.addMount(mount);
      mounts.set(path, mount);
      const connection = new DatabaseConnection(mount, `Connection-${name}`, {
        mount,
        name,
        address: addresses.get(serverOf(environment, config).name)!,
        manager: postgres.managers.get(config.name)!,
        passwordVersion: config.manager.passwordVersion,
        rotateRoot: config.manager.rotateRoot,
        ...options,
      });
      this.addPersonas(connection, config);
      if (environment.verification) {
        new VerifierProbes(connection, "Probes", {
          connection,
          databaseRoles: probeDatabaseRoles(
            { databases: environment.databases.map(mounted) },
            mounted(config),
          ),
        }).grantUse(this.trust.verifier);
      }
    }
  }

  private addPersonas(connection: DatabaseConnection, database: DatabaseConfig): void {
    const { personas, staticRoles, workload } = database;
    const mark = policyMark(this.environment.name, mounted(database));
    for (const config of personas) {
      const persona = new Persona(connection, `Persona-${config.name}`, {
        ...config,
        ...config.lease,
        connection,
        login: addPersonaLogin(this, this.trust, { ...loginOf(this.environment, config), mark }),
      });
      for (const { persona: of, login, ...role } of staticRoles) {
        if (of !== config.name) continue;
        const { name, exists } = roleOf(login);
        const props = { ...role, login: name, loginExists: exists };
        const kept = persona.addStaticRole(`Static-${role.name}`, props);
        // Where the verifier tries it: who uses the login finds its password changed.
        if (this.environment.verification && workload?.kind === "approle" && workload.reader === of)
          kept.grantRotate(this.trust.verifier);
      }
    }
  }
}
