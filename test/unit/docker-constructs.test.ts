import { find, stacks, synth } from "./synth";

const synthesized = synth(stacks().platform);
const containers = find(synthesized, "docker_container") as Record<string, unknown>[];

test("there are two containers, a network, and an image each", () => {
  expect(containers).toHaveLength(2);
  expect(find(synthesized, "docker_network")).toHaveLength(1);
  expect(find(synthesized, "docker_image").map(({ name }) => name)).toEqual([
    "postgres:18.4",
    "hashicorp/vault:1.21.4",
  ]);
});

describe.each(containers.map((container) => [String(container["name"]), container] as const))(
  "%s",
  (_, container) => {
    test("publishes on 127.0.0.1 alone", () => {
      expect((container["ports"] as { ip: string }[]).map(({ ip }) => ip)).toEqual(["127.0.0.1"]);
    });

    test("has no capability, no way to gain one, and a read-only root", () => {
      expect(container).toMatchObject({
        capabilities: { drop: ["ALL"] },
        security_opts: ["no-new-privileges:true"],
        read_only: true,
      });
      expect(container).not.toHaveProperty("privileged");
    });

    test("does not run as root", () => {
      expect(container["user"]).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    });

    test("has bounded memory without swap, and bounded logs", () => {
      expect(container["memory"]).toEqual(container["memory_swap"]);
      expect(container).toMatchObject({ log_opts: { "max-size": "10m", "max-file": "3" } });
    });

    test("is waited for, and stopped with a grace", () => {
      expect(container).toMatchObject({ wait: true, destroy_grace_seconds: 30, must_run: false });
    });

    test("has no password in its environment", () => {
      expect((container["env"] as string[]).join("\n")).not.toMatch(/PASSWORD=|TOKEN/);
    });
  },
);

test("PostgreSQL's password is a file outside Terraform, mounted read-only", () => {
  const [postgres] = find(synthesized, "docker_container", { name: "leasehold-local-postgres" });
  expect(postgres).toMatchObject({
    env: [
      "POSTGRES_DB=nanvc",
      "POSTGRES_PASSWORD_FILE=/run/secrets/postgres-password",
      "POSTGRES_USER=nanvc",
    ],
    mounts: [{ type: "bind", source: "${var.postgres_password_file}", read_only: true }],
  });
});
