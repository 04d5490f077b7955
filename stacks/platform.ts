import { Network } from "@cdktf/provider-docker/lib/network";
import { DockerProvider } from "@cdktf/provider-docker/lib/provider";
import { TerraformVariable } from "cdktf";
import type { Construct } from "constructs";
import type { Environment } from "../config/schema/schema";
import { PostgresContainer } from "../constructs/docker/postgres-container";
import { VaultContainer } from "../constructs/docker/vault-container";
import { LeaseholdStack } from "./stack";

/** PostgreSQL and Vault in containers on a network of their own, reachable from this machine alone. */
export class PlatformStack extends LeaseholdStack {
  constructor(scope: Construct, environment: Environment) {
    super(scope, "platform", environment);
    new DockerProvider(this, "docker", {});
    const prefix = this.variable(
      "platform_name",
      `leasehold-${environment.name}`,
      "what the names of the network, the containers and the volumes start with",
    ).stringValue;
    const network = new Network(this, "Network", { name: prefix });
    for (const { name, superuser, database, container } of environment.servers) {
      if (!container) continue;
      const of = `the PostgreSQL server ${name}`;
      new PostgresContainer(this, name === "postgres" ? "Postgres" : `Postgres-${name}`, {
        name: `${prefix}-${name}`,
        alias: name,
        network,
        image: this.variable(`${name}_image`, container.image, `the image of ${of}`).stringValue,
        hostPort: this.variable(`${name}_port`, container.hostPort, `the port of ${of} on 127.0.0.1`)
          .numberValue,
        superuser,
        database,
      });
    }
    const { container } = environment.vault;
    if (!container) return;
    new VaultContainer(this, "Vault", {
      ...container,
      name: `${prefix}-vault`,
      network,
      image: this.variable("vault_image", container.image, "Vault's image").stringValue,
      hostPort: this.variable("vault_port", container.hostPort, "Vault's port on 127.0.0.1").numberValue,
    });
  }

  /** What the config says, unless `TF_VAR_<name>` says otherwise. */
  private variable(name: string, value: string | number, description: string): TerraformVariable {
    return new TerraformVariable(this, name, {
      type: typeof value === "number" ? "number" : "string",
      default: value,
      description,
    });
  }
}
