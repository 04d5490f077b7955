import { Network } from "@cdktf/provider-docker/lib/network";
import { DockerProvider } from "@cdktf/provider-docker/lib/provider";
import { TerraformVariable } from "cdktf";
import type { Construct } from "constructs";
import type { Environment } from "../config/schema";
import { PostgresContainer } from "../constructs/docker/postgres-container";
import { VaultContainer } from "../constructs/docker/vault-container";
import { LeaseholdStack } from "./stack";

/** PostgreSQL and Vault in containers on a network of their own, reachable from this machine alone. */
export class PlatformStack extends LeaseholdStack {
  constructor(scope: Construct, environment: Environment) {
    super(scope, "platform", environment);
    new DockerProvider(this, "docker", {});
    const { postgres, vault } = environment.platform;
    const name = this.variable(
      "platform_name",
      `leasehold-${environment.name}`,
      "what the names of the network, the containers and the volumes start with",
    ).stringValue;
    const network = new Network(this, "Network", { name });
    new PostgresContainer(this, "Postgres", {
      name: `${name}-postgres`,
      network,
      image: this.variable("postgres_image", postgres.image, "PostgreSQL's image").stringValue,
      hostPort: this.variable("postgres_port", postgres.hostPort, "PostgreSQL's port on 127.0.0.1")
        .numberValue,
      superuser: environment.superuser,
      database: environment.databases[0]!.name,
    });
    new VaultContainer(this, "Vault", {
      name: `${name}-vault`,
      network,
      image: this.variable("vault_image", vault.image, "Vault's image").stringValue,
      hostPort: this.variable("vault_port", vault.hostPort, "Vault's port on 127.0.0.1").numberValue,
      mode: "server",
      storage: "memory",
      lockMemory: false,
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
