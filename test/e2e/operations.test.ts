import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseError } from "pg";
import { freePort } from "../../sandbox/free-port";
import type { Report } from "../../verify/report/report";
import { eventually, messages, processesWith, ROOT, type Program } from "../support/program";
import { record } from "../support/seen";
import { docker } from "./docker";
import { Estate, type Change, type Lease } from "./estate";
import { POSTGRES_VERSIONS, postgresImage } from "./images";
import { importCommands, killTree } from "./killed";
import { inDocker, inDockerWithAll, isAll } from "./needs";
import { filesBelow, handedOut, search, type Readable, type Secrets } from "./search";

/** What a platform engineer does with a deployment in Docker, by the command line. The tests are its steps, in order. */
const VERSIONS = isAll ? POSTGRES_VERSIONS : (["18.4"] as const);
const START_TIMEOUT_MILLISECONDS = 900_000;

let estate: Estate;

async function ends(code: number, ...args: string[]): Promise<string> {
  const ended = await estate.leasehold(...args);
  expect({ code: ended.code, output: ended.code === code ? "" : ended.output }).toEqual({ code, output: "" });
  return ended.output;
}

const withAuditor: Change = ({ databases: [database] }) => {
  const [name, groupRole, appRole] = ["auditor", "auditor_role", "db-auditor-role"];
  database!.personas.push({ ...database!.personas[2]!, name, groupRole, appRole });
};

/** As deployed, to everybody who looks. */
async function nothingToDo(): Promise<void> {
  expect(await ends(0, "deploy", "--auto-approve")).toContain("Nothing to do");
  await ends(0, "diff");
}

/** Files of the checkout that hold state or a plan, and that others may read. */
function openToOthers(): string[] {
  const files = filesBelow(estate.checkout.folder).filter((file) =>
    /\.tfstate[^/]*$|plan$/.test(file.replace(/\/\.terraform\/.*/, "")),
  );
  expect(files).toContainEqual(expect.stringMatching(/\.vault\.tfstate$/));
  return files.filter((file) => (statSync(file).mode & 0o077) !== 0);
}

/** That PostgreSQL does not know, or does not let in. */
async function isRefused(lease: Lease): Promise<void> {
  const error: unknown = await estate.query("SELECT", lease).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(DatabaseError);
  expect((error as DatabaseError).code).toBe("28P01");
}

