import { VaultProvider } from "@cdktf/provider-vault/lib/provider";
import { DefaultTokenResolver, StringConcat, TerraformOutput, TerraformVariable, Tokenization } from "cdktf";
import type { Construct } from "constructs";
import { serverOf, type Environment } from "../config/schema/schema";
import { Duration } from "../constructs/duration";
import { AppRole } from "../constructs/vault/app-role";
import { AppRoleAuth } from "../constructs/vault/app-role-auth";
import { DatabaseConnection } from "../constructs/vault/database-connection";
import { DatabaseMount } from "../constructs/vault/database-mount";
import { PolicyDocument } from "../constructs/vault/policy-document";
import { leaseMark, probeDatabaseRoles, type TrustToken } from "../manifest/names";
import { managerPassword, type PostgresStack } from "./postgres";
import { LeaseholdStack } from "./stack";
import { grantDeliverer, grantOperator, grantPlanner, grantVerifier, OWN_TOKEN } from "./trust";

/** Policies that this stack had until init wrote them. */
const REMOVED = ["Planner_D1424F44", "Deliverer_ECE61983", "Verifier_F60271A7"];

/** Vault's mounts, connections, database roles, AppRoles, and the policies of the personas. */
export class VaultStack extends LeaseholdStack {
  /** The trust model's, by who has them. No resources: who can write the policy of a token can do what that may. */
  private readonly trust: Readonly<Record<TrustToken, PolicyDocument>> = {
    operator: new PolicyDocument(),
    planner: new PolicyDocument(),
    deliverer: new PolicyDocument(),
    verifier: new PolicyDocument(),
  };

  constructor(scope: Construct, environment: Environment, postgres: PostgresStack) {
    super(scope, "vault", environment);
    this.addDependency(postgres);
    const { container, tls } = environment.vault;
    const variable = (name: string, type: string, value: string | number | undefined, description: string) =>
      new TerraformVariable(this, name, { type, default: value, description });
    const address = variable(
      "vault_address",
      "string",
      container && `http://127.0.0.1:${String(container.hostPort)}`,
      "Vault's address, as Terraform reaches it",
    );
    // Servers that exist already may be anybody's: a namespace of Vault Enterprise's, a certificate of one's own CA.
    const namespace = container
      ? undefined
      : variable("vault_namespace", "string", "", "Vault's namespace; none where it is empty");
    const authority = tls
      ? variable(
          "vault_ca_cert_file",
          "string",
          undefined,
          "absolute path of the CA certificate of Vault's server",
        )
      : undefined;
    // The token comes from VAULT_TOKEN; a child of it would need the right to create tokens.
    new VaultProvider(this, "vault", {
      address: address.stringValue,
      namespace: namespace?.stringValue,
      caCertFile: authority?.stringValue,
      skipChildToken: true,
    });
    const servers = new Map(
      environment.servers.map((server) => {
        const { name } = server;
        const of = `the PostgreSQL server ${name}`;
        const host = variable(
          `vault_${name}_host`,
          "string",
          server.container && name,
          `the host of ${of}, as Vault reaches it`,
        );
        const port = variable(`vault_${name}_port`, "number", 5432, `the port of ${of}, as Vault reaches it`);
        const tls = server.tls
          ? {
              ca: variable(
                `vault_${name}_tls_ca`,
                "string",
                "",
                `the CA certificate of ${of}, in PEM, for HashiCorp's Vault`,
              ).stringValue,
              rootCertFile: variable(
                `vault_${name}_sslrootcert`,
                "string",
                "",
                `the file with the CA certificate of ${of} on Vault's machine, for OpenBao`,
              ).stringValue,
            }
          : undefined;
        return [name, { host: host.stringValue, port: String(port.value), tls }];
      }),
    );

    this.addOverride(
      "removed",
      REMOVED.map((id) => ({ from: `vault_policy.${id}`, lifecycle: { destroy: false } })),
    );

    const { verifier } = this.trust;
    const auth = new AppRoleAuth(this, "AppRoles", { path: environment.vault.authMount });
    const mounts = new Map<string, DatabaseMount>();

    for (const config of environment.databases) {
      const { personas, probes } = postgres.access.get(config.name)!;
      const path = config.vault.mount;
      const mount = mounts.get(path) ?? new DatabaseMount(this, `Mount-${path}`, { path });
      mounts.set(path, mount);
      const connection = new DatabaseConnection(mount, `Connection-${config.vault.connection}`, {
        name: config.vault.connection,
        ...servers.get(serverOf(environment, config).name)!,
        database: config.name,
        username: config.manager.name,
        password: managerPassword(this, environment, config),
        passwordVersion: config.manager.passwordVersion,
      });

      const mark = leaseMark(environment.name, config.name);
      const statics = config.staticRoles;
      for (const persona of config.personas) {
        const role = connection.addRole(persona.name, {
          member: personas.get(persona.name)!,
          ...persona.lease,
          connectionLimit: persona.connectionLimit,
          mark,
        });
        const app = new AppRole(auth, persona.appRole, {
          name: persona.appRole,
          tokenTtl: persona.token.ttl,
          tokenMaxTtl: persona.token.maxTtl,
          tokenBoundCidrs: persona.token.boundCidrs,
          secretIdTtl: persona.secretId.ttl,
          secretIdUses: persona.secretId.uses,
          secretIdBoundCidrs: persona.secretId.boundCidrs,
        });
        new TerraformOutput(this, `role_id_${persona.appRole}`, {
          value: app.roleId,
          description: `the role id of ${persona.appRole}, for whoever deploys what logs in with it`,
          staticId: true,
        });
        role.grantRead(app);
        for (const { name, login, rotationPeriod } of statics.filter(
          (candidate) => candidate.persona === persona.name,
        )) {
          const kept = connection.addStaticRole(`Static-${name}`, { name, username: login, rotationPeriod });
          kept.grantRead(app);
          // Where the verifier tries it: who uses the login finds its password changed.
          const { workload } = config;
          if (environment.verification && workload?.kind === "approle" && workload.reader === persona.name)
            kept.grantRotate(verifier);
        }
      }

      const probeNames = probeDatabaseRoles(environment, config);
      if (probes) {
        for (const probe of [
          connection.addRole("VerifyOwner", {
            member: probes.owner,
            name: probeNames.owner,
            defaultTtl: Duration.minutes(10),
            maxTtl: Duration.minutes(10),
            mark,
          }),
          connection.addRole("VerifyShort", {
            member: probes.short,
            name: probeNames.short,
            defaultTtl: Duration.seconds(5),
            maxTtl: Duration.seconds(10),
            mark,
          }),
        ]) {
          probe.grantRead(verifier);
          probe.grantRevokePrefix(verifier);
        }
      }
    }

    const managed = [...mounts.values(), auth];
    grantOperator(this.trust.operator, environment, managed);
    grantPlanner(this.trust.planner, environment, managed);
    grantDeliverer(this.trust.deliverer, auth);
    if (environment.verification) grantVerifier(verifier, auth);
    verifier.allow(...OWN_TOKEN);
  }

  /** The trust model's policies in HCL, by who has them. Variables stand in them as Terraform spells them: `${var.name}`. */
  trustPolicies(): Record<TrustToken, string> {
    return Tokenization.resolve(
      Object.fromEntries(Object.entries(this.trust).map(([who, policy]) => [who, policy.toString()])),
      { scope: this, resolver: new DefaultTokenResolver(new StringConcat()), preparing: false },
    ) as Record<TrustToken, string>;
  }
}
