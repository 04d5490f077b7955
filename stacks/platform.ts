import { Network } from "@cdktf/provider-docker/lib/network";
import { DockerProvider } from "@cdktf/provider-docker/lib/provider";
import type { Construct } from "constructs";
import type { Environment } from "../config/schema/schema";
import { PostgresContainer } from "../constructs/docker/postgres-container";
import { VaultContainer } from "../constructs/docker/vault-container";
import { Input } from "../constructs/input";
import { LeaseholdStack } from "./stack";

/** PostgreSQL and Vault in containers on a network of their own, reachable from this machine alone. */
export class PlatformStack extends LeaseholdStack {
  constructor(scope: Construct, environment: Environment) {
    super(scope, "platform", environment);
    new DockerProvider(this, "docker", {});
    const prefix = new Input(this, "platform_name", {
      for: "platform-name",
      default: `leasehold-${environment.name}`,
      description: "what the names of the network, the containers and the volumes start with",
    }).stringValue;
    const network = new Network(this, "Network", { name: prefix });
    for (const { name, superuser, database, container } of environment.servers) {
      if (!container) continue;
      new PostgresContainer(this, name === "postgres" ? "Postgres" : `Postgres-${name}`, {
        ...container,
        name: `${prefix}-${name}`,
        server: name,
        network,
        superuser,
        database,
      });
    }
    const { container } = environment.vault;
    if (container) new VaultContainer(this, "Vault", { ...container, name: `${prefix}-vault`, network });
  }
}