inDocker.describe.each(VERSIONS)(`day by day on PostgreSQL %s${inDocker.because}`, (version) => {
  const shorter: Change = ({ databases: [database] }) => {
    database!.personas[2]!.lease.defaultTtl = "30m";
  };
  const another: Change = (draft) => {
    shorter(draft);
    withAuditor(draft);
  };
  let lease: Lease;

  beforeAll(async () => {
    estate = await Estate.open("operations", { version, storage: "file" });
  }, START_TIMEOUT_MILLISECONDS);

  afterAll(() => estate.remove());

  test("a diff before anything is there: all of each stack is to add, no server is asked, nothing is made", async () => {
    estate.configure();
    const output = await ends(2, "diff");
    for (const stack of ["platform", "postgres", "vault"])
      expect(output).toContain(
        `# ${stack}\nnot deployed yet: everything will be added; no server was asked\n`,
      );
    const { docker: wire, postgres, vault } = estate.wires;
    expect(postgres.heard + vault.heard).toBe("");
    expect(wire.heard).not.toMatch(/^(POST|PUT|DELETE) /m);
    for (const kind of ["container", "network", "volume"] as const)
      expect(await estate.things(kind)).toEqual([]);
    expect(readdirSync(estate.checkout.folder).filter((name) => /tfstate|lock$/.test(name))).toEqual([]);
    expect(filesBelow(estate.checkout.home)).toEqual([]);
  });

  test("the first deploy, then verify", async () => {
    await ends(0, "deploy", "--auto-approve");
    // So that its log has whatever anybody says to it.
    await estate.query("ALTER SYSTEM SET log_statement = 'all'");
    await estate.query("SELECT pg_reload_conf()");
    const json = estate.checkout.path("report.json");
    await ends(0, "verify", "--json", json);
    const report = JSON.parse(readFileSync(json, "utf8")) as Report;
    record(report, `image ${estate.variables["TF_VAR_vault_image"]!}`, "leasehold deploy, Docker");
  });

  test("nothing to do, with leases alive", async () => {
    lease = await estate.lease("readonly");
    expect(await estate.query("SELECT username FROM example.users ORDER BY username", lease)).toHaveLength(3);
    await nothingToDo();
  });

  test("a TTL changed: the diff says so, and deploy does that alone", async () => {
    estate.configure(shorter);
    expect(await ends(2, "diff")).toMatch(/default_ttl\s+= 3600 -> 1800/);
    expect(await ends(0, "deploy", "--auto-approve")).toContain(
      "Deployed the stack vault: 0 added, 1 changed, 0 removed",
    );
    await ends(0, "diff");
    await estate.query("SELECT", lease);
  });

  test("another port: the diff says that the container is replaced, and that every session on it ends", async () => {
    const { variables } = estate;
    const port = variables["TF_VAR_postgres_port"]!;
    variables["TF_VAR_postgres_port"] = String(await freePort());
    const { output } = await estate.leasehold("diff");
    variables["TF_VAR_postgres_port"] = port;
    expect(output).toMatch(/^the container \S+-postgres is replaced, and every session on it ends$/m);
    await ends(0, "diff");
  });

  test("a persona added can lease; removed while its leases live, it leaves no login", async () => {
    estate.configure(another);
    expect(await ends(2, "deploy", "--auto-approve")).toMatch(
      /the operator's policy at \S+ is no longer what the config declares/,
    );
    await ends(0, "init");
    await ends(0, "deploy", "--auto-approve");
    const auditor = await estate.lease("auditor");
    await estate.query("SELECT FROM example.users", auditor);
    estate.configure(shorter);
    expect(await ends(2, "diff")).toContain("auditor_role");
    await ends(0, "init");
    expect(await ends(0, "deploy", "--auto-approve")).toContain(
      "revoking the leases of database/creds/auditor_role",
    );
    await isRefused(auditor);
    expect(await estate.roles("auditor")).toEqual([]);
    await estate.query("SELECT", lease);
  });

  test("stopped servers: diff says what deploy will do, which starts them and unseals Vault", async () => {
    const containers = await estate.things("container");
    await docker("stop", ...containers);
    const planned = await estate.leasehold("diff");
    for (const name of containers)
      expect(planned.output).toContain(
        `container ${name} is stopped, which the plan reports as missing: deploy`,
      );
    expect(planned.code).toBe(1);
    expect(planned.output).toMatch(/^error: PostgreSQL does not answer at .*: start it, or set TF_VAR_/m);
    expect(planned.output).toMatch(/^error: Vault does not answer at .*: start it, or set VAULT_ADDR$/m);
    const output = await ends(0, "deploy", "--auto-approve");
    for (const name of containers) expect(output).toContain(`started ${name}`);
    expect(output).toContain("unsealed with 1 of 1 keys");
    expect(await estate.things("container")).toEqual(containers);
    await estate.query("SELECT", lease);
    await ends(0, "diff");
  });

  test("two deploys at once: one is refused, and the other finds nothing to do, the password rotated", async () => {
    await ends(0, "rotate");
    const both = Promise.all([
      estate.leasehold("deploy", "--auto-approve"),
      estate.leasehold("deploy", "--auto-approve"),
    ]);
    const lock = estate.checkout.path(".leasehold.lock");
    await eventually(
      () => existsSync(lock),
      10_000,
      () => "no deploy holds the lock",
    );
    expect(statSync(lock).mode & 0o777).toBe(0o600);
    const [one, other] = (await both).sort((a, b) => a.code! - b.code!);
    expect(one).toEqual({ code: 0, output: expect.stringContaining("Nothing to do") as string });
    expect(other).toEqual({
      code: 2,
      output: expect.stringMatching(
        /^leasehold deploy \(process \d+\) is running in this checkout: wait until it has ended\n$/,
      ) as string,
    });
    await estate.lease("readonly");
  });

  test("every secret is where it belongs, and nowhere else", async () => {
    const all = await places();
    expect(all.filter(({ text }) => text === "").map(({ name }) => name)).toEqual([]);
    const { table, found } = search(all, await secrets());
    process.stderr.write(`\n${table}\n\n`);
    expect(found).toEqual([]);
    // What is never found was perhaps not looked for.
    expect(table).toMatch(/^home folder +here +here +· +here +· +here +here +here /m);
    expect(table).toMatch(/^environment of Terraform +here +here +· +· +· +here +here /m);
    const log = all.find(({ name }) => name === "PostgreSQL's log")!.text;
    expect(log.match(/PASSWORD '[^']{12}/g)?.filter((text) => !text.endsWith("SCRAM-SHA-25"))).toEqual([]);
    expect(openToOthers()).toEqual([]);
    const home = filesBelow(estate.checkout.home);
    const modes = new Set(
      home.map((file) => `${basename(file)} ${(statSync(file).mode & 0o777).toString(8)}`),
    );
    expect([...modes].filter((mode) => !mode.endsWith(" 600"))).toEqual(["postgres-password 444"]);
    expect(statSync(dirname(home[0]!)).mode & 0o777).toBe(0o700);
  });

  test("destroy with leases alive leaves the users' data, and no other role, lease, container or network", async () => {
    const output = await ends(0, "destroy", "--auto-approve");
    for (const kind of ["container", "network"] as const) expect(await estate.things(kind)).toEqual([]);
    const volumes = [`${estate.name}-postgres-data`, `${estate.name}-vault-data`];
    expect(await estate.things("volume")).toEqual(volumes);
    for (const volume of volumes) expect(output).toContain(`left: the volume ${volume} with its data`);
    expect(await rolesInVolume()).toEqual(["example_owner", "nanvc"]);
  });

  test("destroy --delete-data after it removes the volumes that it left, and no other", async () => {
    const another = `${estate.name}-postgres-data-of-somebody-else`;
    await docker("volume", "create", another);
    await ends(0, "destroy", "--auto-approve", "--delete-data");
    expect(await estate.things("volume")).toEqual([another]);
    expect(await ends(0, "destroy", "--auto-approve", "--delete-data")).toContain("Nothing to do");
  });

  /** By value, as they are on file, in PostgreSQL, or went over Vault's wire. */
  async function secrets(): Promise<Secrets> {
    const out = handedOut(estate.wires.vault.heard);
    const given = ["postgres_superuser_password", "vault_manager_password"].map((name) =>
      estate.secret(name),
    );
    const tokens = ["operator", "planner", "deliverer", "verifier"].map((who) =>
      estate.secret(`${who}-token`),
    );
    const [rotated] = await estate.query<{ rolpassword: string }>(
      "SELECT rolpassword FROM pg_authid WHERE rolname = 'vault'",
    );
    const without = (values: Set<string>, known: readonly string[]) =>
      new Set([...values].filter((value) => !known.includes(value)));
    const found: [string, Set<string>][] = [
      ["superuser", new Set([given[0]!])],
      ["manager", new Set([given[1]!])],
      // Vault alone knows the password itself.
      ["rotated", new Set([rotated!.rolpassword])],
      ["unseal key", new Set([estate.secret("unseal-keys"), ...out["unseal key"]])],
      ["root token", out["root token"]],
      ["operator", new Set([tokens[0]!])],
      ["planner", new Set([tokens[1]!])],
      ["others", new Set([tokens[2]!, tokens[3]!])],
      ["persona", without(out.token, tokens)],
      ["secret id", out["secret id"]],
      ["lease", without(out.password, given)],
    ];
    for (const [name, values] of found) expect([name, values.size]).not.toEqual([name, 0]);
    expect(found.at(-1)![1].size).toBeGreaterThan(10);
    return new Map(found);
  }

  async function places(): Promise<Readable[]> {
    const { checkout, name, watch } = estate;
    const given = ["superuser", "manager"];
    const terraform = /terraform/;
    const server = /^postgres|docker-entrypoint/;
    const contents = (files: readonly string[]) =>
      files.map((file) => readFileSync(file, "latin1")).join("\n");
    const files = filesBelow(checkout.folder).filter((file) => !file.startsWith(checkout.home));
    const those = (pattern: RegExp) => contents(files.filter((file) => pattern.test(file)));
    const volume = (of: string) =>
      docker(
        ...["run", "--rm", "--user", "0", "--entrypoint", "tar", "--volume", `${name}-${of}-data:/data:ro`],
        ...[estate.variables["TF_VAR_postgres_image"]!, "-c", "-C", "/data", "."],
      );
    const containers = await estate.things("container");
    const images = await Promise.all(containers.map((of) => docker("inspect", "--format", "{{.Image}}", of)));
    expect(files.filter((file) => /\/plan$|tfplan/.test(file))).toEqual([]);
    return [
      { name: "synthesized JSON", text: those(/cdktf\.out\/(?!.*\.terraform)/) },
      { name: ".terraform", text: those(/\/\.terraform/) },
      { name: "state", text: those(/\.tfstate$/) },
      { name: "state's backup", text: those(/\.tfstate\.backup$/) },
      { name: "plan file", text: await planFiles() },
      { name: "all other files of the checkout", text: those(/^(?!.*(cdktf\.out|tfstate))/) },
      { name: "output of all commands", text: estate.said },
      { name: "temporary files", text: watch.temporary },
      { name: "arguments of all processes", text: watch.commands },
      {
        name: "environment of Terraform",
        text: watch.environments(terraform),
        holds: [...given, "operator", "planner"],
      },
      // Where the official image's entrypoint puts it.
      { name: "environment of PostgreSQL", text: watch.environments(server), holds: ["superuser"] },
      {
        name: "environment of all others",
        text: watch.environments(new RegExp(`${terraform.source}|${server.source}`), false),
      },
      {
        name: "docker inspect",
        text: await docker("inspect", ...containers, ...(await estate.things("network"))),
      },
      {
        name: "docker history",
        text: (await Promise.all(images.map((of) => docker("history", "--no-trunc", of)))).join(),
      },
      // Vault sends PostgreSQL what PostgreSQL stores, not the password.
      { name: "PostgreSQL's log", text: await docker("logs", `${name}-postgres`), holds: ["rotated"] },
      { name: "PostgreSQL's volume", text: await volume("postgres"), holds: ["rotated"] },
      { name: "Vault's log", text: await docker("logs", `${name}-vault`) },
      { name: "Vault's volume", text: await volume("vault") },
      {
        name: "home folder",
        text: contents(filesBelow(checkout.home)),
        holds: [...given, "unseal key", "operator", "planner", "others"],
      },
    ];
  }

  /** As somebody makes them who plans with Terraform itself. */
  async function planFiles(): Promise<string> {
    const { code, output } = await estate.shell(
      `
      set -e; eval "$(npx leasehold env)"; cd cdktf.out/stacks
      for stack in *; do (
        cd $stack; terraform plan -out=saved.tfplan >/dev/null; terraform show -json saved.tfplan
      ) done`,
      "leasehold env, then terraform plan and show of each stack",
    );
    expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
    // Not by that shell, whose secrets rm would have in its environment.
    for (const stack of readdirSync(estate.checkout.path("cdktf.out/stacks")))
      rmSync(estate.checkout.path("cdktf.out/stacks", stack, "saved.tfplan"));
    return output;
  }

  /** Of a server that is stopped, without starting it. */
  async function rolesInVolume(): Promise<string[]> {
    const output = await docker(
      ...["run", "--rm", "--user", "999:999", "--volume", `${estate.name}-postgres-data:/var/lib/postgresql`],
      ...[estate.variables["TF_VAR_postgres_image"]!, "sh", "-c"],
      "echo 'SELECT rolname FROM pg_roles' | postgres --single -D /var/lib/postgresql/docker nanvc",
    );
    return [...output.matchAll(/rolname = "([^"]+)"/g)]
      .map(([, name]) => name!)
      .filter((name) => !name.startsWith("pg_"))
      .sort();
  }
});

