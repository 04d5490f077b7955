import { Network } from "@cdktf/provider-docker/lib/network";
import { DockerProvider } from "@cdktf/provider-docker/lib/provider";
import type { Construct } from "constructs";
import type { Environment } from "../config/schema";
import { PostgresContainer } from "../constructs/docker/postgres-container";
import { VaultContainer } from "../constructs/docker/vault-container";
import { LeaseholdStack } from "./stack";

/** PostgreSQL and Vault in containers on a network of their own, reachable from this machine alone. */
export class PlatformStack extends LeaseholdStack {
  constructor(scope: Construct, environment: Environment) {
    super(scope, "platform");
    new DockerProvider(this, "docker", {});
    const prefix = `leasehold-${environment.name}`;
    const network = new Network(this, "Network", { name: prefix });
    new PostgresContainer(this, "Postgres", {
      name: `${prefix}-postgres`,
      network,
      ...environment.platform.postgres,
      superuser: environment.superuser,
      database: environment.databases[0]!.name,
    });
    new VaultContainer(this, "Vault", { name: `${prefix}-vault`, network, ...environment.platform.vault });
  }
}
