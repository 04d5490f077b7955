import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import local from "../../config/local";
import type { EnvironmentInput } from "../../config/schema/schema";
import { freePort } from "../../sandbox/free-port";
import { readAccessManifest, type AccessManifest } from "../../manifest/schema";
import { VaultClient } from "../../clients/vault-client";
import { Program } from "../support/program";
import { Checkout } from "./checkout";
import { docker } from "./docker";
import { postgresImage, vaultImage, type PostgresVersion } from "./images";
import { NAME } from "./one-run";
import { Watch } from "./search";
import { run, type Ended } from "./terraform";
import { Wire } from "./wire";

/** Where the wires are: the containers have the same ports of 127.0.0.1. */
const WIRES = "127.0.0.2";

export type Change = (draft: EnvironmentInput) => void;

export interface Lease {
  readonly username: string;
  readonly password: string;
}

/** What a platform engineer has: a checkout, the containers that it deploys, and a wire to each of the servers. */
export class Estate {
  static async open(
    environment: string,
    { version = "18.4", storage }: { version?: PostgresVersion; storage: "memory" | "file" },
  ): Promise<Estate> {
    const progress = (text: string) => process.stderr.write(`${text}\n`);
    const [postgresPort, vaultPort] = [await freePort(), await freePort()];
    const wire = (port: number) => Wire.open({ host: "127.0.0.1", port }, { host: WIRES, port });
    return new Estate(
      new Checkout(environment),
      {
        TF_VAR_platform_name: `${NAME}-${environment}`,
        TF_VAR_postgres_image: await postgresImage(version, progress),
        TF_VAR_vault_image: await vaultImage(progress),
        TF_VAR_postgres_host: WIRES,
        TF_VAR_postgres_port: String(postgresPort),
        TF_VAR_vault_address: `http://${WIRES}:${String(vaultPort)}`,
        TF_VAR_vault_port: String(vaultPort),
      },
      storage,
      {
        docker: await Wire.open({ path: "/var/run/docker.sock" }, { host: WIRES }),
        postgres: await wire(postgresPort),
        vault: await wire(vaultPort),
      },
    );
  }

  /** Seconds of each command that ended, by its name. */
  readonly times: [command: string, seconds: number][] = [];
  /** All that the commands have said. */
  said = "";
  /** Where they put what is temporary. */
  private readonly temporary: string;
  readonly watch: Watch;

  private constructor(
    readonly checkout: Checkout,
    readonly variables: Record<string, string>,
    private readonly storage: "memory" | "file",
    readonly wires: Readonly<Record<"docker" | "postgres" | "vault", Wire>>,
  ) {
    this.temporary = checkout.path("tmp");
    mkdirSync(this.temporary);
    this.watch = new Watch(this.temporary);
  }

  get name(): string {
    return this.variables["TF_VAR_platform_name"]!;
  }

  get manifest(): AccessManifest {
    return readAccessManifest(this.checkout.path("cdktf.out"));
  }

  /** The environment local, with this estate's storage, changed. */
  configure(change: Change = () => undefined): void {
    const draft = JSON.parse(JSON.stringify(local)) as EnvironmentInput;
    draft.vault.container!.storage = this.storage;
    change(draft);
    this.checkout.configure(draft);
  }

  start(...args: string[]): Program {
    return new Program(args, this.env, this.checkout.folder);
  }

  /** A command of the user's own, in the checkout. */
  async shell(command: string, name?: string): Promise<Ended> {
    const start = performance.now();
    const ended = await run("sh", ["-c", command], { cwd: this.checkout.folder, env: this.env });
    if (name) this.times.push([name, (performance.now() - start) / 1000]);
    return ended;
  }

  private get env(): NodeJS.ProcessEnv {
    const docker = `tcp://${WIRES}:${String(this.wires.docker.port)}`;
    return this.checkout.env({
      NO_COLOR: "1",
      DOCKER_HOST: docker,
      TMPDIR: this.temporary,
      ...this.variables,
    });
  }