/** Where a first deploy is killed: who has just done what, and how that was asked for. */
interface Point {
  readonly who: keyof Estate["wires"];
  readonly done: string;
  readonly asked: RegExp;
  /** With `--all` alone. */
  readonly more?: true;
}
const POINTS: readonly Point[] = [
  { who: "docker", done: "made the network", asked: /POST \S+\/networks\/create/ },
  {
    who: "docker",
    done: "made PostgreSQL's container",
    asked: /POST \S+\/containers\/create\?name=\S+-postgres/,
  },
  { who: "docker", done: "started a container", asked: /POST \S+\/containers\/\w+\/start/, more: true },
  { who: "postgres", done: "made a group role", asked: /CREATE ROLE "?readonly_role[^]*COMMIT/ },
  {
    who: "postgres",
    done: "granted it to Vault's login",
    asked: /GRANT "?readonly_role"? TO "?vault[^]*COMMIT/,
    more: true,
  },
  { who: "vault", done: "mounted the secrets engine", asked: / \/v1\/sys\/mounts\/database /, more: true },
  {
    who: "vault",
    done: "connected to PostgreSQL",
    asked: /(PUT|POST) \/v1\/database\/config\/postgres-example /,
  },
  {
    who: "vault",
    done: "written a role",
    asked: /(PUT|POST) \/v1\/database\/roles\/readonly_role /,
    more: true,
  },
  { who: "vault", done: "rotated its password", asked: /\/v1\/database\/rotate-root\/postgres-example / },
];
const points = (...servers: readonly Point["who"][]) =>
  POINTS.filter(({ who, more }) => servers.includes(who) && (isAll || !more));

inDockerWithAll.describe(`plain cdktf${inDockerWithAll.because}`, () => {
  /** As docs/deploy.md has them, with what they take where nobody can be asked and no registry answers. */
  const commands = /^## With plain cdktf$[^]*?```sh\n([^]*?)```/m
    .exec(readFileSync(join(ROOT, "docs/deploy.md"), "utf8"))![1]!
    .replace(/^npx cdktf (deploy|destroy) \S+/gm, "$& --auto-approve")
    .replace(/^npx cdktf deploy \S+/gm, "$& --skip-provider-lock");
  const destroy = commands.indexOf("npx cdktf destroy");

  const planFile = () => estate.checkout.path("cdktf.out/stacks/vault/plan");

  beforeAll(async () => {
    estate = await Estate.open("plain", { storage: "file" });
    estate.configure();
  }, START_TIMEOUT_MILLISECONDS);

  afterAll(() => estate.remove());

  test("the commands of the docs deploy all stacks; a command of leasehold's closes to others what they left open", async () => {
    const { code, output } = await estate.shell(`set -e\n${commands.slice(0, destroy)}`, "plain cdktf");
    expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
    expect(openToOthers().length).toBeGreaterThan(3);
    expect(existsSync(planFile())).toBe(true);
    await ends(0, "diff");
    expect(openToOthers()).toEqual([]);
    expect(existsSync(planFile())).toBe(false);
    await ends(0, "verify");
  });

  test("destroy fails at the users' data, and leasehold destroy goes on from there", async () => {
    const [variables] = commands.split("\n");
    const { code, output } = await estate.shell(`set -e\n${variables!}\n${commands.slice(destroy)}`);
    expect(code).not.toBe(0);
    expect(output).toContain("cannot drop schema example because other objects depend on it");
    await ends(0, "destroy", "--auto-approve");
    for (const kind of ["container", "network"] as const) expect(await estate.things(kind)).toEqual([]);
    expect(openToOthers()).toEqual([]);
  });
});

inDocker.describe.each(VERSIONS)(`ended half-way on PostgreSQL %s${inDocker.because}`, (version) => {
  beforeAll(async () => {
    estate = await Estate.open("killed", { version, storage: "memory" });
    estate.configure(({ databases: [database] }) => {
      database!.manager.rotateRoot = true;
    });
  }, START_TIMEOUT_MILLISECONDS);

  afterAll(() => estate.remove());

  const killed = async (point: Point) => {
    const { code } = await deployUntil(point, ({ child }) => {
      killTree(child.pid!);
    });
    expect(code).toBe("SIGKILL");
    await eventually(
      () => processesWith(estate.checkout.folder).length === 0,
      10_000,
      () => "a process of the killed deploy is left",
    );
  };

  test.each(points("docker"))("killed once $who has $done", killed);

  test("interrupted while PostgreSQL makes roles, Terraform ends what it is at and knows all that is there", async () => {
    const owner = { who: "postgres", asked: /CREATE ROLE "?example_owner/ } as const;
    const { code, output } = await deployUntil(owner, ({ child }) => {
      child.kill("SIGINT");
    });
    expect(code).toBe(130);
    expect(output).toContain(
      "interrupted: Terraform has saved its state; run the same command again to continue, or to be told what to import\n",
    );
    const made = (await estate.roles("")).filter((name) => !/^(pg_|nanvc$)/.test(name));
    expect(made).toContain("example_owner");
    expect(estate.inState("postgres", "postgresql_role", "name")).toEqual(expect.arrayContaining(made));
  });

  test.each(points("postgres", "vault"))("killed once $who has $done", killed);

  test("the next deploy goes on to the end, and what is there holds", async () => {
    await ends(0, "deploy", "--auto-approve");
    await ends(0, "diff");
    await ends(0, "verify");
  });

  test("Vault in memory has lost all, its rotated password too: deploy gives it a new one", async () => {
    const before = await estate.lease("readonly");
    await docker("restart", `${estate.name}-vault`);
    const output = await ends(0, "deploy", "--auto-approve");
    expect(output).toContain("set the password of vault in PostgreSQL");
    expect(output).toContain("Rotated the password of database/postgres-example");
    await estate.lease("readonly");
    await estate.query("SELECT", before);
    await ends(0, "verify");
    await ends(0, "diff");
  });

  test("killed without Terraform, which goes on to its end and saves its state", async () => {
    await docker("restart", `${estate.name}-vault`);
    const connected = {
      who: "vault",
      asked: /(PUT|POST) \/v1\/database\/config\/postgres-example /,
    } as const;
    const { code } = await deployUntil(connected, ({ child }) => {
      child.kill("SIGKILL");
    });
    expect(code).toBe("SIGKILL");
    await eventually(
      () => processesWith(estate.checkout.folder).length === 0,
      60_000,
      () => "Terraform does not end",
    );
    expect(await ends(0, "deploy", "--auto-approve")).toContain("Deployed the stack vault: nothing to do");
    await ends(0, "diff");
  });
});

inDockerWithAll.describe(`faults${inDockerWithAll.because}`, () => {
  beforeAll(async () => {
    estate = await Estate.open("faults", { storage: "file" });
    estate.configure();
  }, START_TIMEOUT_MILLISECONDS);

  afterAll(() => estate.remove());

  /** What a failed command says of it. */
  async function reason(code: number, ...args: string[]): Promise<string[]> {
    return messages(await ends(code, ...args));
  }

  test("a network of that name exists and is somebody else's", async () => {
    await docker("network", "create", estate.name);
    expect(await reason(1, "deploy", "--auto-approve")).toEqual([
      expect.stringMatching(
        /^docker_network.Network: .*already exists.*; if it is somebody else's, set TF_VAR_platform_name to another name$/,
      ),
    ]);
    await docker("network", "rm", estate.name);
  });

  test("a container of that name exists and is somebody else's: it is left as it is", async () => {
    const name = `${estate.name}-vault`;
    await docker("create", "--name", name, estate.variables["TF_VAR_postgres_image"]!, "sleep", "1000");
    expect(await reason(1, "deploy", "--auto-approve")).toEqual([
      expect.stringMatching(
        /^docker_container.Vault\S*: .*already in use.*; if it is somebody else's, set TF_VAR_platform_name to another name$/,
      ),
    ]);
    expect(await docker("inspect", "--format", "{{.State.Status}}", name)).toBe("created");
    await docker("rm", name);
    await ends(0, "deploy", "--auto-approve");
    await ends(0, "verify");
  });

  test("a role of that name exists and is somebody else's", async () => {
    await estate.query("CREATE ROLE auditor_role");
    estate.configure(withAuditor);
    await ends(0, "init");
    expect(await reason(2, "deploy", "--auto-approve")).toEqual([
      expect.stringMatching(
        /^the role auditor_role on PostgreSQL at \S+ is there already .*; if it is somebody else's, choose another name in config\/faults.ts, or destroy the environment that made it$/,
      ),
    ]);
    await estate.query("DROP ROLE auditor_role");
    await ends(0, "deploy", "--auto-approve");
    await estate.lease("auditor");
  });

  test("the operator's token is another one", async () => {
    const file = join(estate.checkout.home, "leasehold/faults/operator-token");
    const token = readFileSync(file, "utf8");
    writeFileSync(file, "s.AnotherVaultsToken");
    expect(await reason(2, "deploy", "--auto-approve")).toEqual([
      expect.stringMatching(
        /rejects the operator's token, which has expired or is another Vault's: run npx leasehold init$/,
      ),
    ]);
    writeFileSync(file, token);
    await nothingToDo();
  });

  test("PostgreSQL is started again under leases: Vault finds it, and nothing is to do", async () => {
    const lease = await estate.lease("readonly");
    await docker("restart", `${estate.name}-postgres`);
    await nothingToDo();
    await estate.query("SELECT FROM example.users", lease);
    await estate.lease("readonly");
  });

  test("an image that does not run with the data: one line, and with the one of before deploy goes on", async () => {
    const before = estate.variables["TF_VAR_postgres_image"]!;
    estate.variables["TF_VAR_postgres_image"] = await postgresImage("17.10", () => undefined);
    expect(await reason(1, "deploy", "--auto-approve")).toEqual([
      expect.stringMatching(
        /^docker_container.Postgres\S*: .*: see docker logs \S+-postgres; once that is fixed, or with/,
      ),
    ]);
    estate.variables["TF_VAR_postgres_image"] = before;
    await ends(0, "deploy", "--auto-approve");
    await ends(0, "verify");
  });

  test("Docker stops while an image is changed: one line, and the next deploy goes on, with the data and the leases", async () => {
    const lease = await estate.lease("readonly");
    const image = `leasehold-e2e/another-${String(process.pid)}:1`;
    const recipe = `printf 'FROM %s\\nLABEL another=1\\n' ${estate.variables["TF_VAR_postgres_image"]!}`;
    await estate.shell(`${recipe} | docker build --quiet --tag ${image} -`);
    estate.variables["TF_VAR_postgres_image"] = image;
    expect(await ends(2, "diff")).toMatch(/docker_container\.\S+ must be replaced/);
    const { docker: wire } = estate.wires;
    const { code, output } = await deployUntil(
      { who: "docker", asked: /POST \S+\/containers\/create\?name=\S+-postgres/ },
      () => {
        wire.close();
      },
    );
    expect(code).toBe(1);
    expect(output).toMatch(/docker_container.*(Cannot connect to the Docker daemon|connection refused|EOF)/i);
    expect(await reason(2, "deploy", "--auto-approve")).toEqual([
      expect.stringMatching(/^Docker is not running: start it/),
    ]);
    await wire.open();
    // What it had made by then, it names.
    const next = await estate.leasehold("deploy", "--auto-approve");
    if (next.code !== 0) {
      await follow(next.output);
      await ends(0, "deploy", "--auto-approve");
    }
    await estate.query("SELECT FROM example.users", lease);
    await ends(0, "diff");
    await ends(0, "verify");
    await docker("rm", "--force", `${estate.name}-vault`);
    expect(await reason(2, "destroy", "--auto-approve")).toEqual([
      expect.stringMatching(
        /^container \S+-vault no longer exists: npx leasehold deploy creates it again, with the same data$/,
      ),
    ]);
    await ends(0, "deploy", "--auto-approve");
    await ends(0, "destroy", "--auto-approve", "--delete-data");
    await docker("image", "rm", image);
  });
});

/** Deploys, and has something happen to it; what an earlier one made and Terraform does not know is imported first. */
async function deployUntil(
  { who, asked }: Pick<Point, "who" | "asked">,
  happen: (deploy: Program) => void,
): Promise<{ code: number | string; output: string }> {
  for (let tries = 0; tries < 5; tries += 1) {
    const deploy = estate.start("deploy", "--auto-approve");
    const trap = estate.wires[who].onAnswered(asked, () => {
      happen(deploy);
    });
    const code = await deploy.ended;
    if (trap.isSprung) return { code, output: deploy.output };
    await follow(deploy.output);
  }
  throw new Error(`no deploy got as far as ${String(asked)}`);
}

/** Runs the commands that a deploy names, as somebody does who pastes them. */
async function follow(output: string): Promise<void> {
  for (const command of importCommands(output)) {
    const { code, output: said } = await estate.shell(command);
    expect({ code, said: code === 0 ? "" : said }).toEqual({ code: 0, said: "" });
  }
}
