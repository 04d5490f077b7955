import { Network } from "@cdktf/provider-docker/lib/network";
import { DockerProvider } from "@cdktf/provider-docker/lib/provider";
import { TerraformStack } from "cdktf";
import { PostgresContainer } from "../../constructs/docker/postgres-container";
import { VaultContainer, type VaultContainerProps } from "../../constructs/docker/vault-container";
import { environment, find, stacks, synth, testApp, type Attributes } from "../support/synth";

const synthesized = synth(stacks().platform);

/** The one Vault container with these props. */
function vaultContainer(props: Pick<VaultContainerProps, "mode" | "storage" | "lockMemory">): Attributes {
  const stack = new TerraformStack(testApp(), "test");
  new DockerProvider(stack, "docker", {});
  const network = new Network(stack, "Network", { name: "net" });
  new VaultContainer(stack, "Vault", { name: "v", image: "vault:1", network, hostPort: 8200, ...props });
  return find(synth(stack), "docker_container")[0]!;
}

const memory = vaultContainer({ mode: "server", storage: "memory", lockMemory: false });
const file = vaultContainer({ mode: "server", storage: "file", lockMemory: false });
const locking = vaultContainer({ mode: "server", storage: "file", lockMemory: true });
const dev = vaultContainer({ mode: "dev", storage: "memory", lockMemory: false });
const postgres = find(synthesized, "docker_container").find(({ user }) => user === "999:999")!;

const env = (container: Attributes) => container["env"] as string[];
const tmpfs = (container: Attributes) => container["tmpfs"] as Record<string, string>;
const configuration = (container: Attributes) =>
  JSON.parse(
    env(container)
      .find((line) => line.startsWith("VAULT_LOCAL_CONFIG="))!
      .slice("VAULT_LOCAL_CONFIG=".length),
  ) as Attributes;

test("there are two containers, a network, and an image each", () => {
  expect(find(synthesized, "docker_container")).toHaveLength(2);
  expect(find(synthesized, "docker_network")).toHaveLength(1);
  expect(find(synthesized, "docker_image").map(({ name }) => name)).toEqual([
    "${var.postgres_image}",
    "${var.vault_image}",
  ]);
});

test("names, images and ports are variables, the config's values their defaults", () => {
  expect(synthesized.json["variable"]).toMatchObject({
    platform_name: { default: "leasehold-local" },
    postgres_image: { default: "postgres:18.4" },
    postgres_port: { default: 35432, type: "number" },
    vault_image: { default: "hashicorp/vault:1.21.4" },
    vault_port: { default: 8200, type: "number" },
  });
  const names = [...find(synthesized, "docker_container"), ...find(synthesized, "docker_network")];
  expect(names.map(({ name }) => name)).toEqual([
    "${var.platform_name}-postgres",
    "${var.platform_name}-vault",
    "${var.platform_name}",
  ]);
});

test("an image's digest is part of its name, for Docker to hold it to", () => {
  const image = `postgres:18.4@sha256:${"0123456789abcdef".repeat(4)}`;
  const { json } = synth(
    stacks(
      environment((draft) => {
        (draft.servers[0] as { container: { image: string } }).container.image = image;
      }),
    ).platform,
  );
  expect(json["variable"]).toMatchObject({ postgres_image: { default: image } });
});

test.each(["superuser", "database"])("a %s that a shell would obey is refused", (field) => {
  const stack = new TerraformStack(testApp(), "test");
  const network = new Network(stack, "Network", { name: "net" });
  const names = { superuser: "postgres", database: "app", [field]: "x; reboot" };
  const props = { name: "p", server: "p", image: "postgres:1", network, hostPort: 5432, ...names };
  expect(() => new PostgresContainer(stack, "Postgres", props)).toThrow(
    /^(superuser|database name) \("x; reboot"\) must be a PostgreSQL identifier/,
  );
});