  async leasehold(...args: string[]): Promise<Ended> {
    const start = performance.now();
    const program = this.start(...args);
    const code = await program.ended;
    this.times.push([args.join(" "), (performance.now() - start) / 1000]);
    this.said += program.output;
    return { code: typeof code === "number" ? code : null, output: program.output };
  }

  secret(name: string): string {
    return readFileSync(join(this.checkout.home, "leasehold", this.checkout.environment, name), "utf8");
  }

  /** An attribute of the resources of a type that Terraform knows of. */
  inState(stack: string, type: string, attribute: string): unknown[] {
    const file = this.checkout.path(`terraform.${this.checkout.environment}.${stack}.tfstate`);
    const { resources } = JSON.parse(readFileSync(file, "utf8")) as {
      resources: { type: string; instances: { attributes: Record<string, unknown> }[] }[];
    };
    return resources
      .filter((resource) => resource.type === type)
      .flatMap(({ instances }) => instances.map(({ attributes }) => attributes[attribute]));
  }

  vault(token?: string): VaultClient {
    return new VaultClient(this.variables["TF_VAR_vault_address"]!, token);
  }

  /** As an application does it: with a secret id that was delivered wrapped. */
  async lease(persona: string): Promise<Lease> {
    const [database] = this.manifest.databases;
    const { login, databaseRole } = database!.personas.find(({ name }) => name === persona)!;
    const deliverer = this.vault(this.secret("deliverer-token"));
    const path = `auth/${login.authMount}/role/${login.name}`;
    const role = await this.vault(this.secret("operator-token")).call("GET", `${path}/role-id`);
    const wrapped = await deliverer.call("POST", `${path}/secret-id`, { num_uses: 1 }, "60s");
    const opened = await this.vault(wrapped.wrap_info!.token).call("POST", "sys/wrapping/unwrap");
    const { auth } = await this.vault().call("POST", `auth/${login.authMount}/login`, {
      role_id: role.data!["role_id"],
      secret_id: opened.data!["secret_id"],
    });
    const leased = await this.vault(auth!.client_token).call(
      "GET",
      `${database!.vault.mount}/creds/${databaseRole.name}`,
    );
    return leased.data as unknown as Lease;
  }

  /** On this machine, as the superuser unless somebody else is named. */
  async query<Row>(sql: string, login?: Lease): Promise<Row[]> {
    const client = new Client({
      host: "127.0.0.1",
      port: Number(this.variables["TF_VAR_postgres_port"]),
      database: "nanvc",
      user: login?.username ?? "nanvc",
      password: login?.password ?? this.secret("postgres_superuser_password"),
      ssl: false,
    });
    client.on("error", () => undefined);
    await client.connect();
    try {
      return (await client.query(sql)).rows as Row[];
    } finally {
      await client.end();
    }
  }

  async roles(like: string): Promise<string[]> {
    const rows = await this.query<{ rolname: string }>("SELECT rolname FROM pg_roles ORDER BY rolname");
    return rows.map(({ rolname }) => rolname).filter((name) => new RegExp(like).test(name));
  }

  /** Of Docker's things, those with this estate's name. */
  async things(kind: "container" | "network" | "volume"): Promise<string[]> {
    const args = kind === "container" ? ["ps", "--all"] : [kind, "ls"];
    const format = `{{.${kind === "container" ? "Names" : "Name"}}}`;
    const names = await docker(...args, "--format", format, "--filter", `name=${this.name}`);
    return names.split("\n").filter(Boolean).sort();
  }

  async remove(): Promise<void> {
    const times = this.times.map(([command, seconds]) => `${seconds.toFixed(1).padStart(6)} s  ${command}`);
    process.stderr.write(`${["", ...times, ""].join("\n")}\n`);
    this.watch.stop();
    for (const wire of Object.values(this.wires)) wire.close();
    for (const name of await this.things("container")) await docker("rm", "--force", "--volumes", name);
    for (const name of await this.things("network")) await docker("network", "rm", name);
    for (const name of await this.things("volume")) await docker("volume", "rm", name);
    this.checkout.remove();
  }
}
