import { once } from "node:events";
import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Checkout } from "../../bench/checkout";
import local from "../../config/local";
import { messages, Program } from "../support/program";
import { release } from "../upgrade/release";

/** What is missing on a machine, played by programs of a PATH of its own: neither Terraform nor Docker is needed. */
const checkout = new Checkout("local");
afterAll(() => {
  checkout.remove();
});

const TERRAFORM = `case "$1" in version) echo '{"terraform_version":"1.11.4"}' ;; esac`;
const DOCKER = `case "$1" in version | image) ;; ps) echo '127.0.0.1:1->5432/tcp' ;; *) exit 1 ;; esac`;

async function deploy(
  programs: Readonly<Record<string, string>>,
  env: NodeJS.ProcessEnv = {},
  from = checkout,
) {
  const bin = checkout.path(`bin-${String(readdirSync(checkout.folder).length)}`);
  mkdirSync(bin);
  symlinkSync(process.execPath, `${bin}/node`);
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(`${bin}/${name}`, `#!/bin/sh\n${script}\n`);
    chmodSync(`${bin}/${name}`, 0o755);
  }
  const program = new Program(["deploy", "--auto-approve"], { ...from.env(env), PATH: bin }, from.folder);
  const code = await program.ended;
  return { code, lines: messages(program.output) };
}

test.each<[string, Readonly<Record<string, string>>, ...RegExp[]]>([
  ["no Terraform", {}, /^there is no terraform on PATH: install Terraform 1\.11/],
  [
    "an old one",
    { terraform: `echo '{"terraform_version":"1.10.5"}'` },
    /^terraform is 1\.10\.5, .*: install Terraform 1\.11/,
  ],
  ["no Docker", { terraform: TERRAFORM }, /^there is no docker on PATH: install Docker$/],
  [
    "Docker not running",
    { terraform: TERRAFORM, docker: "echo Cannot connect >&2; exit 1" },
    /^Docker is not running: start it, .*: Cannot connect$/,
  ],
  [
    "images that can't be pulled",
    {
      terraform: TERRAFORM,
      docker: `case "$1" in version) ;; ps) echo ':35432-> :8200->' ;; *) echo denied >&2; exit 1 ;; esac`,
    },
    /^the image postgres:18\.4 is not on this machine and can't be pulled \(denied\): docker load it, or set TF_VAR_postgres_image,/,
    /^the image hashicorp\/vault:1\.21\.4 is not on this machine and can't be pulled \(denied\): docker load it, or set TF_VAR_vault_image,/,
  ],
  ...[`"Volumes":{"/openbao/file":{},"/openbao/logs":{}}`, `"Entrypoint":["/usr/bin/bao"]`].map(
    (config): [string, Readonly<Record<string, string>>, RegExp] => [
      `OpenBao's image for Vault's (${config})`,
      {
        terraform: TERRAFORM,
        docker: `case "$*" in "image inspect --format"*hashicorp*) echo '{"Cmd":["server"],${config}}' ;; version* | image*) ;; ps*) echo ':35432-> :8200->' ;; *) exit 1 ;; esac`,
      },
      /^the image hashicorp\/vault:1\.21\.4 is OpenBao's, which does not read .*: set TF_VAR_vault_image, or image in the config, to one of Vault's, or have OpenBao as a server that exists already/,
    ],
  ),
  [
    "a provider that can't be installed",
    {
      terraform: `case "$1" in version) echo '{"terraform_version":"1.11.4"}' ;; *) printf 'Error: Failed to query available provider packages\\n' >&2; exit 1 ;; esac`,
      docker: DOCKER,
    },
    /^Failed to query available provider packages; it comes from the Terraform registry or from a mirror/,
  ],
])("%s: one line each, exit code 2", async (_, programs, ...lines) => {
  expect(await deploy(programs)).toEqual({
    code: 2,
    lines: lines.map((line) => expect.stringMatching(line) as string),
  });
});

test("a missing image of a server with another name: its own variable", async () => {
  const other = new Checkout("other");
  const draft = structuredClone(local);
  draft.servers[0]!.name = "pg";
  writeFileSync(
    other.path("config/other.ts"),
    `export default ${JSON.stringify({ ...draft, name: "other" })};\n`,
  );
  const docker = `case "$1" in version) ;; ps) echo ':35432-> :8200->' ;; *) echo denied >&2; exit 1 ;; esac`;
  const { code, lines } = await deploy({ terraform: TERRAFORM, docker }, {}, other);
  other.remove();
  expect({ code, line: lines[0] }).toEqual({
    code: 2,
    line: expect.stringContaining("or set TF_VAR_pg_image, or image in the config") as string,
  });
});

test("a port that is taken, also where the container runs on another one: one line, exit code 2", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const programs = { terraform: TERRAFORM, docker: DOCKER };
  const answer = await deploy(programs, { TF_VAR_postgres_port: String(port), TF_VAR_vault_port: "1" });
  server.close();
  expect(answer).toEqual({
    code: 2,
    lines: [
      expect.stringMatching(
        new RegExp(`^port ${String(port)} of 127\\.0\\.0\\.1 is not available for leasehold-local-postgres`),
      ),
    ],
  });
});

test("a container that was made with another superuser and database is not replaced over its volume", async () => {
  const approle = new Checkout("approle");
  const stack = join(release("approle"), "stacks/platform/cdk.tf.json");
  const { resource } = JSON.parse(readFileSync(stack, "utf8")) as {
    resource: { docker_container: Record<string, object> };
  };
  const resources = Object.entries(resource.docker_container).map(([name, attributes]) => ({
    ...{ mode: "managed", type: "docker_container", name, instances: [{ attributes }] },
  }));
  writeFileSync(
    approle.path("terraform.approle.platform.tfstate"),
    JSON.stringify({ version: 4, resources }),
  );
  const { code, lines } = await deploy({ terraform: TERRAFORM, docker: DOCKER }, {}, approle);
  approle.remove();
  const remedy =
    "put it back, or run npx leasehold destroy --delete-data with the config that deployed it, then deploy anew";
  expect({ code, lines: lines.map((line) => line.replace(/container \S+/, "container …")) }).toEqual({
    code: 2,
    lines: [
      `config/approle.ts has the superuser vaultadmin, and the volume of the container … was made with postgres: ${remedy}`,
      `config/approle.ts has the database appdb, and the volume of the container … was made with builds: ${remedy}`,
    ],
  });
});