describe.each([
  ["PostgreSQL", postgres],
  ["Vault with storage in memory", memory],
  ["Vault with storage in files", file],
  ["Vault with locked memory", locking],
  ["Vault in dev mode", dev],
])("%s", (_, container) => {
  test("publishes on 127.0.0.1 alone", () => {
    expect((container["ports"] as { ip: string }[]).map(({ ip }) => ip)).toEqual(["127.0.0.1"]);
  });

  test("has bounded memory without swap, and bounded logs", () => {
    expect(container["memory"]).toBeGreaterThan(0);
    expect(container["memory_swap"]).toEqual(container["memory"]);
    expect(container).toMatchObject({ log_opts: { "max-size": "10m", "max-file": "3" } });
  });

  test("is waited for, started again, and stopped with a grace", () => {
    expect(container).toMatchObject({
      wait: true,
      restart: "unless-stopped",
      destroy_grace_seconds: 30,
      must_run: false,
    });
    expect(container["healthcheck"]).toBeDefined();
  });

  test("has no password and no token in its environment, and is not privileged", () => {
    expect(env(container).join("\n")).not.toMatch(/PASSWORD=|TOKEN/);
    expect(container).not.toHaveProperty("privileged");
  });
});

test.each([
  ["PostgreSQL", postgres, "999:999"],
  ["Vault with storage in memory", memory, "100:1000"],
  ["Vault with storage in files", file, "100:1000"],
  ["Vault in dev mode", dev, "100:1000"],
])("%s has no capability, no way to gain one, a read-only root, and is not root", (_, container, user) => {
  expect(container).toMatchObject({
    user,
    capabilities: { drop: ["ALL"] },
    security_opts: ["no-new-privileges:true"],
    read_only: true,
  });
});

test("PostgreSQL's password is a file outside Terraform, mounted read-only", () => {
  expect(postgres).toMatchObject({
    env: [
      "PGDATA=/var/lib/postgresql/docker",
      "POSTGRES_DB=nanvc",
      "POSTGRES_PASSWORD_FILE=/run/secrets/postgres-password",
      "POSTGRES_USER=nanvc",
    ],
    mounts: [{ type: "bind", source: "${var.postgres_password_file}", read_only: true }],
  });
});

test("PostgreSQL's data is on a volume that Terraform does not manage", () => {
  expect(postgres["volumes"]).toEqual([
    { container_path: "/var/lib/postgresql", volume_name: "${var.platform_name}-postgres-data" },
  ]);
  expect(find(synthesized, "docker_volume")).toEqual([]);
});

test("storage in memory leaves no volume, not the image's own either", () => {
  expect(configuration(memory)["storage"]).toEqual({ inmem: {} });
  expect(memory).not.toHaveProperty("volumes");
  expect(Object.keys(tmpfs(memory))).toEqual(expect.arrayContaining(["/vault/file", "/vault/logs"]));
});

test("storage in files is a volume that Terraform does not manage", () => {
  expect(configuration(file)["storage"]).toEqual({ file: { path: "/vault/file" } });
  expect(file["volumes"]).toEqual([{ container_path: "/vault/file", volume_name: "v-data" }]);
  expect(tmpfs(file)).not.toHaveProperty("/vault/file");
});

test("memory is locked by a root entrypoint with the capabilities that it hands on or drops", () => {
  expect(locking).toMatchObject({
    capabilities: {
      drop: ["ALL"],
      add: ["CAP_IPC_LOCK", "CAP_KILL", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETUID"],
    },
    read_only: false,
  });
  expect(locking).not.toHaveProperty("user");
  expect(locking).not.toHaveProperty("security_opts");
  expect(env(locking)).not.toContain("SKIP_SETCAP=1");
  expect(configuration(locking)).not.toHaveProperty("disable_mlock");
  expect(configuration(memory)).toHaveProperty("disable_mlock", true);
});

test("dev mode has its root token from a file, and keeps it from the command, the disk and the log", () => {
  expect(dev["mounts"]).toEqual([
    {
      type: "bind",
      source: "${var.vault_dev_token_file}",
      target: "/run/secrets/vault-dev-token",
      read_only: true,
    },
  ]);
  const [shell, flag, script] = dev["command"] as [string, string, string];
  expect([shell, flag]).toEqual(["sh", "-c"]);
  expect(script).toContain("-dev-no-store-token");
  expect(script).not.toContain("-dev-root-token-id");
  expect(script).toMatch(/>\/dev\/null$/);
});

test.each([
  [{ storage: "file", lockMemory: false } as const, 'storage ("file") must be "memory" in dev mode'],
  [
    { storage: "memory", lockMemory: true } as const,
    "lockMemory (true) must be false in dev mode, which never locks",
  ],
])("dev mode refuses %j", (props, message) => {
  expect(() => vaultContainer({ mode: "dev", ...props })).toThrow(message);
});
